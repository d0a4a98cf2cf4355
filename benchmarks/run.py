"""Every performance figure: `python benchmarks/run.py [--quick] [--weights FILE --data PATH] [-o FILE.json]`.

    start     CPU seconds of a process that runs one image, with an empty and a filled cache of kernels
    memory    peak resident memory of processes
    threads   two threads against one, by the clock on the wall
    limit     how fast rows can be added at all, from each cache
    contest   refsim's modes, PyTorch eager and compiled, SpikingJelly, sinabs, snnTorch (what is installed of them)
    growth    with steps, batch, density, image size

Contenders run by turns in one process on one core (one thread each), each round all of them once; a time is CPU
time of the process per image, quoted as the median over rounds with the least and the greatest; a ratio is the
median over rounds of the ratio to the fastest rival within a round.

Densities: the first runs the network as it is; the second with v0 = 0, which makes fewer spikes. The density is
SOPs per image over T times the existing synapses behind the first layer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import refsim
from benchmarks import micro
from benchmarks.growth import growth, with_v0
from benchmarks.processes import memory, start_times
from benchmarks.turns import Run, by_turns, spread
from refsim.engine.batches import run_snn
from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate
from refsim.model import INPUT, Network

Array = NDArray[Any]
MODES = {"exact": "int32", "float64": "float64", "float32": "float32", "int16": "int16", "int8": "int8"}
"""Type of the weights by mode."""

PARTS = ("start", "memory", "threads", "limit", "contest", "growth")
"""What is measured, in this order."""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-w", "--weights", help="weight file [the small network in the package]")
    parser.add_argument("--data", help="images [the samples in the weight file]")
    parser.add_argument("-T", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 9")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("-o", "--output", type=Path, help="write FILE.json and FILE.png, again after every part")
    options = parser.parse_args()
    file = refsim.load(options.weights)
    images = refsim.open_images(file, options.data)
    rounds = 3 if options.quick else 9
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

    def currents(n: int) -> Array:
        return images[:n].currents()

    def two_contests() -> list[dict[str, Any]]:
        if cores:
            os.sched_setaffinity(0, cores[-1:])
        limit = report.setdefault("limit", micro.measure(rounds))
        return [
            contest(label, network, currents(options.batch), options.T, rounds, not options.no_torch, limit)
            for label, network in (("as it is", file.network), ("v0 = 0", with_v0(file.network, 0.0)))
        ]

    parts: dict[str, Callable[[], Any]] = {
        "start": lambda: start_times(options.weights),
        "memory": lambda: memory(options.weights, options.data),
        "threads": lambda: threads(file.network, images, options.T, options.batch, rounds, len(cores) or 1),
        "limit": lambda: micro.measure(rounds),
        "contest": two_contests,
        "growth": lambda: growth(file.network, currents, options.T, rounds),
    }
    report: dict[str, Any] = {
        "network": file.network.name,
        "T": options.T,
        "batch": options.batch,
        "rounds": rounds,
        "machine": {"platform": platform.platform(), "processor": _processor(), "cores": os.cpu_count()},
    }
    for name in PARTS:
        if name in options.only.split(","):
            report[name] = parts[name]()
            if options.output is not None:
                options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))
    if options.output is not None:
        from benchmarks.figure import draw

        draw(report, options.output.with_suffix(".png"))


def contest(
    label: str, network: Network, x: Array, T: int, rounds: int, with_torch: bool, limit: list[dict[str, Any]]
) -> dict[str, Any]:
    """refsim's modes and PyTorch on the same images by turns; limit : what `micro.measure` found."""
    runs: dict[str, Run] = {}
    facts: dict[str, Any] = {"network": label}
    if with_torch:
        try:
            from benchmarks.torch_snn import contenders
        except ImportError as error:
            facts["left out"] = f"PyTorch: {error}"
            print(f"PyTorch is left out: {error}", file=sys.stderr)
        else:
            runs |= contenders(network, T, x, double=False) | contenders(network, T, x, double=True)
    for mode in MODES:
        plan = compile_network(network, mode)
        runs[f"refsim {mode}"] = lambda plan=plan: simulate(plan, x, T)  # type: ignore[misc]
    trace = simulate(compile_network(network, "exact"), x, T)
    sops = sum(int(each.unit.sum()) for each in trace.ops.values()) / len(x)
    graded = sum(int(each.event.sum()) for each in trace.ops.values()) / len(x)
    synapses = sum(
        each.n_synapses
        for target in compile_network(network, "exact").targets
        for each in target.projections
        if each.port.source != INPUT
    )
    seconds = by_turns(runs, rounds)
    facts |= {"sops_per_image": sops, "density": sops / synapses / T}
    facts["recomputed_per_image"] = sum(float(each.recomputed.sum()) for each in trace.populations.values()) / len(x)
    for name, times in seconds.items():
        double = name.endswith("float64")
        rivals = [n for n in seconds if not n.startswith("refsim") and n.endswith("float64") == double]
        facts[name] = spread([1e3 * each / len(x) for each in times])
        if name.startswith("refsim"):
            rate = graded * len(x) / float(np.median(times)) / 1e9
            facts[name]["giga_row_additions_per_second"] = rate
            facts[name]["share_of_limit"] = {
                each["table"]: rate / each["giga_additions_per_second"]
                for each in limit
                if each["dtype"] == MODES[name.removeprefix("refsim ")]
            }
            if rivals:
                best = [min(seconds[rival][i] for rival in rivals) for i in range(rounds)]
                facts[name]["times_as_fast_as_best_rival"] = float(np.median(np.divide(best, times)))
    return facts


def threads(network: Network, images: refsim.Images, T: int, batch: int, rounds: int, n_cores: int) -> dict[str, Any]:
    """How much faster two threads are by the clock on the wall."""
    if n_cores < 2:
        return {"left out": "one core"}
    plan = compile_network(network, "exact")
    indices = images.indices[: 8 * batch]
    ratios = []
    for _ in range(rounds + 1):
        seconds = []
        for n in (1, 2):
            started = time.perf_counter()
            run_snn(plan, images.data, indices, T, batch=batch, threads=n)
            seconds.append(time.perf_counter() - started)
        ratios.append(seconds[0] / seconds[1])
    return {"two against one": float(np.median(ratios[1:])), "least": min(ratios[1:]), "greatest": max(ratios[1:])}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()

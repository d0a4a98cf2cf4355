"""Every performance figure: `python benchmarks/run.py [--quick] [--weights FILE --data PATH] [-o FILE.json]`.

Contenders run by turns in one process on one core (one thread each), each round all of them once; a time is CPU
time of the process per image, quoted as the median over rounds with the least and the greatest; a ratio is the
median over rounds of the ratio within a round. Without PyTorch its part is left out, and the output says so.

Densities: the first runs the network as it is; the second with v0 = 0, which makes fewer spikes. The density is
SOPs per image over T times the existing synapses behind the first layer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import micro
from refsim.cli.options import load_inputs, load_weights
from refsim.model import INPUT, Network
from refsim.parallel import run_snn
from refsim.plan import compile_network
from refsim.simulator import simulate

Array = NDArray[Any]
Run = Callable[[], Any]
MODES = ("exact", "float64", "float32")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-w", "--weights", help="weight file [the small network in the package]")
    parser.add_argument("--data", help="images [the samples in the weight file]")
    parser.add_argument("-T", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--quick", action="store_true", help="3 rounds, and no growth")
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("-o", "--output", type=Path, help="write FILE.json and FILE.png")
    options = parser.parse_args()
    path, file = load_weights(options.weights)
    inputs = load_inputs(path, file, options.data, None, False)
    rounds = 3 if options.quick else 9
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    report: dict[str, Any] = {
        "network": file.network.name,
        "T": options.T,
        "batch": options.batch,
        "rounds": rounds,
        "machine": {"platform": platform.platform(), "processor": _processor(), "cores": os.cpu_count()},
    }
    report["start"] = start_times(options.weights)
    report["threads"] = threads(file.network, inputs, options.T, options.batch, rounds, len(cores) or 1)
    if cores:
        os.sched_setaffinity(0, cores[-1:])
    report["limit"] = micro.measure(rounds)
    x = inputs.images.currents(inputs.indices[: options.batch])
    quiet = file.network.with_neurons(
        {each.name: replace(each.neuron, v0=np.zeros(())) for each in file.network.spiking}
    )
    report["contest"] = [
        contest(label, network, x, options.T, rounds, not options.no_torch)
        for label, network in (("as it is", file.network), ("v0 = 0", quiet))
    ]
    if not options.quick:
        report["growth"] = growth(file.network, inputs, rounds)
    report["resident_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(report, indent=2))
    if options.output is not None:
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        plot(report, options.output.with_suffix(".png"))


def contest(label: str, network: Network, x: Array, T: int, rounds: int, with_torch: bool) -> dict[str, Any]:
    """refsim's modes and PyTorch on the same images by turns."""
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
        for population in compile_network(network, "exact").populations
        for each in population.projections
        if each.port.source != INPUT
    )
    seconds = by_turns(runs, rounds)
    facts |= {"sops_per_image": sops, "density": sops / synapses / T}
    facts["recomputed_per_image"] = sum(float(each.recomputed.sum()) for each in trace.populations.values()) / len(x)
    for name, times in seconds.items():
        double = name.endswith("float64")
        rivals = [n for n in seconds if n.startswith("PyTorch") and n.endswith("float64") == double]
        facts[name] = _spread([1e3 * each / len(x) for each in times])
        if name.startswith("refsim"):
            facts[name]["giga_row_additions_per_second"] = graded * len(x) / np.median(times) / 1e9
            if rivals:
                best = [min(seconds[rival][i] for rival in rivals) for i in range(rounds)]
                facts[name]["times_as_fast_as_best_pytorch"] = float(np.median(np.divide(best, times)))
    return facts


def by_turns(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each run in each round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started = time.process_time()
            run()
            if number > 0:
                seconds[name].append(time.process_time() - started)
    return seconds


def growth(network: Network, inputs: Any, rounds: int) -> list[dict[str, Any]]:
    """Milliseconds per image of `exact` for several T and batches."""
    plan = compile_network(network, "exact")
    found = []
    for T, batch in ((1, 16), (2, 16), (4, 16), (8, 16), (16, 8), (32, 4), (64, 2), (4, 1), (4, 4), (4, 64)):
        x = inputs.images.currents(inputs.indices[:batch])
        times = by_turns({"": lambda x=x, T=T: simulate(plan, x, T)}, rounds)[""]  # type: ignore[misc]
        found.append({"T": T, "batch": batch} | _spread([1e3 * each / len(x) for each in times]))
    return found


def threads(network: Network, inputs: Any, T: int, batch: int, rounds: int, n_cores: int) -> dict[str, Any]:
    """How much faster two threads are by the clock on the wall."""
    if n_cores < 2:
        return {"left out": "one core"}
    plan = compile_network(network, "exact")
    indices = inputs.indices[: 8 * batch]
    ratios = []
    for _ in range(rounds + 1):
        seconds = []
        for n in (1, 2):
            started = time.perf_counter()
            run_snn(plan, inputs.images, indices, T, batch=batch, threads=n)
            seconds.append(time.perf_counter() - started)
        ratios.append(seconds[0] / seconds[1])
    return {"two against one": float(np.median(ratios[1:])), "least": min(ratios[1:]), "greatest": max(ratios[1:])}


def start_times(weights: str | None) -> dict[str, float]:
    """CPU seconds of `refsim run` on one image, with an empty and with a filled cache of compiled kernels."""
    command = [sys.executable, "-m", "refsim", "run", "--limit", "1", "--neuron", "if", "-q"]
    command += ["-w", weights] if weights else []
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        found = {}
        for name in ("first run ever", "cached"):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                command, env=environment, check=True, capture_output=True, cwd=Path(__file__).resolve().parent.parent
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            found[name] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return found


def plot(report: dict[str, Any], path: Path) -> None:
    """Bars of milliseconds per image, one group for each density."""
    from matplotlib.figure import Figure

    axes = Figure(figsize=(8, 4), layout="constrained").subplots()
    for i, facts in enumerate(report["contest"]):
        names = [name for name, value in facts.items() if isinstance(value, dict)]
        places = np.arange(len(names)) + 0.4 * i
        axes.barh(places, [facts[n]["median"] for n in names], 0.38, label=f"density {facts['density']:.3f}")
        axes.set_yticks(np.arange(len(names)) + 0.2, names)
    axes.set_xlabel(f"ms CPU per image, T = {report['T']}")
    axes.set_xscale("log")
    axes.legend()
    axes.figure.savefig(path, dpi=150)


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": float(np.median(values)), "least": min(values), "greatest": max(values)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()

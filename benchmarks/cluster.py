"""How much faster two workers of a dask cluster are than one: `python -m benchmarks.cluster [-w FILE --data DATA]`.

Local clusters of one and of two worker processes with a thread each compute the same images by turns, each after a
few images that make it read files and compile. They keep their results in a run directory, as `refsim run --scheduler`
does. The figure is the ratio of the medians; the machine needs two cores that nobody else uses. The CPU time of this
process, which is client and scheduler, is printed too: it is what the second worker has to share its core with.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from refsim.cli.options import load_inputs, load_weights
from refsim.runs.cluster.connection import connected
from refsim.runs.cluster.worker import Job
from refsim.runs.store.directory import About, RunDirectory
from refsim.runs.store.spec import Spec
from refsim.version import __version__


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-w", "--weights", help="[default: the network in the package]")
    parser.add_argument("--data", help="[default: the samples in the weight file]")
    parser.add_argument("-T", type=int, default=4)
    parser.add_argument("--limit", type=int, help="Images; one worker should take ten seconds or more.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="exact")
    options = parser.parse_args()

    path, file = load_weights(options.weights)
    inputs = load_inputs(path, file, options.data, options.limit, False)
    neurons = {layer.name: layer.neuron for layer in file.network.spiking}
    spec = Spec(
        engine=__version__,
        weights=file.sha256,
        data=inputs.sha256,
        images=len(inputs.images),
        limit=options.limit,
        pad=False,
        T=options.T,
        dtype=options.dtype,
        neuron="file",
        theta_neg=None,
        theta_neg_mode=None,
        v0=None,
        skip_zero_weights=False,
        ann=False,
    )
    data = None if options.data is None else str(Path(options.data).absolute())
    job = Job(name="file", spec=spec, weights=str(path.absolute()), data=data, neurons=neurons, batch=None)
    about = About(weights=str(path), weights_path=str(path.absolute()), source=inputs.source)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    client: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.rounds):
        for n in (1, 2):
            with (
                connected("local", n) as cluster,
                tempfile.TemporaryDirectory() as folder,
                RunDirectory(Path(folder), spec, inputs.indices, about=about) as store,
            ):
                cluster.run(job, inputs.indices[: 32 * n], lambda batch: None)
                started, used = time.perf_counter(), time.process_time()
                cluster.run(job, inputs.indices, lambda batch, store=store: store.commit("file", batch))
                seconds[n].append(time.perf_counter() - started)
                client[n].append(time.process_time() - used)
    medians = {n: statistics.median(each) for n, each in seconds.items()}
    facts = {"images": len(inputs.indices), "seconds": seconds, "client_cpu_seconds": client}
    print(json.dumps(facts | {"ratio": medians[1] / medians[2]}))


if __name__ == "__main__":
    main()

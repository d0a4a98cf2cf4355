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

import refsim
from refsim.runs.cluster.connection import connected
from refsim.runs.cluster.worker import Job
from refsim.runs.settings import Settings
from refsim.runs.store.directory import About, RunDirectory
from refsim.runs.store.spec import Spec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-w", "--weights", help="[default: the network in the package]")
    parser.add_argument("--data", help="[default: the samples in the weight file]")
    parser.add_argument("-T", type=int, default=4)
    parser.add_argument("--limit", type=int, help="Images; one worker should take ten seconds or more.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="exact")
    options = parser.parse_args()

    file = refsim.load(options.weights)
    images = refsim.open_images(file, options.data, limit=options.limit)
    spec = Spec.of(Settings(T=options.T, dtype=options.dtype, ann=False), file, images)
    weights = str(Path(file.path).absolute())
    job = Job(
        name="file",
        spec=spec,
        weights=weights,
        data=None if images.path is None else str(Path(images.path).absolute()),
        neurons={layer.name: layer.neuron for layer in file.network.spiking},
        batch=None,
    )
    about = About(weights=file.path, weights_path=weights, source=images.description)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    client: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.rounds):
        for n in (1, 2):
            with (
                connected("local", n) as cluster,
                tempfile.TemporaryDirectory() as folder,
                RunDirectory(Path(folder), spec, images.indices, about=about) as store,
            ):
                cluster.run(job, images.indices[: 32 * n], lambda batch: None)
                started, used = time.perf_counter(), time.process_time()
                cluster.run(job, images.indices, lambda batch, store=store: store.commit("file", batch))
                seconds[n].append(time.perf_counter() - started)
                client[n].append(time.process_time() - used)
    medians = {n: statistics.median(each) for n, each in seconds.items()}
    facts = {"images": len(images), "seconds": seconds, "client_cpu_seconds": client}
    print(json.dumps(facts | {"ratio": medians[1] / medians[2]}))


if __name__ == "__main__":
    main()

"""The worker's side: a job becomes a machine and its images, a task becomes rows."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import RefsimError, UsageError
from refsim.formats.images.currents import InputCurrents
from refsim.model import Neuron
from refsim.runs.runner import Runner
from refsim.runs.store.rows import Batch, concatenate
from refsim.runs.store.spec import Spec
from refsim.version import __version__

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """How a worker makes a machine and its images.

    weights, data
        Absolute paths, the same on every worker; no data: the samples in the weight file.
    neurons
        By spiking layer, as the options of the run want them.
    """

    name: str
    spec: Spec
    weights: str
    data: str | None
    neurons: dict[str, Neuron]
    batch: int | None

    @property
    def key(self) -> str:
        """Two recipes of one key make the same machine from the same files."""
        text = f"{self.name} {self.batch} {self.weights} {self.data} {self.spec.to_json()}"
        return hashlib.sha256(text.encode()).hexdigest()

    def prepare(self) -> tuple[Runner, InputCurrents]:
        """Read and check the files and compile the network.

        Raises
        ------
        UsageError
            This worker runs another version of refsim, or finds other files.
        """
        from refsim.formats.images.inputs import open_images
        from refsim.formats.weights.hdf5 import load

        spec = self.spec
        if spec.engine != __version__:
            raise UsageError(f"the run was started with refsim {spec.engine}, the worker has {__version__}")
        file = load(self.weights)
        if file.sha256 != spec.weights:
            raise UsageError(f"{self.weights}: sha256 {file.sha256[:12]}..., the run has {spec.weights[:12]}...")
        images = open_images(file, self.data, limit=spec.limit, **asdict(spec.preparation))
        if images.sha256 != spec.data:
            raise UsageError(f"{self.data}: sha256 {images.sha256[:12]}..., the run has {spec.data[:12]}...")
        return Runner.compile(self.name, file.network.with_neurons(self.neurons), spec), images.data


_PREPARED: dict[str, tuple[Runner, InputCurrents]] = {}
_PREPARING = threading.Lock()


def run_shard(job: Job, indices: Indices) -> tuple[Batch, float]:
    """The task: rows of these images, and the seconds they took without reading files and compiling."""
    key = job.key
    with _PREPARING:
        if key not in _PREPARED:
            # One run at a time is usual: at most an ANN and two SNNs, and weights are not small.
            while len(_PREPARED) >= 3:
                del _PREPARED[next(iter(_PREPARED))]
            try:
                _PREPARED[key] = job.prepare()
            except RefsimError as error:
                raise type(error)(f"worker on {socket.gethostname()}: {error}") from None
    machine, images = _PREPARED[key]
    batches: list[Batch] = []
    started = time.perf_counter()
    machine.run(images, indices, batches.append, batch=job.batch)
    return concatenate(batches), time.perf_counter() - started

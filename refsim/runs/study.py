"""Study: which networks a run puts on which images, compiled once, and the three ways of running them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from refsim.engine.batches import run_ann, run_snn
from refsim.engine.modes import KINDS, QuantisedMode
from refsim.engine.results import Result
from refsim.engine.trace import Activations, Trace
from refsim.exceptions import InterruptedRunError
from refsim.formats.images.inputs import Images
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.parts import WeightFile
from refsim.model import Network
from refsim.reports.quantised import RoundedLayer, rounded_layers
from refsim.runs.runner import Runner, check_result
from refsim.runs.settings import ANN, Effort, Progress, Settings, silent
from refsim.runs.store.directory import About, RunDirectory
from refsim.runs.store.rows import Batch
from refsim.runs.store.spec import Part, Spec

if TYPE_CHECKING:
    from refsim.runs.recorder import Recorder

Indices = NDArray[np.int64]
Results = dict[str, Result]
OnTrace = Callable[[str, Indices, Trace, Result], object]
"""Told, for the SNN of this name, what happened on a batch of images, in their order."""

NOTHING_KEPT = "interrupted; nothing was kept (with -o NAME.run it would have been)"


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """What is to be computed, and at what expense."""

    file: WeightFile
    images: Images
    settings: Settings
    effort: Effort = field(default_factory=Effort)
    progress: Progress = silent

    @cached_property
    def spec(self) -> Spec:
        """What decides the bits."""
        return Spec.of(self.settings, self.file, self.images)

    @cached_property
    def networks(self) -> Mapping[str, Network]:
        """Every network by its name; the ANN first, if it runs."""
        return self.settings.networks(self.file.network)

    @cached_property
    def runners(self) -> Runners:
        """Every network compiled, once, when its turn comes."""
        return Runners(self.networks, self.settings)

    @property
    def rounded(self) -> tuple[RoundedLayer, ...] | None:
        """What int16 and int8 did to the weights; None in other numbers."""
        if isinstance(KINDS[self.settings.dtype], QuantisedMode) and self.runners.rounded is None:
            # Everything was there already: a resumed run that had nothing left to do.
            self.runners.compile(self.settings.kinds[0])
        return self.runners.rounded

    def label(self, name: str) -> str:
        """What stands before the progress bar."""
        return "ANN" if name == ANN else "dual" if self.networks[name].dual else "IF"


class Runners:
    """Compiles networks one after the other; a plan is let go before the next one is made, since weights are large.

    rounded
        What int16 and int8 did to the weights, the same for every kind of neuron; None in other numbers, and before
        an SNN has been compiled.
    """

    def __init__(self, networks: Mapping[str, Network], settings: Settings) -> None:
        self._networks, self._settings = networks, settings
        self._alive: WeakValueDictionary[str, Runner] = WeakValueDictionary()
        self.rounded: tuple[RoundedLayer, ...] | None = None

    def compile(self, name: str) -> Runner:
        """The network of this name, ready to run; the one that somebody still holds, if there is one."""
        runner = self._alive.get(name)
        if runner is not None:
            return runner
        runner = Runner.compile(name, self._networks[name], self._settings)
        if name != ANN and self.rounded is None:
            self.rounded = rounded_layers(runner.plan)
        self._alive[name] = runner
        return runner


def run_in_memory(
    study: Study,
    record: Collection[str] = (),
    on_trace: OnTrace | None = None,
    recorder: Recorder | None = None,
    only: Collection[str] | None = None,
) -> Results:
    """Run all networks and keep the sums; what else is wanted of each batch goes to `on_trace` or a recorder.

    Parameters
    ----------
    record
        What traces hold besides counts: any of "spikes", "n", "v", "current".
    only
        Names of networks; None: all.

    Raises
    ------
    InterruptedRunError
        Someone stopped it.
    """

    def on_batch(name: str, part: Indices, trace: Trace, result: Result) -> None:
        if recorder is not None:
            recorder.write(part, trace, result)
        if on_trace is not None:
            on_trace(name, part, trace, result)

    try:
        with recorder if recorder is not None else nullcontext():
            return {name: _run_one(study, name, record, on_batch) for name in only or study.networks}
    except KeyboardInterrupt:
        raise InterruptedRunError(NOTHING_KEPT) from None


def _run_one(study: Study, name: str, record: Collection[str], on_trace: OnTrace) -> Result:
    images, effort, runner = study.images, study.effort, study.runners.compile(name)
    plan = runner.plan
    with study.progress(study.label(name), len(images)) as done:
        if name == ANN:

            def on_activations(part: Indices, activations: Activations) -> None:
                done(len(part))

            correct = run_ann(
                plan,
                images.data,
                images.indices,
                batch=effort.batch,
                threads=effort.n_threads,
                on_batch=on_activations,
            )
            return ann_result(correct, len(images))

        def on_batch(part: Indices, trace: Trace, result: Result) -> None:
            on_trace(name, part, trace, result)
            done(len(part))

        return run_snn(
            plan,
            images.data,
            images.indices,
            study.settings.T,
            batch=effort.batch,
            threads=effort.n_threads,
            record=record,
            on_batch=on_batch,
        )


def ann_result(correct: int, n_images: int) -> Result:
    """The ANN's accuracy in the form of a run."""
    counts = np.array([correct])
    return Result(
        T=1, n_images=n_images, n_labelled=n_images, correct=counts, populations={}, ops={}, nonzero_macs=0, x_max=0.0
    )


def run_kept(
    study: Study,
    directory: Path | None,
    *,
    part: Part | None = None,
    resume: bool = False,
    scheduler: str | None = None,
) -> Results:
    """Run all networks and keep every batch in a run directory (None: a temporary one) as soon as it is there.

    Raises
    ------
    InterruptedRunError
        Someone stopped it; the message says what is kept.
    UsageError, FormatError
        As `RunDirectory`; a cluster that cannot be used.
    """
    with ExitStack() as stack:
        path = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="refsim-")))
        about = About(
            weights=clean(study.file.path, None),
            weights_path=_as_text(Path(study.file.path).absolute()),
            source=study.images.description,
        )
        store = stack.enter_context(
            RunDirectory(path, study.spec, study.images.indices, about=about, part=part, resume=resume)
        )
        pending = {name: store.pending(name) for name in study.networks}
        try:
            if scheduler is not None and any(map(len, pending.values())):
                _run_on_cluster(study, store, pending, scheduler)
            else:
                _run_here(study, store, pending)
        except KeyboardInterrupt:
            if directory is None:
                raise InterruptedRunError(NOTHING_KEPT) from None
            left = sum(len(store.pending(name)) for name in study.networks)
            total = len(store.images) * len(study.networks)
            raise InterruptedRunError(
                f"interrupted; {total - left} of {total} results are in {path}, the same command with --resume goes on"
            ) from None
        results = {name: store.result(name) for name in study.networks}
        for name, network in study.networks.items():
            check_result(name, network, study.settings.T, results[name])
        return results


def _as_text(path: Path) -> str:
    """A path as text that a database takes; one that is no UTF-8 is then only for people to read."""
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        return clean(name, None)
    return name


def _run_here(study: Study, store: RunDirectory, pending: Mapping[str, Indices]) -> None:
    for name, indices in pending.items():
        if not len(indices):
            continue
        runner = study.runners.compile(name)
        with study.progress(study.label(name), len(indices)) as done:

            def keep(batch: Batch, name: str = name, done: Any = done) -> None:
                done(store.commit(name, batch))

            runner.run(study.images.data, indices, keep, batch=study.effort.batch, threads=study.effort.n_threads)


def _run_on_cluster(study: Study, store: RunDirectory, pending: Mapping[str, Indices], scheduler: str) -> None:
    from refsim.runs.cluster.connection import connected
    from refsim.runs.cluster.worker import Job

    with connected(scheduler, study.effort.n_threads) as cluster:
        for name, network in study.networks.items():
            job = Job(
                name=name,
                spec=study.spec,
                weights=str(Path(study.file.path).absolute()),
                data=None if study.images.path is None else str(Path(study.images.path).absolute()),
                neurons={layer.name: layer.neuron for layer in network.spiking},
                batch=study.effort.batch,
            )
            with study.progress(study.label(name), len(pending[name])) as done:

                def keep(batch: Batch, name: str = name, done: Any = done) -> None:
                    done(store.commit(name, batch))

                cluster.run(job, pending[name], keep)

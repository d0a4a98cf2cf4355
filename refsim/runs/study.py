"""Study: which networks `run` puts on which images, and the three ways of doing it."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.cli.options import Inputs, thread_count, with_options
from refsim.cli.progress import progress
from refsim.engine.batches import run_ann, run_snn
from refsim.engine.results import Result
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.parts import WeightFile
from refsim.model import Network
from refsim.reports.run import kind_of
from refsim.runs.interrupt import Interrupt, InterruptedRunError
from refsim.runs.runner import ANN, Runner, check_result
from refsim.runs.store.directory import About, RunDirectory
from refsim.runs.store.spec import Part, Spec
from refsim.version import __version__

Indices = NDArray[np.int64]
Results = dict[str, Result]

NOTHING_KEPT = "interrupted; nothing was kept (with -o NAME.run it would have been)"


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """What is to be computed.

    neuron
        "if", "dual", "signed", "both" or "file".
    ann
        Whether the source ANN runs too.
    options
        Of the command line: neurons, number type, batch, threads, quiet.
    """

    path: Path
    file: WeightFile
    data: str | None
    inputs: Inputs
    T: int
    neuron: str
    ann: bool
    options: dict[str, Any]

    @cached_property
    def spec(self) -> Spec:
        """What decides the bits."""
        return Spec(
            engine=__version__,
            weights=self.file.sha256,
            data=self.inputs.sha256,
            images=len(self.inputs.images),
            limit=self.options["limit"],
            pad=self.options["pad"],
            T=self.T,
            neuron=self.neuron,
            ann=self.ann,
            **{key: self.options[key] for key in ("dtype", "theta_neg", "theta_neg_mode", "v0", "skip_zero_weights")},
        )

    @cached_property
    def networks(self) -> dict[str, Network]:
        """Every machine's name with its network."""
        return networks_of(self.file.network, self.spec)


def _label(name: str, network: Network) -> str:
    """What stands before the progress bar."""
    return {"if": "IF", "dual": "dual"}[kind_of(network)] if name != ANN else "ANN"


def networks_of(network: Network, spec: Spec) -> dict[str, Network]:
    """Every machine's name with its network; the ANN first, if it runs."""
    kinds = ("if", "dual") if spec.neuron == "both" else (spec.neuron,)
    machines = {ANN: network} if spec.ann else {}
    for kind in kinds:
        chosen = None if kind == "file" else kind
        machines[kind] = with_options(network, chosen, spec.theta_neg, spec.theta_neg_mode, spec.v0)
    return machines


def run_in_memory(study: Study, record: frozenset[str], output: Path | None, interrupt: Interrupt) -> Results:
    """Run all machines, keep the sums only; a recording is written as the images come."""
    try:
        return {
            name: _run_one(study, name, network, record, output, interrupt) for name, network in study.networks.items()
        }
    except KeyboardInterrupt:
        raise InterruptedRunError(NOTHING_KEPT) from None


def _run_one(
    study: Study, name: str, network: Network, record: frozenset[str], output: Path | None, interrupt: Interrupt
) -> Result:
    options, inputs = study.options, study.inputs
    machine = Runner.compile(name, network, study.spec)
    effort = {"batch": options["batch"], "threads": thread_count(options["threads"])}
    with ExitStack() as stack:
        recorder = None
        if name != ANN and output is not None and output.suffix == ".h5":
            from refsim.runs.recording import Recorder

            recorder = stack.enter_context(
                Recorder(
                    output,
                    T=study.T,
                    n_images=len(inputs.indices),
                    labels=inputs.images.labels_of(inputs.indices),
                    what=record,
                    attributes={
                        "name": network.name,
                        "neuron": kind_of(network),
                        "weights_sha256": study.file.sha256,
                    },
                )
            )
        done = stack.enter_context(progress(_label(name, network), len(inputs.indices), options["quiet"]))

        def on_batch(part: Any, trace: Any, result: Any = None) -> None:
            if recorder is not None:
                recorder.write(part, trace, result)
            done(len(part))
            interrupt.check()

        if name == ANN:
            correct = run_ann(machine.plan, inputs.images, inputs.indices, on_batch=on_batch, **effort)
            return ann_result(correct, len(inputs.indices))
        kept = record & {"n", "v", "spikes"}
        return run_snn(machine.plan, inputs.images, inputs.indices, study.T, record=kept, on_batch=on_batch, **effort)


def ann_result(correct: int, n_images: int) -> Result:
    """The ANN's accuracy in the form of a run."""
    counts = np.array([correct])
    return Result(
        T=1, n_images=n_images, n_labelled=n_images, correct=counts, populations={}, ops={}, nonzero_macs=0, x_max=0.0
    )


def run_kept(
    study: Study, directory: Path | None, part: Part | None, resume: bool, scheduler: str | None, interrupt: Interrupt
) -> Results:
    """Run all machines and keep every batch in a run directory (None: a temporary one) as soon as it is there."""
    with ExitStack() as stack:
        path = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="refsim-")))
        about = About(
            weights=clean(str(study.path), None), weights_path=str(study.path.absolute()), source=study.inputs.source
        )
        store = stack.enter_context(
            RunDirectory(path, study.spec, study.inputs.indices, about=about, part=part, resume=resume)
        )
        pending = {name: store.pending(name) for name in study.networks}
        try:
            if scheduler is not None and any(map(len, pending.values())):
                _run_on_cluster(study, store, pending, scheduler, interrupt)
            else:
                _run_here(study, store, pending, interrupt)
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
            check_result(name, network, study.T, results[name])
        return results


def _run_here(study: Study, store: RunDirectory, pending: dict[str, Indices], interrupt: Interrupt) -> None:
    options = study.options
    for name, network in study.networks.items():
        if not len(pending[name]):
            continue
        machine = Runner.compile(name, network, study.spec)
        with progress(_label(name, network), len(pending[name]), options["quiet"]) as done:

            def keep(batch: Any, name: str = name, done: Any = done) -> None:
                done(store.commit(name, batch))
                interrupt.check()

            machine.run(
                study.inputs.images,
                pending[name],
                keep,
                batch=options["batch"],
                threads=thread_count(options["threads"]),
            )


def _run_on_cluster(
    study: Study, store: RunDirectory, pending: dict[str, Indices], scheduler: str, interrupt: Interrupt
) -> None:
    from refsim.runs.cluster.connection import connected
    from refsim.runs.cluster.worker import Job

    options = study.options
    networks = study.networks
    with connected(scheduler, thread_count(options["threads"])) as cluster:
        for name, network in networks.items():
            job = Job(
                machine=name,
                spec=study.spec,
                weights=str(study.path.absolute()),
                data=None if study.data is None else str(Path(study.data).absolute()),
                neurons={layer.name: layer.neuron for layer in network.spiking},
                batch=options["batch"],
            )
            with progress(_label(name, network), len(pending[name]), options["quiet"]) as done:

                def keep(batch: Any, name: str = name, done: Any = done) -> None:
                    done(store.commit(name, batch))
                    interrupt.check()

                cluster.run(job, pending[name], keep)

"""report: everything there is to say about one converted network on some images, as one page."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from refsim.analysis.energy import EnergyModel, find_energy_model
from refsim.engine.modes import Mode
from refsim.engine.results import Result
from refsim.engine.trace import Trace
from refsim.exceptions import InterruptedRunError, UsageError
from refsim.formats.images.inputs import Data, Images, open_images
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.parts import WeightFile
from refsim.methods.registry import find_method
from refsim.model import Network
from refsim.reports.accuracy_if import AccuracyIf
from refsim.reports.errors import ErrorReport
from refsim.reports.info import describe
from refsim.reports.page import Advice, Answers, Page, Replayed
from refsim.reports.page.page import Thumbnails, WrongImage
from refsim.reports.page.png import as_photographed, as_seen, png_url
from refsim.reports.run import shown_steps
from refsim.reports.versions import Versions
from refsim.runs.accuracy_if import accuracy_if
from refsim.runs.compare import compare
from refsim.runs.errors import layer_errors
from refsim.runs.residuals import residual_shares
from refsim.runs.run import DEFAULT_ENERGY, make_study
from refsim.runs.run import report as run_report
from refsim.runs.settings import ANN, Effort, Progress, RunKind, Settings, silent
from refsim.runs.study import run_in_memory
from refsim.runs.walk import walk
from refsim.verification.golden import replay

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

N_WRONG = 8
"""How many wrong images are shown of each SNN."""

N_ADVICE, N_CALIBRATE = 50, 32
"""Images on which methods are compared for advice, and calibrated, at most."""

TRIED = ("qcfs", "ecl", "tcl", "snm", "rts")
"""Methods tried for advice: v(0) = theta / 2, a negative threshold, v(0) = 0, one of -theta, a bias."""


def report(
    file: WeightFile,
    images: Images | Data = None,
    *,
    T: int = 16,
    neuron: RunKind = "both",
    dtype: Mode = "exact",
    limit: int | None = None,
    pad: bool = False,
    scale: float | None = None,
    currents: bool = False,
    resize: int | None = None,
    crop: int | None = None,
    closer: int = 100,
    energy: str | EnergyModel = DEFAULT_ENERGY,
    advice: bool = False,
    batch: int | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> Page:
    """Make the report page of a converted network, as `refsim report` does, with the same defaults.

    Parameters
    ----------
    file, images, T, neuron, dtype, limit, pad, scale, currents, resize, crop, energy, batch, threads, progress
        As in `refsim.run`.
    closer
        Images, evenly strided among the others, on which errors are split: that takes as long as many runs.
    advice
        Also compare conversion methods on a few images: what would do better.

    Returns
    -------
    Page
        Has `save(path)`, and shows itself in a notebook.

    Raises
    ------
    UsageError
        A value that cannot be.
    DataError, FormatError, NetworkError
        Images or files that cannot be used.
    CheckFailedError
        A golden result in the file is not met.
    InterruptedRunError
        Someone stopped it.
    """
    if closer < 1:
        raise UsageError(f"closer must be at least 1, got {closer}")
    settings, effort = Settings(T=T, neuron=neuron, dtype=dtype), Effort(batch=batch, threads=threads)
    model = find_energy_model(energy) if isinstance(energy, str) else energy
    if not isinstance(images, Images):
        images = open_images(
            file, images, limit=limit, pad=pad, scale=scale, currents=currents, resize=resize, crop=crop
        )
    study = make_study(file, images, settings, effort, progress)
    logits: dict[str, list[Array]] = {}

    def on_trace(name: str, part: Indices, trace: Trace, result: Result) -> None:
        logits.setdefault(name, []).append(trace.logits.sum(axis=0))

    results = run_in_memory(study, on_trace=on_trace)
    run = run_report(study, results, model)
    some = images[:: -(-len(images) // closer)]
    try:
        sums = {name: np.concatenate(parts) for name, parts in logits.items()}
        answers = _answers(file.network, images, sums)
        kinds = {name: network for name, network in study.networks.items() if name != ANN}
        first = next(iter(kinds))
        errors, no_errors = _errors(file, some, settings, first, effort, progress)
        as_ann = _as_ann(kinds[first], some, errors, T, effort, progress)
        return Page(
            about=describe(file),
            run=run,
            thumbnails=_thumbnails(file.network, images),
            answers=answers,
            errors=errors,
            no_errors=no_errors,
            residuals=residual_shares(kinds[first], some, T, effort)
            if errors is not None and not errors.missing
            else (),
            as_ann=as_ann,
            advice=_advice(file, some, T, dtype, effort, progress) if advice else None,
            walk=walk(kinds, images, T, _chosen(images, answers)),
            replayed=_replayed(file),
            versions=Versions.here(),
        )
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted; nothing was kept") from None


def _answers(network: Network, images: Images, sums: Mapping[str, Array]) -> dict[str, Answers]:
    labels = images.labels
    if labels is None:
        return {}
    found = {}
    for name, scores in sums.items():
        predicted = scores.argmax(axis=1)
        confusion = np.zeros((network.n_classes, network.n_classes), dtype=np.int64)
        np.add.at(confusion, (labels, predicted), 1)
        lead = scores.max(axis=1) - scores[np.arange(len(labels)), labels]
        worst = [i for i in np.argsort(-lead, kind="stable")[:N_WRONG] if predicted[i] != labels[i]]
        found[name] = Answers(
            confusion=confusion,
            wrong=tuple(
                WrongImage(
                    number=int(images.indices[i]),
                    label=class_name(network, int(labels[i])),
                    predicted=class_name(network, int(predicted[i])),
                    lead=float(lead[i]),
                    pixels=_photo(network, images, i),
                )
                for i in map(int, worst)
            ),
        )
    return found


def class_name(network: Network, k: int) -> str:
    """The name of a class, or its number where it has none."""
    return clean(network.classes[k], 40) if network.classes else str(k)


def _photo(network: Network, images: Images, i: int) -> str:
    return png_url(as_photographed(images[i : i + 1].currents()[0], network.input))


def _thumbnails(network: Network, images: Images) -> Thumbnails:
    x = images[:1].currents()[0]
    return Thumbnails(photographed=png_url(as_photographed(x, network.input)), seen=png_url(as_seen(x)))


def _errors(
    file: WeightFile, some: Images, settings: Settings, kind: str, effort: Effort, progress: Progress
) -> tuple[ErrorReport | None, str]:
    """The split of every layer, at powers of two of steps; or why there is none."""
    if not file.network.spiking:
        return None, "the network has no spiking layers"
    try:
        return (
            layer_errors(
                file,
                some,
                T=shown_steps(settings.T, most=1),
                neuron=kind,  # type: ignore[arg-type]  # a kind of neuron, as it names an SNN
                dtype=settings.dtype,
                batch=effort.batch,
                threads=effort.threads,
                progress=progress,
            ),
            "",
        )
    except UsageError as error:
        return None, str(error)


def _as_ann(
    network: Network, some: Images, errors: ErrorReport | None, T: int, effort: Effort, progress: Progress
) -> AccuracyIf | None:
    if errors is None or errors.missing or not some.has_labels:
        return None
    return accuracy_if(network, some, errors.worst.number, T, effort=effort, progress=progress)


def _advice(file: WeightFile, some: Images, T: int, dtype: Mode, effort: Effort, progress: Progress) -> Advice | None:
    """Methods that differ in one thing each; None where none is for this network, or nothing to judge them by."""
    few = some[:: -(-len(some) // N_ADVICE)]
    methods = [name for name in TRIED if _is_for(name, file.network)]
    if not few.has_labels or not methods:
        return None
    steps = shown_steps(T, most=1)[-3:]
    try:
        done = compare(
            file,
            few,
            methods=methods,
            T=steps,
            n_calibrate=N_CALIBRATE,
            dtype=dtype,
            batch=effort.batch,
            threads=effort.threads,
            progress=progress,
        )
    except UsageError:
        return None  # no calibration images, and all of them need some
    return Advice(comparison=done)


def _is_for(name: str, network: Network) -> bool:
    try:
        find_method(name).check(network)
    except UsageError:
        return False
    return True


def _chosen(images: Images, answers: Mapping[str, Answers]) -> list[int]:
    """Positions of the images that are walked through: the two that are most wrong, then the first ones."""
    wrong = [each.number for answer in answers.values() for each in answer.wrong[:2]]
    places = {int(number): i for i, number in enumerate(images.indices)}
    return list(dict.fromkeys([places[number] for number in wrong][-2:] + list(range(len(images)))))


def _replayed(file: WeightFile) -> tuple[Replayed, ...]:
    if file.samples is None:
        return ()
    met = (replay(file.network, file.samples, each) for each in file.golden)
    return tuple(Replayed(neuron=each.neuron, T=each.T, n_images=each.n_images, n_spikes=each.n_spikes) for each in met)

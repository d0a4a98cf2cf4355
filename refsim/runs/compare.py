"""compare: conversion methods side by side on one network and one set of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from refsim.analysis.energy import EnergyModel, find_energy_model
from refsim.engine.modes import KINDS, Mode, QuantisedMode
from refsim.exceptions import InterruptedRunError, NetworkError, UsageError
from refsim.formats.images.inputs import Data, Images, open_images
from refsim.formats.weights.parts import WeightFile
from refsim.methods.base import Calibration, Method
from refsim.methods.choose_images import choose
from refsim.methods.compare import Arena, MethodOutcome, compare_method, passes
from refsim.methods.registry import METHODS, find_method
from refsim.model import Network
from refsim.reports.compare import Comparison, MethodReport, MethodStep
from refsim.reports.origin import Origin
from refsim.reports.run import AnnRun
from refsim.runs.run import DEFAULT_ENERGY, make_study
from refsim.runs.settings import ANN, Effort, Progress, Settings, silent
from refsim.runs.study import NOTHING_KEPT, run_in_memory

DTYPES = tuple(mode for mode, kind in KINDS.items() if not isinstance(kind, QuantisedMode))
"""Numbers in which methods are compared; 8 and 16 bits would round each method's weights in another way."""

DEFAULT_T = (1, 2, 4, 8, 16, 32)


def compare(
    file: WeightFile,
    images: Images | Data = None,
    *,
    methods: Sequence[str] | Literal["all"] = "all",
    T: int | Sequence[int] = DEFAULT_T,
    calibrate: str | None = None,
    n_calibrate: int = 128,
    calibrate_on_test: bool = False,
    dtype: Mode = "exact",
    limit: int | None = None,
    pad: bool = False,
    scale: float | None = None,
    currents: bool = False,
    resize: int | None = None,
    crop: int | None = None,
    energy: str | EnergyModel = DEFAULT_ENERGY,
    batch: int | None = None,
    threads: int | None = None,
    progress: Progress = silent,
    note: Callable[[str], object] = lambda line: None,
) -> Comparison:
    """Compare conversion methods: accuracy and synaptic operations of each at several T, on the same images.

    Every method is charged with the steps and operations that it needs besides the T counted steps.

    Parameters
    ----------
    file, images, limit, pad, scale, currents, resize, crop, energy, batch, threads, progress
        As in `refsim.run`; the images need labels.
    methods
        Names, e.g. ["qcfs", "percentile:99.9", "opi+dual"]; "all": every one that is for this network.
    T
        Numbers of steps.
    calibrate
        A data set of calibration images; None: the training part of the data, else images that are not tested on.
    n_calibrate
        How many of them, evenly strided.
    calibrate_on_test
        Learn from the test images themselves.
    note
        Told, in one line each, what a person should know: why something was left out.

    Raises
    ------
    UsageError
        A method that was named and is plainly not for this network; images without labels; no method that can run.
    DataError
        Images that cannot be used.
    InterruptedRunError
        Someone stopped it.
    """
    steps = tuple(sorted({T} if isinstance(T, int) else set(T)))
    if not steps:
        raise UsageError("T names no number of steps")
    for t in steps:
        Settings(T=t, dtype=dtype)
    if dtype not in DTYPES:
        raise UsageError(f"dtype {dtype} rounds weights, each method's in another way; choose {', '.join(DTYPES)}")
    named = methods != "all"
    found = [find_method(text) for text in dict.fromkeys(METHODS if methods == "all" else methods)]
    network = file.network
    chosen, left_out = _applicable(found, network, strict=named)
    if not isinstance(images, Images):
        images = open_images(
            file, images, limit=limit, pad=pad, scale=scale, currents=currents, resize=resize, crop=crop
        )
    if not images.has_labels:
        raise UsageError(f"{images.description}: no labels, so no accuracy to compare methods by")
    learned = _calibration(network, images, calibrate, n_calibrate, calibrate_on_test, note)
    effort = Effort(batch=batch, threads=threads)
    calibration = None
    if learned is not None:
        calibration = Calibration(
            network=network, images=learned.data, indices=learned.indices, threads=effort.n_threads
        )
    arena = Arena(images=images.data, indices=images.indices, dtype=dtype, batch=effort.batch, threads=effort.n_threads)
    try:
        ann = _run_ann(file, images, dtype, effort, progress, energy, note)
        reports = []
        for method in chosen:
            with progress(method.name, passes(method, steps) * len(images)) as done:
                try:
                    outcome = compare_method(method, network, calibration, steps, arena, done)
                except (UsageError, NetworkError) as error:
                    # What has run so far is not thrown away for a method that turns out not to be for this network.
                    left_out[method.name] = str(error)
                    continue
            reports.append(_report(outcome))
    except KeyboardInterrupt:
        raise InterruptedRunError(NOTHING_KEPT.partition(" (")[0]) from None
    if not reports:
        raise UsageError(f"no method can run on '{network.name}': {'; '.join(left_out.values())}")
    return Comparison(
        origin=Origin.of(file, images),
        calibration=None if learned is None else learned.description,
        T=steps,
        dtype=dtype,
        ann=ann,
        methods=tuple(reports),
        left_out=left_out,
    )


def _applicable(methods: Sequence[Method], network: Network, strict: bool) -> tuple[list[Method], dict[str, str]]:
    """The methods that are for this network, and why the others are not; one that was named is refused."""
    kept, left_out = [], {}
    for method in methods:
        try:
            method.check(network)
            kept.append(method)
        except UsageError as error:
            if strict:
                raise
            left_out[method.name] = str(error)
    return kept, left_out


def _calibration(
    network: Network,
    images: Images,
    named: str | None,
    n: int,
    on_test: bool,
    note: Callable[[str], object],
) -> Images | None:
    """The calibration images; None, with a word about why, where there are none and none were named."""
    try:
        return choose(network, images, named, n, on_test)
    except UsageError as error:
        if named is not None:
            raise
        note(f"no calibration images: {error}")
        return None


def _run_ann(
    file: WeightFile,
    images: Images,
    dtype: Mode,
    effort: Effort,
    progress: Progress,
    energy: str | EnergyModel,
    note: Callable[[str], object],
) -> AnnRun:
    """The source ANN on the same images; what it costs alone where its activations are not known."""
    model = find_energy_model(energy) if isinstance(energy, str) else energy
    unknown = file.network.unknown_L
    if unknown is not None:
        note(f"the ANN is left out: the file does not say L for '{unknown}'; convert again with --L")
        return AnnRun.of(file.network, model, None)
    study = make_study(file, images, Settings(dtype=dtype), effort, progress)
    return AnnRun.of(file.network, model, run_in_memory(study, only=(ANN,))[ANN])


def _report(outcome: MethodOutcome) -> MethodReport:
    return MethodReport(
        method=outcome.method,
        source=outcome.source,
        summary=outcome.summary,
        thresholds="; ".join(outcome.origins),
        extra_steps=outcome.extra_steps,
        steps=tuple(
            MethodStep(
                T=t,
                latency=t + outcome.extra_steps,
                correct=int(outcome.correct[i]),
                n_images=outcome.n_images,
                sop=int(outcome.sop[i]),
                residual=int(outcome.residual[i]),
                extra_sop=int(outcome.extra_sop[i]),
            )
            for i, t in enumerate(outcome.T)
        ),
    )

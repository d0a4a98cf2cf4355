"""run: simulate a network on images; accuracy at every t <= T, synaptic operations, energy."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from refsim.analysis.energy import EnergyModel, find_energy_model
from refsim.engine.modes import Mode
from refsim.engine.results import Result
from refsim.engine.simulator import simulate
from refsim.engine.trace import Trace
from refsim.exceptions import UsageError
from refsim.formats.images.inputs import Data, Images, open_images
from refsim.formats.weights.parts import WeightFile
from refsim.reports.origin import Origin
from refsim.reports.run import AnnRun, Recorded, Run, SnnRun
from refsim.runs.settings import ANN, Effort, Progress, RunKind, Settings, silent
from refsim.runs.store.spec import Part
from refsim.runs.study import Indices, Results, Study, run_in_memory, run_kept

if TYPE_CHECKING:
    from refsim.runs.recorder import Recorder

Array = NDArray[Any]

RECORDED = ("spikes", "n", "v", "current")
"""What a run can keep of every neuron."""

DEFAULT_ENERGY = "horowitz45"
"""Prices of 45 nm CMOS; the papers' own make an ANN look a hundred times dearer than it can be."""


def run(
    file: WeightFile,
    images: Images | Data = None,
    *,
    T: int = 4,
    neuron: RunKind = "file",
    dtype: Mode = "exact",
    theta_neg: float | None = None,
    theta_neg_mode: Literal["absolute", "relative"] | None = None,
    v0: float | None = None,
    skip_zero_weights: bool = False,
    ann: bool = True,
    limit: int | None = None,
    pad: bool = False,
    scale: float | None = None,
    currents: bool = False,
    resize: int | None = None,
    crop: int | None = None,
    energy: str | EnergyModel = DEFAULT_ENERGY,
    record: Collection[str] = (),
    recording: str | os.PathLike[str] | None = None,
    select: Collection[str] = (),
    keep: str | os.PathLike[str] | None = None,
    resume: bool = False,
    shard: str | None = None,
    scheduler: str | None = None,
    batch: int | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> Run:
    """Simulate a converted network, as `refsim run` does, with the same defaults.

    Parameters
    ----------
    file
        From `refsim.load`.
    images
        From `refsim.open_images`; or what that takes: a path, an array, (images, labels); None: the file's samples.
    T, neuron, dtype, theta_neg, theta_neg_mode, v0, skip_zero_weights, ann
        As in `Settings`: what decides the bits. The ANN is left out where the file does not say what it computes.
    limit, pad, scale, currents, resize, crop
        As in `open_images`; for data that is opened here.
    energy
        Prices of operations: a model, the name of one, or a .toml or .json file.
    record
        Any of "spikes", "n", "v", "current": kept for every neuron and image, see `Run.recorded`.
    recording
        An HDF5 file for what is recorded, and for counts and logits of every image (`refsim.read_result`).
    select
        Only of these layers, neurons and steps is kept in the recording what `record` says: "layer3.2",
        "layer3.2:0,5,7-9", "layer3.2@1,4", "layer3.2:0,5@1,4", neurons by their flat index, steps from 1.
    keep
        A run directory that keeps every batch as it comes; with `resume` a run that stopped goes on.
    shard
        "I/N": only part I of N of the images, for `refsim.merge`.
    scheduler
        URL of a dask.distributed scheduler, or "local".
    batch, threads
        As in `Effort`: no bit of the result depends on them.
    progress
        Told how many images are done.

    Raises
    ------
    UsageError
        A value or a combination that cannot be.
    DataError, FormatError, NetworkError
        Images or files that cannot be used.
    InterruptedRunError
        Someone stopped it.
    RefsimError
        A current that overflows.

    Examples
    --------
    >>> import refsim
    >>> done = refsim.run(refsim.load(), T=2, neuron="dual", limit=20)
    >>> done.accuracy.shape, done.sops_per_image.shape
    ((2,), (2,))
    """
    settings = Settings(
        T=T if isinstance(T, bool) else int(T) if isinstance(T, np.integer) else T,
        neuron=neuron,
        dtype=dtype,
        theta_neg=theta_neg,
        theta_neg_mode=theta_neg_mode,
        v0=v0,
        skip_zero_weights=skip_zero_weights,
        ann=ann,
    )
    if isinstance(images, Images):
        if limit is not None or pad or scale is not None or currents or resize is not None or crop is not None:
            raise UsageError(
                "limit, pad, scale, currents, resize and crop belong to open_images; these images are open already"
            )
    else:
        images = open_images(
            file, images, limit=limit, pad=pad, scale=scale, currents=currents, resize=resize, crop=crop
        )
    unknown = sorted(set(record) - set(RECORDED)) if not isinstance(record, str) else [record]
    if unknown:
        raise UsageError(f"record takes a tuple of {', '.join(RECORDED)}, got {unknown[0]!r}")
    if select and (recording is None or not record or isinstance(select, str)):
        raise UsageError('select is a list of what goes into a recording: give recording="FILE.h5" and record, too')
    study = make_study(file, images, settings, Effort(batch=batch, threads=threads), progress)
    return perform(
        study,
        find_energy_model(energy) if isinstance(energy, str) else energy,
        keep=None if keep is None else Path(keep),
        resume=resume,
        part=None if shard is None else Part.parse(shard),
        scheduler=scheduler,
        recording=None if recording is None else Path(recording),
        record=record,
        select=select,
        in_memory=not select,
    )


def perform(
    study: Study,
    model: EnergyModel,
    *,
    keep: Path | None = None,
    resume: bool = False,
    part: Part | None = None,
    scheduler: str | None = None,
    recording: Path | None = None,
    record: Collection[str] = (),
    select: Collection[str] = (),
    in_memory: bool = False,
) -> Run:
    """Run a study in one of its ways, and report it; the arguments are those of `run`.

    in_memory
        Keep what is recorded in the report too, and not only in the file.

    Raises
    ------
    UsageError
        A combination that cannot be.
    """
    if keep is None and scheduler is None:
        if resume or part is not None:
            raise UsageError("a run is resumed, or cut into parts, in a run directory: name one")
        collector = _Collector(record if in_memory else ())
        recorder = None if recording is None else _recorder(study, recording, record, select)
        results = run_in_memory(study, record, collector.add, recorder)
        return report(study, results, model, collector)
    if record or recording is not None:
        raise UsageError("a run directory and a cluster keep counts only: leave out what is to be recorded")
    return report(study, run_kept(study, keep, part=part, resume=resume, scheduler=scheduler), model, part=part)


def _recorder(study: Study, path: Path, record: Collection[str], select: Collection[str]) -> Recorder:
    from refsim.runs.recorder import Recorder  # h5py takes a tenth of a second to import
    from refsim.runs.selection import parse_selections

    snn = [name for name in study.networks if name != ANN]
    if len(snn) > 1:
        raise UsageError("a recording holds one run; choose neurons if or dual")
    images, network, T = study.images, study.networks[snn[0]], study.settings.T
    selections = parse_selections(network, T, select)
    runner = study.runners.compile(snn[0])

    def potentials(indices: Indices, t: int) -> Trace:
        return simulate(runner.plan, images.data.currents(indices), t, ("v",))

    return Recorder(
        path,
        plan=runner.plan,
        T=T,
        n_images=len(images),
        labels=images.labels,
        what=record,
        attributes={
            "name": network.name,
            "neuron": "dual" if network.dual else "if",
            "weights_sha256": study.file.sha256,
            "source": images.description,
            "data_sha256": images.sha256,
        },
        select=selections,
        potentials=potentials,
    )


def make_study(
    file: WeightFile, images: Images, settings: Settings, effort: Effort, progress: Progress = silent
) -> Study:
    """The study of these settings; without the ANN where there are no labels, or the file does not say what it is."""
    if settings.ann and (not images.has_labels or file.network.unknown_L is not None):
        settings = replace(settings, ann=False)
    study = Study(file=file, images=images, settings=settings, effort=effort, progress=progress)
    study.networks  # noqa: B018, neurons that cannot be are refused before any work
    return study


def report(
    study: Study,
    results: Results,
    model: EnergyModel,
    collector: _Collector | None = None,
    part: Part | None = None,
) -> Run:
    """The report of a study that has been run."""
    origin = Origin.of(study.file, study.images)
    if part is not None:
        n_images = next(iter(results.values())).n_images
        origin = replace(origin, source=f"part {part} of {origin.source}", n_images=n_images, shard=str(part))
    settings, network = study.settings, study.file.network
    snn = {
        name: SnnRun(
            network=each,
            result=results[name],
            dtype=settings.dtype,
            model=model,
            skip_zero_weights=settings.skip_zero_weights,
            logits=collector.logits(name) if collector is not None else None,
            recorded=collector.recorded(name) if collector is not None else None,
        )
        for name, each in study.networks.items()
        if name != ANN
    }
    return Run(
        origin=origin,
        T=settings.T,
        dtype=settings.dtype,
        model=model,
        ann=AnnRun.of(network, model, results.get(ANN), settings.skip_zero_weights),
        snn=snn,
        rounded=study.rounded,
    )


class _Collector:
    """Joins what the traces of all batches recorded, by SNN and spiking layer."""

    def __init__(self, record: Collection[str]) -> None:
        self._record = tuple(record)
        self._traces: dict[str, list[Trace]] = {}

    def add(self, name: str, part: Indices, trace: Trace, result: Result) -> None:
        """Take in a batch; batches come in the order of the images."""
        if not self._record:
            return
        self._traces.setdefault(name, []).append(trace)

    def logits(self, name: str) -> Array | None:
        """(T, N, K), or None if nothing is recorded."""
        traces = self._traces.get(name)
        return None if traces is None else np.concatenate([each.logits for each in traces], axis=1)

    def recorded(self, name: str) -> dict[str, Recorded] | None:
        """By spiking layer."""
        traces = self._traces.get(name)
        if traces is None:
            return None
        return {
            layer: Recorded(
                **{
                    key: self._join([getattr(each.populations[layer], key) for each in traces], key)
                    for key in self._record
                }
            )
            for layer in traces[0].populations
        }

    def _join(self, parts: Sequence[Array], key: str) -> Array:
        return np.concatenate(parts, axis=1 if key == "spikes" else 0)

"""merge: the parts of a run add up to it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from refsim.analysis.energy import EnergyModel, find_energy_model
from refsim.engine.modes import KINDS, QuantisedMode
from refsim.engine.plan import compile_network
from refsim.exceptions import FormatError, UsageError
from refsim.formats.images.currents import strided
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.locate import load
from refsim.formats.weights.parts import WeightFile
from refsim.reports.origin import Origin
from refsim.reports.quantised import rounded_layers
from refsim.reports.run import AnnRun, Run, SnnRun
from refsim.runs.run import DEFAULT_ENERGY
from refsim.runs.runner import check_result
from refsim.runs.settings import ANN
from refsim.runs.store.merge import Parts


def merge(
    runs: Sequence[str | os.PathLike[str]],
    file: WeightFile | None = None,
    *,
    energy: str | EnergyModel = DEFAULT_ENERGY,
) -> Run:
    """Add up run directories: all parts of one run, in any order, or one whole run.

    Parameters
    ----------
    runs
        The directories.
    file
        The weight file of the run; None: where the first part found it.
    energy
        Prices of operations, as in `refsim.run`.

    Raises
    ------
    UsageError
        Parts of different runs, images that are missing, another weight file.
    CheckFailedError
        Images that two parts hold with different results.
    FormatError
        No run directory, or a damaged one.
    """
    model = find_energy_model(energy) if isinstance(energy, str) else energy
    with closing(Parts([Path(each) for each in runs])) as parts:
        spec = parts.spec
        file = file or load(parts.about.weights_path)
        if file.sha256 != spec.weights:
            raise UsageError(
                f"{clean(file.path, None)}: sha256 {file.sha256[:12]}..., the run was made with "
                f"{spec.weights[:12]}...; name its weight file with --weights"
            )
        n_samples = 0 if file.samples is None else len(file.samples.labels)
        if not spec.data and spec.images != n_samples:
            raise FormatError(
                f"{clean(str(runs[0]), None)}: was made on {spec.images} samples of the weight file, "
                f"which holds {n_samples}"
            )
        images = strided(spec.images, spec.limit)
        networks = spec.networks(file.network)
        results = {name: parts.result(name, images) for name in networks}
        for name, network in networks.items():
            check_result(name, network, spec.T, results[name])
    origin = Origin(
        file=parts.about.weights,
        name=file.network.name,
        weights_sha256=file.sha256,
        source=parts.about.source,
        n_images=len(images),
        data_sha256=spec.data,
    )
    snn = {
        name: SnnRun(
            network=network,
            result=results[name],
            dtype=spec.dtype,
            model=model,
            skip_zero_weights=spec.skip_zero_weights,
        )
        for name, network in networks.items()
        if name != ANN
    }
    quantised = isinstance(KINDS[spec.dtype], QuantisedMode)
    return Run(
        origin=origin,
        T=spec.T,
        dtype=spec.dtype,
        model=model,
        ann=AnnRun.of(file.network, model, results.get(ANN), spec.skip_zero_weights),
        snn=snn,
        rounded=rounded_layers(compile_network(file.network, spec.dtype)) if quantised else None,
    )

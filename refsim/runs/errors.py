"""layer_errors: where the error of each spiking layer comes from, on images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from refsim.analysis.measure import measure_errors
from refsim.engine.modes import Mode
from refsim.engine.plan import compile_network
from refsim.exceptions import UsageError
from refsim.formats.images.inputs import Data, Images, open_images
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.parts import WeightFile
from refsim.model import Network, NeuronKind, Spiking
from refsim.reports.accuracy_if import AccuracyIf
from refsim.reports.errors import ErrorReport, LayerReport, Step
from refsim.reports.origin import Origin
from refsim.reports.quantised import rounded_layers
from refsim.runs.settings import Effort, Progress, Settings, silent

Layers = str | int | Sequence[str | int] | None


def layer_errors(
    file: WeightFile,
    images: Images | Data = None,
    *,
    layer: Layers = None,
    T: int | Sequence[int] = 4,
    neuron: NeuronKind = "file",
    dtype: Mode = "exact",
    theta_neg: float | None = None,
    theta_neg_mode: Literal["absolute", "relative"] | None = None,
    v0: float | None = None,
    channels: bool = False,
    limit: int | None = None,
    pad: bool = False,
    scale: float | None = None,
    currents: bool = False,
    resize: int | None = None,
    crop: int | None = None,
    batch: int | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> ErrorReport:
    """Split the error of spiking layers into clipping, quantization, unevenness and what earlier layers propagated.

    As `refsim errors`, with the same defaults (QCFS Sec. 3.3, Eq. 9-12; NQ Eq. 7-12).

    Parameters
    ----------
    file, images, neuron, dtype, theta_neg, theta_neg_mode, v0
        As in `refsim.run`.
    limit, pad, scale, currents, resize, crop, batch, threads, progress
        As in `refsim.run`.
    layer
        Name or number (from 1) of a spiking layer, or several; None: all.
    T
        Time steps, or several numbers of them: each is a run of its own, on networks that are compiled once.
    channels
        Also means per channel.

    Raises
    ------
    UsageError
        No such layer, neurons that do not conserve potential, a value that cannot be.
    DataError
        Images that cannot be used.

    Examples
    --------
    >>> import refsim
    >>> report = refsim.layer_errors(refsim.load(), layer=1, T=4, limit=10)
    >>> report[1].unevenness.mean  # the first layer's current is constant
    0.0
    """
    steps = tuple(sorted({T} if isinstance(T, int) else set(T)))
    if not steps:
        raise UsageError("T names no number of steps")
    for t in steps:
        Settings(T=t, neuron=neuron, dtype=dtype, theta_neg=theta_neg, theta_neg_mode=theta_neg_mode, v0=v0)
    effort = Effort(batch=batch, threads=threads)
    network = file.network.with_kind(neuron, theta_neg=theta_neg, theta_neg_mode=theta_neg_mode, v0=v0)
    chosen = _chosen(network, layer)
    if not isinstance(images, Images):
        images = open_images(
            file, images, limit=limit, pad=pad, scale=scale, currents=currents, resize=resize, crop=crop
        )
    missing = missing_ann(network)
    # The SNN of `exact` records its potentials in float64; its whole numbers would be compiled for nothing.
    plan = compile_network(network, "float64" if dtype == "exact" else dtype)
    ann = None if missing else compile_network(network, dtype, fold=False)
    with progress("errors", len(images)) as done:
        found = measure_errors(
            plan,
            ann,
            chosen,
            images.data,
            images.indices,
            steps,
            per_channel=channels,
            batch=effort.batch,
            threads=effort.n_threads,
            on_batch=done,
        )

    def measure(key: str | int, t: int, told: Progress | None) -> AccuracyIf:
        from refsim.runs.accuracy_if import accuracy_if

        return accuracy_if(network, images, key, t, effort=effort, progress=told or silent)

    return ErrorReport(
        study=measure,
        origin=Origin.of(file, images),
        dtype=dtype,
        neuron="dual" if network.dual else "if",
        missing=missing,
        rounded=rounded_layers(plan),
        steps=tuple(
            Step(T=t, layers=tuple(LayerReport.of(network, each, errors) for each, errors in zip(chosen, row)))
            for t, row in zip(steps, found)
        ),
    )


def _chosen(network: Network, layer: Layers) -> list[Spiking]:
    if not network.spiking:
        raise UsageError(f"'{clean(network.name)}' has no spiking layers, so no layer's error to split")
    if layer is None:
        return list(network.spiking)
    keys = [layer] if isinstance(layer, str | int) else list(layer)
    return list(dict.fromkeys(network.find_spiking(str(key)) for key in keys))


def missing_ann(network: Network) -> str | None:
    """What cannot be said, because the ANN cannot be run."""
    unknown = network.unknown_L
    if unknown is None:
        return None
    return (
        f"the error against the ANN and its propagated part are left out: the file does not say L for "
        f"'{clean(unknown)}', the ANN's quantization steps; convert again with --L"
    )

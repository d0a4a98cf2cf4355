"""From the names and shapes of a checkpoint's tensors to a `Network`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import FormatError, NetworkError, UsageError
from refsim.formats.untrusted.text import clean
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.checkpoint import Checkpoint
from refsim.importers.features import build_sequence, find_sequence
from refsim.importers.graph import Built
from refsim.importers.keys import THRESHOLD, known_names, likely_thresholds
from refsim.importers.layouts import RESIDUAL, SEQUENCES
from refsim.importers.options import ActivationKind, ImportOptions
from refsim.importers.residual import build_residual
from refsim.importers.vgg import build_vgg, is_vgg
from refsim.model import InputSpec, Network

Array = NDArray[Any]

ASSUMED_KEY = "assumed"
"""Metadata of the network: what the keys do not show and their layout implies."""

_METHODS: dict[ActivationKind, str] = {"qcfs": "qcfs", "clip": "tcl", "relu": "relu"}
"""How a network is called that was trained with these activations."""

Fits = Callable[[Mapping[str, Array]], bool]
Build = Callable[[Mapping[str, Array], str, ImportOptions], Built]


def _residual(name: str) -> tuple[Fits, Build]:
    layout = RESIDUAL[name]
    return (lambda tensors: layout.key in tensors), partial(build_residual, layout)


def _sequence(name: str) -> tuple[Fits, Build]:
    layout = SEQUENCES[name]
    return (lambda tensors: find_sequence(layout, tensors) is not None), partial(build_sequence, layout)


ARCHITECTURES: dict[str, tuple[Fits, Build]] = {
    "vgg": (is_vgg, build_vgg),
    **{name: _residual(name) for name in RESIDUAL},
    **{name: _sequence(name) for name in SEQUENCES},
}
"""By layout of the keys: whether they follow it, and what makes the layers."""


def to_network(
    checkpoint: Checkpoint,
    options: ImportOptions,
    *,
    arch: str = "auto",
    name: str | None = None,
    classes: tuple[str, ...] = (),
) -> Network:
    """Convert a checkpoint of QCFS activations into a spiking network.

    With `options.choice.L` = None the source has ReLU, and every theta is 1 until `calibrate` sets it.

    Parameters
    ----------
    arch
        One of `ARCHITECTURES`, or "auto": whichever layout the keys follow.
    name
        Of the network; the file's by default.

    Raises
    ------
    FormatError
        Keys that follow no layout refsim knows.
    NetworkError
        Parameters that do not fit together.
    UsageError
        Something that only the user knows is missing.
    """
    where = clean(str(checkpoint.path), None)
    tensors = known_names(checkpoint.tensors, options.keys.rename, where)
    fitting = [key for key, (fits, _) in ARCHITECTURES.items() if fits(tensors)]
    if arch != "auto" and arch not in ARCHITECTURES:
        raise UsageError(f"arch must be auto, {', '.join(ARCHITECTURES)}, got {arch!r}")
    if arch == "auto" and not fitting:
        some = ", ".join(shown(key) for key in list(tensors)[:3])
        raise FormatError(
            f"{where}: the keys ({some}, ...) follow no layout refsim knows (docs/layouts.md lists them): "
            "layer1.0.weight, layer1.2.thresh, ..., classifier.1.weight (VGG of the official QCFS code), "
            "conv1.0.weight, conv2_x.0.residual_function.0.weight, ..., fc.weight (its ResNet), "
            "conv1.weight, layer1.0.conv1.weight, ..., fc.weight (ResNets of torchvision, timm, CIFAR codes), "
            "features.0.weight, ..., classifier.0.weight (VGGs of torchvision), 0.weight, 3.weight, ... (Sequential); "
            "--keys MAP.toml renames others"
        )
    if arch != "auto" and arch not in fitting:
        raise FormatError(f"{where}: the keys do not follow the {arch} layout")
    layout = fitting[0] if arch == "auto" else arch
    activation = _activation(tensors, where, options)
    if activation == "clip":
        options = replace(options, choice=replace(options.choice, L=None, clipped=True))
    assumed = []
    if options.activation is None and activation == "qcfs":
        assumed = ["QCFS activations (TCL and clipped ReLU have the same keys: --activation clip)"]
    if activation == "relu":
        tensors = {key: value for key, value in tensors.items() if not key.endswith(f".{THRESHOLD}")}
    for key, value in tensors.items():
        if value.dtype.kind not in "fiu":
            raise FormatError(f"{where}: {shown(key)} holds {value.dtype}, not numbers refsim can compute with")
    built = ARCHITECTURES[layout][1](tensors, where, options)
    assumed = [*assumed, *built.assumed]
    try:
        return Network(
            name=name or checkpoint.path.stem,
            input=InputSpec(
                shape=built.shape, mean=np.array(options.mean), std=np.array(options.std), dataset=options.dataset
            ),
            layers=built.layers,
            classes=classes,
            metadata={
                "method": _METHODS[activation] if options.choice.kind == "if" or activation != "qcfs" else "ecl",
                "architecture": built.architecture,
                "source": checkpoint.path.name,
                "source_sha256": checkpoint.sha256,
                "bn_eps": repr(options.bn_eps),
                **({ASSUMED_KEY: "; ".join(assumed)} if assumed else {}),
            },
        )
    except NetworkError as error:
        error.add_note(where)
        raise


def _activation(tensors: Mapping[str, Array], where: str, options: ImportOptions) -> ActivationKind:
    """What the ANN computes, as the user says, or as there are thresholds or not."""
    trained = any(key.endswith(f".{THRESHOLD}") for key in tensors)
    calibrated = options.choice.L is None
    said = options.activation
    if not trained:
        unknown = likely_thresholds(tensors)
        if unknown and said != "relu":
            raise UsageError(
                f"{where}: no key ends in .{THRESHOLD}, and {shown(unknown[0])} may be a threshold of another name; if "
                f"it is, --keys MAP.toml renames it to ....{THRESHOLD}; if the network has ReLU, say --activation relu"
            )
        if said in ("qcfs", "clip"):
            name = "QCFS activations" if said == "qcfs" else "clipped ReLUs"
            raise UsageError(f"{where}: {name} have thresholds, and no key ends in .{THRESHOLD}")
        if not calibrated:
            raise UsageError(
                f"{where}: a ReLU network without thresholds (no key ends in .{THRESHOLD}): --calibrate DATA (in "
                "Python, calibrate=) takes them from its activations on training images"
            )
        return "relu"
    if said == "relu":
        if not calibrated:
            raise UsageError(f"{where}: with ReLU the thresholds come from activations: --calibrate DATA")
        return "relu"
    if calibrated:
        raise UsageError(
            f"{where}: the thresholds of this network are trained; --calibrate is for ReLU networks; if it was trained "
            "with ReLU all the same, say --activation relu"
        )
    if said == "clip" and options.choice.L:
        raise UsageError(f"{where}: a clipped ReLU has no quantization steps; leave out L")
    return said or "qcfs"

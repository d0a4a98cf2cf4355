"""From the names and shapes of a checkpoint's tensors to a `Network`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import FormatError, NetworkError, UsageError
from refsim.formats.untrusted.text import clean
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.checkpoint import Checkpoint
from refsim.importers.options import ImportOptions
from refsim.importers.resnet import build_resnet, is_resnet
from refsim.importers.resnet_cifar import build_resnet_cifar, is_resnet_cifar
from refsim.importers.vgg import build_vgg, is_vgg
from refsim.model import InputSpec, Network

Array = NDArray[Any]

ARCHITECTURES = {
    "vgg": (is_vgg, build_vgg),
    "resnet": (is_resnet, build_resnet),
    "resnet-cifar": (is_resnet_cifar, build_resnet_cifar),
}


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
    tensors = current_names(checkpoint.tensors)
    fitting = [key for key, (fits, _) in ARCHITECTURES.items() if fits(tensors)]
    if arch == "auto" and not fitting:
        some = ", ".join(shown(key) for key in list(tensors)[:3])
        raise FormatError(
            f"{where}: the keys ({some}, ...) follow no layout refsim knows; expected those of the official QCFS code: "
            "layer1.0.weight, layer1.2.thresh, ..., classifier.1.weight (VGG), "
            "conv1.0.weight, conv2_x.0.residual_function.0.weight, ..., fc.weight (ResNet); "
            "or conv1.weight, layer1.0.conv1.weight, ..., linear.weight (CIFAR ResNet with ReLU)"
        )
    if arch != "auto" and arch not in ARCHITECTURES:
        raise UsageError(f"arch must be auto, {', '.join(ARCHITECTURES)}, got {arch!r}")
    if arch != "auto" and arch not in fitting:
        raise FormatError(f"{where}: the keys do not follow the {arch} layout")
    layout = fitting[0] if arch == "auto" else arch
    if options.pool is not None and layout != "vgg":
        raise UsageError(f"{where}: the pools of a {layout} are known; pool is for a VGG, leave it out")
    trained = any(key.endswith(".thresh") for key in tensors)
    if not trained and options.choice.L is not None:
        raise UsageError(
            f"{where}: a ReLU network without thresholds (no key ends in .thresh): --calibrate DATA (in "
            "Python, calibrate=) takes them from its activations on training images"
        )
    if trained and options.choice.L is None:
        raise UsageError(f"{where}: the thresholds of this network are trained; --calibrate is for ReLU networks")
    for key, value in tensors.items():
        if value.dtype.kind not in "fiu":
            raise FormatError(f"{where}: {shown(key)} holds {value.dtype}, not numbers refsim can compute with")
    shape, layers, architecture = ARCHITECTURES[layout][1](tensors, where, options)
    try:
        return Network(
            name=name or checkpoint.path.stem,
            input=InputSpec(
                shape=shape, mean=np.array(options.mean), std=np.array(options.std), dataset=options.dataset
            ),
            layers=layers,
            classes=classes,
            metadata={
                "method": "relu" if not trained else "qcfs" if options.choice.kind == "if" else "ecl",
                "architecture": architecture,
                "source": checkpoint.path.name,
                "source_sha256": checkpoint.sha256,
                "bn_eps": repr(options.bn_eps),
            },
        )
    except NetworkError as error:
        error.add_note(where)
        raise


def current_names(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The same tensors under the keys of today's code: `relu.up` became `act.thresh`, `up` became `thresh`."""
    renamed: dict[str, Array] = {}
    for key, value in tensors.items():
        if key.endswith(".relu.up"):
            key = key.removesuffix("relu.up") + "act.thresh"
        elif key.endswith(".up"):
            key = key.removesuffix("up") + "thresh"
        if key in renamed:
            raise FormatError(f"both the old and the new name of {shown(key)} are there")
        renamed[key] = value
    return renamed

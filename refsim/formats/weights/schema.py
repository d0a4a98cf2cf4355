"""`Content` to Network, samples and golden values: the reading half of the schema (docs/format.md)."""

from __future__ import annotations

import re
from math import prod
from typing import Any, Literal, assert_never, cast, get_args

import numpy as np

from refsim.exceptions import FormatError, NetworkError
from refsim.formats.untrusted.content import DIGEST_KEY, Content
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.encode import CLIPPED, FORMAT, LATEST, RELU, version_of
from refsim.formats.weights.fields import WEIGHTS, Fields, Source, require_name
from refsim.formats.weights.parts import Golden, Samples
from refsim.model import (
    LAYER_KINDS,
    Activation,
    AnyLayer,
    InputSpec,
    Kind,
    MaxMode,
    Network,
    Neuron,
    Pair,
)

MAX_T = 1 << 20
MAX_ELEMENTS = 1 << 28
"""Outputs of one layer for one image. A tiny file can declare planes that no memory holds (huge padding)."""

_KNOWN_GROUPS = ("input", "classes", "layers", "samples", "golden")

# What to do about layers that people will look for. Everything else is simply "not simulated".
_INSTEAD = {
    r"max_?pool": "write it as max_pool2d, which says what its mode is",
    r"batch_?norm|^bn": "fold batch normalisation into the layer before it (`refsim convert` does)",
    r"adaptive_?avg|global_?avg": "write it as avg_pool2d with the kernel of the whole plane",
    r"attention|softmax|layer_?norm|group_?norm|gelu|embedding": "attention and normalisation layers are not simulated",
    r"relu|qcfs|act": "write an activation as the spiking layer that replaces it",
    r"dropout|identity": "leave it out: at inference it does nothing",
    r"lstm|gru|rnn": "recurrent layers are not simulated",
}


def decode(content: Content) -> tuple[Network, Samples | None, tuple[Golden, ...], tuple[str, ...]]:
    """Everything the content says, and warnings about what was ignored.

    Raises
    ------
    FormatError, NetworkError
        `/path: what is wrong`, one line, clean.
    """
    warnings: list[str] = []
    source = Source(content)
    root = Fields(source, "/")
    minor = _check_version(root, warnings)
    for member in sorted(root.members.difference(_KNOWN_GROUPS)):
        warnings.append(f"/{clean(member)}: unknown group or dataset, ignored")
    name = clean(root.text("name"), None)
    root.drop(DIGEST_KEY)
    metadata = _metadata(root, warnings)
    input_ = _input(Fields(source, "/input"))
    layers = _layers(source)
    classes = root.strings("classes") if "classes" in root.members else ()
    try:
        network = Network(name=name, input=input_, layers=layers, classes=classes, metadata=metadata)
    except NetworkError as error:
        raise NetworkError(_with_path(str(error))) from None
    if minor < _minor(version_of(network)):
        raise FormatError(f"/: format_version is 1.{minor}, and it has layers that came with {version_of(network)}")
    for layer, shape in network.shapes.items():
        if prod(shape) > MAX_ELEMENTS:
            raise FormatError(f"/layers/{layer}: output shape {shape} has more than 2^28 elements")
    samples = _samples(Fields(source, "/samples"), network) if "samples" in root.members else None
    golden = _golden(source, network, samples) if "golden" in root.members else ()
    return network, samples, golden, tuple(warnings)


def check_version(content: Content) -> None:
    """Refuse what is not a refsim weight file before its digest is asked for."""
    _check_version(Fields(Source(content), "/"), [])


def _check_version(root: Fields, warnings: list[str]) -> int:
    """The minor version."""
    if not root.has("format"):
        raise FormatError("/: is an HDF5 file but not a refsim weight file (attribute format is missing)")
    root.text("format", (FORMAT,))
    version = root.text("format_version")
    if not re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}", version):
        raise root.error(f"attribute format_version must be MAJOR.MINOR, got '{clean(version)}'")
    major, minor = map(int, version.split("."))
    if major != 1:
        raise root.error(f"format version {version} cannot be read, this refsim reads 1.x")
    if minor > _minor(LATEST):
        warnings.append(f"/: written in format version {version}; this refsim knows {LATEST}")
    return minor


def _minor(version: str) -> int:
    return int(version.split(".")[1])


def _metadata(root: Fields, warnings: list[str]) -> dict[str, str]:
    metadata: dict[str, str] = {}
    for key, value in sorted(root.rest().items()):
        require_name(key, "/")
        if isinstance(value, str):
            metadata[key] = clean(value, None)
        else:
            warnings.append(f"/: attribute {key} is not a string, ignored")
    return metadata


def _input(fields: Fields) -> InputSpec:
    shape = fields.integers("shape", 3)
    values = {key: fields.array(key, shape=shape[:1]) for key in ("mean", "std")}
    scale, color = fields.number("scale"), fields.text("color", ("RGB", "L"))
    dataset = clean(fields.text("dataset"), None)
    fields.finish()
    try:
        return InputSpec(
            shape=cast(tuple[int, int, int], shape),
            scale=scale,
            color=cast(Literal["RGB", "L"], color),
            dataset=dataset,
            **values,
        )
    except NetworkError as error:
        raise NetworkError(f"/input: {str(error).removeprefix('input: ')}") from None


def _layers(source: Source) -> tuple[AnyLayer, ...]:
    names = Fields(source, "/layers")
    if names.rest():
        raise names.error("must have no attributes")
    groups = [Fields(source, f"/layers/{name}") for name in sorted(names.members)]
    indices: dict[int, str] = {}
    for group, name in zip(groups, sorted(names.members)):
        require_name(name, "/layers")
        index = group.integer("index")
        if not 0 <= index < len(groups):
            raise group.error(f"index must lie in [0, {len(groups)}), got {index}")
        if index in indices:
            raise group.error(f"index {index} is used by '{indices[index]}' too")
        indices[index] = name
    by_name = dict(zip(sorted(names.members), groups))
    return tuple(_layer(indices[i], by_name[indices[i]]) for i in range(len(groups)))


def _layer(name: str, fields: Fields) -> AnyLayer:
    kind = fields.text("kind")
    if kind not in LAYER_KINDS:
        hint = next((text for key, text in _INSTEAD.items() if re.search(key, kind.lower())), "")
        hint = hint or f"not simulated; the kinds are {', '.join(LAYER_KINDS)}"
        raise fields.error(f"layer kind '{clean(kind)}': {hint}")
    inputs = tuple(require_name(each, f"{fields.path}: inputs") for each in fields.texts("inputs"))
    cls = LAYER_KINDS[kind]
    arguments = _arguments(cls.kind, fields)
    fields.finish()
    try:
        return cls(name=name, inputs=inputs, **arguments)
    except NetworkError as error:
        raise NetworkError(_with_path(str(error))) from None


def _arguments(kind: Kind, fields: Fields) -> dict[str, Any]:
    """What a layer of this kind has of its own."""
    match kind:
        case "linear":
            return _weighted(fields, 2)
        case "conv2d":
            pairs = _pairs(fields, "stride", "padding", "dilation")
            return _weighted(fields, 4) | pairs | {"groups": fields.integer("groups")}
        case "avg_pool2d":
            return _pairs(fields, "kernel", "stride")
        case "max_pool2d":
            pairs = _pairs(fields, "kernel", "stride", "padding", "dilation")
            return pairs | {"mode": fields.text("mode", get_args(MaxMode))}
        case "flatten" | "add":
            return {}
        case "spiking":
            return _spiking(fields)
        case _:
            assert_never(kind)


def _pairs(fields: Fields, *keys: str) -> dict[str, Pair]:
    return {key: cast(Pair, fields.integers(key, 2)) for key in keys}


def _weighted(fields: Fields, ndim: int) -> dict[str, Any]:
    weight = fields.array("weight", WEIGHTS)
    if weight.ndim != ndim:
        raise fields.error(f"expected {ndim} axes, got shape {weight.shape}", "weight")
    arguments = {"weight": weight, "bias": fields.array("bias", shape=weight.shape[:1])}
    if "scale" in fields.members:
        arguments["scale"] = fields.array("scale", shape=weight.shape[:1])
    return arguments


def _spiking(fields: Fields) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "theta": fields.array("theta"),
        "v0": fields.array("v0"),
        "reset": fields.text("reset", ("subtract", "zero")),
        "gate": fields.text("gate", ("net", "gross")),
        "theta_neg_mode": fields.text("theta_neg_mode", ("absolute", "relative")),
        "leak": fields.number("leak"),
        "strict": fields.has("comparison") and fields.text("comparison", (">=", ">")) == ">",
    }
    theta = arguments["theta"]
    if not (theta >= np.finfo(np.float64).tiny).all():
        raise fields.error(f"must be positive and not subnormal, got {theta.min()}", "theta")
    if fields.text("neuron", ("if", "dual")) == "dual":
        arguments["theta_neg"] = fields.array("theta_neg")
    if fields.has("lambda_") or fields.has("L"):
        L = fields.integer("L")
        if L < CLIPPED or L > MAX_T:
            raise fields.error(
                f"L must be at least 1, 0 (unknown), {RELU} (ReLU) or {CLIPPED} (clipped ReLU), and at most {MAX_T}, "
                f"got {L}"
            )
        lambda_: float | tuple[float, ...]
        if "lambda_" in fields.members:
            lambda_ = tuple(fields.array("lambda_").reshape(-1).tolist())
        else:
            lambda_ = fields.number("lambda_")
        values = {key: fields.number(key) for key in ("shift", "delta")}
        steps = None if L in (RELU, CLIPPED) else L
        try:
            arguments["activation"] = Activation(lambda_=lambda_, L=steps, clipped=L == CLIPPED, **values)
        except NetworkError as error:
            raise fields.error(str(error)) from None
    try:
        return {"neuron": Neuron(**arguments)}
    except NetworkError as error:
        raise fields.error(str(error)) from None


def _samples(fields: Fields, network: Network) -> Samples:
    c, h, w = network.input.shape
    images = fields.array("images", ("u1",))
    if images.ndim != 4 or images.shape[1:] != (h, w, c):
        raise fields.error(f"expected shape (N, {h}, {w}, {c}), got {images.shape}", "images")
    if not len(images):
        raise fields.error("holds no images", "images")
    labels = fields.array("labels", ("i8",), shape=images.shape[:1])
    if labels.min() < 0 or labels.max() >= network.n_classes:
        raise fields.error(
            f"labels must lie in [0, {network.n_classes}), got {labels.min()} to {labels.max()}", "labels"
        )
    fields.finish()
    return Samples(images=images, labels=labels)


def _golden(source: Source, network: Network, samples: Samples | None) -> tuple[Golden, ...]:
    outer = Fields(source, "/golden")
    if samples is None:
        raise outer.error("golden values need /samples to be computed on")
    names = [layer.name for layer in network.spiking]
    entries = []
    for number in range(len(outer.members)):
        fields = Fields(source, f"/golden/{number}")
        outer.members.discard(str(number))
        T, neuron = fields.integer("T"), fields.text("neuron", ("if", "dual"))
        logits = fields.array("logits")
        n = logits.shape[1] if logits.ndim == 3 else 0
        if not 0 < n <= len(samples.labels) or logits.shape != (T, n, network.n_classes):
            expected = f"({T}, N, {network.n_classes}) with N at most {len(samples.labels)}"
            raise fields.error(f"expected shape {expected}, got {logits.shape}", "logits")
        counts: dict[str, dict[str, Any]] = {"counts_pos": {}, "counts_neg": {}}
        for key, by_layer in counts.items():
            if names:
                data = fields.array(key, ("i8",), shape=(len(names), T, n))
                if data.min() < 0:
                    raise fields.error("spike counts must not be negative", key)
                by_layer |= dict(zip(names, data))
        fields.finish()
        entries.append(Golden(T=T, neuron=cast(Literal["if", "dual"], neuron), logits=logits, **counts))
    outer.finish()
    return tuple(entries)


def _with_path(text: str) -> str:
    """Replace the model's "layer 'conv2': " by the layer's path in the file."""
    return re.sub(r"^layer '(.*?)': ", r"/layers/\1: ", text)

"""Attributes, names and graphs that make no sense; correctly sealed, or with a digest that does not fit."""

from __future__ import annotations

from functools import partial

import numpy as np

from refsim.formats.untrusted.content import Node

from ..support import edited
from .base import add
from .sealed import (
    empty_windows,
    foreign,
    huge_windows,
    incomplete_max_pool,
    max_pooled,
    renamed_layer,
    sealed,
    set_attr,
    set_data,
    short_digest,
    swapped_order,
    unequal_windows,
    without,
)


def _attribute_mutations() -> None:
    conv, spiking, pool = "/layers/conv2", "/layers/if2", "/layers/pool"
    for path, key, value, says in (
        ("/", "format", "other-network", "attribute format must be refsim-network, got 'other-network'"),
        ("/", "format_version", "2.0", "format version 2.0 cannot be read, this refsim reads 1.x"),
        ("/", "format_version", "0.9", "format version 0.9 cannot be read"),
        ("/", "format_version", "1", "must be MAJOR.MINOR, got '1'"),
        ("/", "format_version", "1.0\x1b[2J", r"must be MAJOR.MINOR, got '1\.0\\x1b\[2J'"),
        ("/", "format_version", "1." + "9" * 60000, "must be MAJOR.MINOR, got '1.999"),
        ("/", "bad\nkey", "x", r"/: the name 'bad\\x0akey' is empty"),
        ("/input", "shape", (2, 4), "attribute shape must be 3 integers"),
        ("/input", "shape", (0, 4, 4), "/input/mean: expected shape"),
        ("/input", "shape", (2, -4, 4), r"/input: shape must be \(C, H, W\)"),
        ("/input", "shape", (2, 1 << 40, 4), "shape must be 3 integers of at most 2\\^20"),
        ("/input", "shape", (2, 1 << 20, 1 << 20), "has more than 2\\^28 elements|expected shape|weight expects"),
        ("/input", "scale", 0.0, "/input: scale must be positive and finite, got 0.0"),
        ("/input", "scale", float("nan"), "/input: attribute scale must be a finite number, got nan"),
        ("/input", "color", "CMYK", "attribute color must be RGB or L, got 'CMYK'"),
        ("/input", "extra", 1, "/input: unknown attribute 'extra'"),
        ("/layers", "extra", 1, "/layers: must have no attributes"),
        (conv, "index", 1, "index 1 is used by|is used by 'conv2' too"),
        (conv, "index", 8, r"index must lie in \[0, 8\), got 8"),
        (conv, "index", -1, "index must lie in"),
        (conv, "index", 1 << 62, "index must lie in"),
        (conv, "stride", (0, 1), "/layers/conv2: stride must be two integers of at least 1"),
        (conv, "stride", (1,), "attribute stride must be 2 integers"),
        (conv, "padding", (-1, 0), "/layers/conv2: padding must be two integers of at least 0"),
        (conv, "padding", (1 << 30, 0), "padding must be 2 integers of at most 2\\^20"),
        (conv, "padding", (1 << 20, 1 << 20), "/layers/(add|conv2): .*(one shape|more than 2\\^28 elements)"),
        (conv, "dilation", (0, 0), "dilation must be two integers of at least 1"),
        (conv, "groups", 0, "do not divide into 0 groups"),
        (conv, "groups", 2, "do not divide into 2 groups"),
        (conv, "padding_mode", "circular", "unknown attribute 'padding_mode'; it may change"),
        (pool, "kernel", (5, 5), r"/layers/pool: window \(5, 5\) is larger than the input \(3, 4, 4\)"),
        (pool, "kernel", (0, 2), "kernel must be two integers of at least 1"),
        (pool, "ceil_mode", 1, "unknown attribute 'ceil_mode'"),
        (spiking, "neuron", "lif", "attribute neuron must be if or dual"),
        (spiking, "reset", "none", "attribute reset must be subtract or zero"),
        (spiking, "gate", "", "attribute gate must be net or gross, got ''"),
        (spiking, "theta_neg_mode", "x", "attribute theta_neg_mode must be absolute or relative"),
        (spiking, "neuron", "if", "/layers/if2/theta_neg: unknown member"),
        (spiking, "leak", 1.5, r"leak must lie in \[0, 1\]"),
        (spiking, "leak", float("inf"), "attribute leak must be a finite number"),
        (spiking, "L", -3, "L must be at least 1, 0 .unknown., -1 .ReLU. or -2"),
        (spiking, "L", 1 << 40, "L must be at least 1"),
        (spiking, "lambda_", 0.0, "activation: lambda must be positive"),
        (spiking, "shift", 1.0, "activation: shift must lie in"),
        (spiking, "delta", -1.0, "activation: delta must be finite"),
        ("/layers/flat", "kind", "MaxPool", "layer kind 'MaxPool': write it as max_pool2d, which says what its mode"),
        ("/layers/flat", "kind", "batch_norm2d", "fold batch normalisation"),
        ("/layers/flat", "kind", "multihead_attention", "attention and normalisation layers are not simulated"),
        ("/layers/flat", "kind", "softmax", "are not simulated"),
        ("/layers/flat", "kind", "layernorm", "are not simulated"),
        ("/layers/flat", "kind", "relu", "write an activation as the spiking layer"),
        ("/layers/flat", "kind", "dropout", "leave it out"),
        ("/layers/flat", "kind", "lstm", "recurrent layers are not simulated"),
        ("/layers/flat", "kind", "conv3d", "not simulated; the kinds are linear, conv2d"),
        ("/layers/flat", "kind", "\x1b]0;owned\x07", r"layer kind '\\x1b\]0;owned\\x07': not simulated"),
        ("/layers/flat", "kind", "linear", "/layers/flat/weight: the dataset is missing"),
        (conv, "inputs", ("nowhere",), "/layers/conv2: reads 'nowhere', which does not exist"),
        (conv, "inputs", ("if2",), "reads 'if2', which comes later or is part of a cycle"),
        (conv, "inputs", ("conv2",), "reads 'conv2', which comes later or is part of a cycle"),
        (conv, "inputs", ("layer1.0",), "conv2d cannot read 'layer1.0'"),
        (conv, "inputs", ("layer1.2", "layer1.2"), "conv2d reads one input, got 2"),
        (conv, "inputs", ("bad\x07",), r"/layers/conv2: inputs: the name 'bad\\x07'"),
        ("/layers/add", "inputs", ("conv2",), "add reads at least two inputs"),
        ("/layers/add", "inputs", ("conv2", "input"), "add needs inputs of one shape"),
        ("/layers/if2", "inputs", ("conv2",), "conv2d is read by 2 layers|nobody reads it"),
    ):
        add(f"{path}@{key} = {str(value)[:24]!r}", partial(set_attr, path, key, value), says)

    for key, value, says in (
        ("kernel", (0, 2), "kernel must be two integers of at least 1"),
        ("kernel", (6, 6), r"/layers/pool: window \(6, 6\) is larger than the padded input \(3, 4, 4\)"),
        ("kernel", (1 << 21, 1), "attribute kernel must be 2 integers of at most 2\\^20"),
        ("stride", (1, 0), "stride must be two integers of at least 1"),
        ("padding", (2, 0), r"/layers/pool: padding must be at most half of the kernel \(2, 2\), got \(2, 0\)"),
        ("padding", (-1, 0), "padding must be two integers of at least 0"),
        ("dilation", (0, 1), "dilation must be two integers of at least 1"),
        ("dilation", (1 << 20, 1), "is larger than the padded input"),
        ("mode", "average", "attribute mode must be cumulative or or, got 'average'"),
        ("mode", 1, "attribute mode must be a string, got 1"),
        ("ceil_mode", 1, "unknown attribute 'ceil_mode'; it may change"),
        ("inputs", ("conv2",), "max_pool2d cannot read 'conv2'|conv2d is read by 2 layers"),
    ):
        add(f"max pool with {key} = {value!r}", partial(max_pooled, key=key, value=value), says)
    for key in ("kernel", "stride", "padding", "dilation", "mode"):
        add(f"max pool without {key}", partial(incomplete_max_pool, key), f"/layers/pool: attribute {key} is missing")
    add(
        "max pool in a file of version 1.0",
        partial(max_pooled, "/", key="format_version", value="1.0"),
        "/: format_version is 1.0, and it has layers that came with 1.1",
    )
    add("windows of a million rows", huge_windows, r"padding \(524288, 0\) is larger than the input \(3, 4, 4\)")
    add(
        "windows in the padding alone",
        empty_windows,
        r"/layers/pool: a window of dilation \(5, 1\) lies in the padding",
    )
    add("max pool of spikes of different size", unequal_windows, "/layers/pool: theta of 'if2' has a value for each")

    add("layer called input", partial(renamed_layer, "conv2", "input"), "the name is used twice or reserved")
    for name in ("es\x1bcape", "new\nline", "bi\N{RIGHT-TO-LEFT OVERRIDE}di", "zero\N{ZERO WIDTH SPACE}width"):
        add(f"layer called {name!r}", partial(renamed_layer, "conv2", name), r"/layers: the name '.*\\[xu]")
    add("order against the arrows", partial(sealed, swapped_order), "comes later or is part of a cycle")
    add("last layer not linear", partial(without, "/layers/fc"), "the last layer must be linear")
    add("a hole in the order", partial(without, "/layers/flat"), "index must lie in")
    add("array in /layers", lambda: set_data("/layers/stray", np.ones(3)), "/layers/stray: the group is missing")
    add(
        "group for an array",
        lambda: sealed(lambda t: t.__setitem__("/layers/fc/bias", Node())),
        "must be a dataset, got a g",
    )
    add("extra array in a layer", lambda: set_data("/layers/fc/mask", np.ones(3)), "/layers/fc/mask: unknown member")
    add(
        "attribute of an array",
        partial(set_attr, "/layers/fc/bias", "unit", "mV"),
        "/fc/bias: unknown attribute 'unit'",
    )
    add("extra golden", lambda: set_data("/golden/x", np.ones(3)), "/golden/2: the group is missing")
    add(
        "wrong digest",
        partial(short_digest, np.bytes_(b"0" * 64)),
        "content_sha256 is 0000000000000000..., the content has",
    )
    add("digest of another type", partial(short_digest, 17), "content_sha256 is 17..., the content has")
    add("no digest", lambda: edited(lambda file: file.attrs.__delitem__("content_sha256")), "content_sha256 is missing")
    add(
        "changed behind the digest",
        lambda: edited(lambda file: file["layers/fc/bias"].write_direct(np.ones(4))),
        "content_sha",
    )
    add("renamed behind the digest", lambda: edited(lambda file: file.move("samples", "sambles")), "content_sha256 is")
    add("foreign HDF5", foreign, "is an HDF5 file but not a refsim weight file")


_attribute_mutations()

"""ONNX files: what is beside them, what they may not hold, padding by words, quantisers against onnxruntime."""

from __future__ import annotations

import os
import re
import sys

import numpy as np
import pytest

import refsim
from refsim.exceptions import FormatError, NetworkError, UsageError
from refsim.importers import onnx_tensors
from refsim.reference.network import forward

from . import judge

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

UNIT = {"mean": [0.0], "std": [1.0]}
RNG = np.random.default_rng(4)


def model(nodes=None, initializers=(), shape=(1, 2, 7, 7), **changes):
    """A convolution, ReLU6, a mean and a matrix product, or other nodes."""
    arrays = {
        "w": RNG.normal(size=(3, 2, 3, 3)).astype("f4"),
        "low": np.float32(0), "high": np.float32(6), "axes": np.array([2, 3]),
        "m": RNG.normal(size=(4, 3)).astype("f4"),
    }  # fmt: skip
    nodes = nodes or [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1], **changes),
        *tail("c"),
    ]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()]
    image = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
    output = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [image], [output], [*tensors, *initializers])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def tail(value):
    return [
        helper.make_node("Clip", [value, "low", "high"], ["r"], "act"),
        helper.make_node("ReduceMean", ["r", "axes"], ["p"], "mean", keepdims=0),
        helper.make_node("Gemm", ["p", "m"], ["y"], "fc", transB=1),
    ]


def convert(tmp_path, net, **options):
    path = tmp_path / "net.bin"  # told by its content
    path.write_bytes(net if isinstance(net, bytes) else net.SerializeToString())
    return refsim.convert(path, **UNIT | options)


def test_a_file_is_told_by_its_content_and_names_its_layers_by_nodes(tmp_path):
    file = convert(tmp_path, model())
    assert [layer.name for layer in file.network.layers] == ["conv", "act", "mean", "mean_2", "fc"]
    assert file.network.metadata["source_format"] == "onnx"
    assert (file.network.spiking[0].neuron.theta, file.network.spiking[0].neuron.activation.kind) == (6, "clipped")


@pytest.mark.parametrize(
    ("location", "offset", "length", "reason"),
    [
        ("../w.bin", 0, 216, "external data at location '../w.bin'; only a plain file name"),
        ("..", 0, 216, "only a plain file name"),
        ("/etc/hostname", 0, 216, "only a plain file name"),
        ("a\\b", 0, 216, "only a plain file name"),
        ("", 0, 216, "only a plain file name"),
        ("link", 0, 216, "cannot be opened .links are not followed."),
        ("pipe", 0, 216, "not a regular file"),
        ("folder", 0, 216, "is not a regular file"),
        ("absent", 0, 216, "cannot be opened"),
        ("w.bin", 8, 216, "bytes 8 to 224 of 'w.bin' are beyond its end, 220 bytes"),
        ("w.bin", -8, 216, "needs 216 bytes"),
        ("w.bin", 0, 215, "needs 216 bytes, its external data at 'w.bin' has 215"),
        ("w.bin", "x", 216, "an offset or length that is no number"),
    ],
)
def test_data_elsewhere_is_never_opened(tmp_path, monkeypatch, location, offset, length, reason):
    (tmp_path / "w.bin").write_bytes(bytes(220))
    (tmp_path.parent / "w.bin").write_bytes(bytes(220))
    (tmp_path / "link").symlink_to(tmp_path / "w.bin")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    net = model()
    outside(net.graph.initializer[0], location, offset, length)
    opened = []
    monkeypatch.setattr(onnx_tensors.os, "open", lambda path, flags: opened.append(path) or _open(path, flags))
    with pytest.raises(FormatError, match=f"tensor 'w'.*{reason}"):
        convert(tmp_path, net)
    assert {os.path.realpath(os.path.dirname(path)) for path in map(str, opened)} <= {os.path.realpath(tmp_path)}


_open = os.open


def outside(tensor, location, offset, length):
    """Move the numbers of a tensor to another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def test_data_beside_the_file_is_read(tmp_path):
    net = model()
    raw = net.graph.initializer[0].raw_data
    (tmp_path / "w.bin").write_bytes(bytes(4) + raw)
    outside(net.graph.initializer[0], "w.bin", 4, 216)
    found = convert(tmp_path, net).network.by_name["conv"].weight
    np.testing.assert_array_equal(found, np.frombuffer(raw, "f4").reshape(found.shape))


def _set(attribute, value):
    def change(net):
        setattr(net.graph.initializer[0], attribute, value)

    return change


CONV = helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1])
BRANCH = helper.make_graph([], "b", [], [])
NAN = numpy_helper.from_array(np.full((3, 2, 3, 3), np.nan, "f4"), "nan")


@pytest.mark.parametrize(
    ("nodes", "change", "error", "reason"),
    [
        (None, lambda net: net.graph.initializer[0].dims.__setitem__(0, 1 << 40), FormatError, "declares dims"),
        (None, lambda net: net.graph.initializer[0].dims.append(-1), FormatError, "has dims"),
        (None, _set("data_type", 22), FormatError, "is of number type 22"),
        (None, lambda net: net.graph.initializer.append(net.graph.initializer[0]), FormatError, "two initialisers"),
        (None, lambda net: net.graph.node.append(net.graph.node[0]), FormatError, "gives 'c', which is there already"),
        (None, _set("name", "v"), FormatError, "reads 'w', which nothing before it gives"),
        (None, lambda net: net.graph.output.add(name="z"), FormatError, "returns 2 values"),
        (None, lambda net: net.graph.input.add(name="z"), FormatError, "reads 2 inputs"),
        (None, lambda net: net.graph.sparse_initializer.add(), FormatError, "sparse initialisers"),
        (None, lambda net: net.graph.ClearField("node"), FormatError, "without nodes"),
        (None, lambda net: net.graph.node[0].input.__setitem__(0, "y"), FormatError, "reads 'y', which nothing before"),
        ([helper.make_node("If", ["low"], ["c"], "if", then_branch=BRANCH), *tail("c")], None, FormatError,
         "graphs inside a node|not even of constants"),
        ([helper.make_node("Quant", ["x"], ["c"], "q", domain="qonnx.custom_op"), *tail("c")], None, FormatError,
         "Quant at 'q': QONNX quantisers are not read; export as QCDQ"),
        ([helper.make_node("Mine", ["x"], ["c"], "q", domain="me"), *tail("c")], None, FormatError,
         "Mine at 'q': an operator of the domain 'me'"),
        ([helper.make_node("Conv", ["x", "nan"], ["c"], "conv", pads=[1, 1, 1, 1]), *tail("c")],
         lambda net: net.graph.initializer.append(NAN), NetworkError, "weight holds values that are not finite"),
        ([CONV, helper.make_node("HardSwish", ["c"], ["h"], "node_3"), *tail("h")], None, FormatError,
         "HardSwish at 'node_3': no spiking counterpart; fine-tune with ReLU"),
        ([CONV, helper.make_node("Concat", ["c", "c"], ["h"], "cat", axis=1), *tail("h")], None, FormatError,
         "Concat at 'cat': activations that are joined"),
        ([CONV, helper.make_node("AveragePool", ["c"], ["h"], "pool", kernel_shape=[2, 2], pads=[1, 1, 1, 1]),
          *tail("h")], None, FormatError, "AveragePool at 'pool': average pools with padding"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_that_names_it(tmp_path, nodes, change, error, reason):
    net = model(nodes)
    if change is not None:
        change(net)
    with pytest.raises(error) as caught:
        convert(tmp_path, net)
    text = ": ".join([*getattr(caught.value, "__notes__", ()), str(caught.value)])
    assert re.search(reason, text), text
    assert text.isprintable()


def test_the_size_of_the_image_is_asked_for_where_it_is_open(tmp_path):
    open_sides = model(shape=("N", 2, "H", "W"))
    with pytest.raises(UsageError, match="images of any size; give --input-shape C,H,W"):
        convert(tmp_path, open_sides)
    assert convert(tmp_path, open_sides, input_shape=(2, 9, 5)).network.input.shape == (2, 9, 5)
    with pytest.raises(UsageError, match=r"reads images \(2, 7, 7\), input_shape says \(2, 9, 5\)"):
        convert(tmp_path, model(), input_shape=(2, 9, 5))


def test_the_extra_is_named_where_the_package_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UsageError, match=r"needs the package onnx: pip install 'refsim\[onnx\]'"):
        convert(tmp_path, model())


@pytest.mark.parametrize("word", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("side", [7, 8])
def test_unequal_padding_is_the_same_convolution_with_a_grown_kernel(tmp_path, word, side):
    """Rows of zeros on the other side of the kernel, and equal padding."""
    conv = helper.make_node("Conv", ["x", "w"], ["c"], "conv", auto_pad=word, strides=[2, 2])
    net = model([conv, *tail("c")], shape=(1, 2, side, side))
    network = convert(tmp_path, net).network
    x = RNG.normal(size=(2, 2, side, side))
    total = max((-(-side // 2) - 1) * 2 + 3 - side, 0)
    pads = (total // 2, total - total // 2) if word == "SAME_UPPER" else (total - total // 2, total // 2)
    padded = np.pad(x, ((0, 0), (0, 0), pads, pads))
    weight = numpy_helper.to_array(net.graph.initializer[0]).astype(float)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::2, ::2]
    expected = np.einsum("bchwij,ocij->bohw", windows, weight)
    np.testing.assert_allclose(forward(network, x)["conv"], expected, atol=1e-12)


@pytest.mark.parametrize(
    ("file", "left_out"),
    [
        ("relu-qdq-onnxruntime.onnx", ("x_QuantizeLinear", "28_QuantizeLinear")),
        ("lowbit-qcdq-brevitas.onnx", ()),
    ],
)
def test_quantised_files_are_what_onnxruntime_computes_without_the_quantisers_left_out(file, left_out, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    net = onnx.load(judge.DATA / file)
    for name in left_out:  # whoever reads what was dequantised reads what was quantised
        quantize = next(node for node in net.graph.node if node.name == name)
        dequantize = next(node for node in net.graph.node if node.input and node.input[0] == quantize.output[0])
        for node in net.graph.node:
            for i, read in enumerate(node.input):
                if read == dequantize.output[0]:
                    node.input[i] = quantize.input[0]
        if net.graph.output[0].name == dequantize.output[0]:
            net.graph.output[0].name = quantize.input[0]
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(net.SerializeToString(), options, providers=["CPUExecutionProvider"])
    result = refsim.convert(judge.DATA / file, max_pool="or", **UNIT)
    said = [line for line in result.warnings if "quantisers" in line]
    assert said == [] if not left_out else f"left out: {len(left_out)}, the first '{left_out[0]}'" in said[0]
    image = session.get_inputs()[0]
    batch = image.shape[0] if isinstance(image.shape[0], int) else 3
    x = RNG.normal(size=(batch, *result.network.input.shape)).astype("f4")
    expected = session.run(None, {image.name: x})[0]
    actual = forward(result.network, x.astype(float))[result.network.readout.name]
    step = np.abs(expected).max() / 127  # a tie that float32 decides otherwise is a step of one neuron
    assert np.median(np.abs(actual - expected)) < 1e-5
    assert np.abs(actual - expected).max() < step

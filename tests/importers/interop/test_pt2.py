"""Archives of torch.export: versions, types of numbers, views, and what hostile ones are refused for."""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile

import numpy as np
import pytest

import refsim
from refsim.exceptions import FormatError, UsageError
from refsim.model import Conv2d

from . import judge

UNIT = {"mean": [0.0], "std": [1.0]}
SAMPLE = judge.DATA / "qcfs-vgg.pt2"
GRAPH = "qcfs-vgg/models/model.json"
WEIGHTS = "qcfs-vgg/data/weights/model_weights_config.json"
FIRST = "qcfs-vgg/data/weights/weight_0"


def members():
    """The sample, its JSON decoded."""
    with zipfile.ZipFile(SAMPLE) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    return {name: json.loads(each) if name.endswith(".json") else each for name, each in content.items()}


def convert(tmp_path, content, compression=zipfile.ZIP_STORED, twice=(), **options):
    path = tmp_path / "model.pth"  # told by its content
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
        warnings.simplefilter("ignore")
        for name, each in content.items():
            archive.writestr(name, each if isinstance(each, bytes) else json.dumps(each))
        for name in twice:
            archive.writestr(name, b"")
    return refsim.convert(path, **UNIT | options)


def meta(content):
    """The description of the first weight, of 8 x 3 x 3 x 3 float32."""
    return content[WEIGHTS]["config"]["layer1.0.weight"]["tensor_meta"]


def _graph(content):
    return content[GRAPH]["graph_module"]["graph"]


def _target(name):
    return lambda content: _graph(content)["nodes"][0].__setitem__("target", name)


def _deep(content):
    content[GRAPH] = b"[" * 100_000


def _cycle(content):
    nodes = _graph(content)["nodes"]
    nodes[0]["inputs"][0]["arg"]["as_tensor"]["name"] = nodes[5]["outputs"][0]["as_tensor"]["name"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c[GRAPH]["schema_version"].update(major=9), "schema version '9' is not known, 8 is; export"),
        (lambda c: c[WEIGHTS]["config"]["layer1.0.weight"].update(use_pickle=True), "'layer1.0.weight' is pickled"),
        (lambda c: c.pop(WEIGHTS), "no weights inside that are not pickled; export the model again"),
        (lambda c: c.pop(GRAPH), "no graph inside .models/NAME.json.; export the model again"),
        (lambda c: c.pop(FIRST), "the archive has no member 'qcfs-vgg/data/weights/weight_0'"),
        (lambda c: c.update({FIRST: c[FIRST][:-4]}), r"of shape \(8, 3, 3, 3\).*does not fit its storage of 215"),
        (lambda c: meta(c)["sizes"].__setitem__(0, {"as_int": 1 << 40}), "does not fit|larger than four times"),
        (lambda c: meta(c)["strides"].__setitem__(0, {"as_int": -27}), "sizes .* or strides that are none"),
        (lambda c: meta(c).update(storage_offset={"as_int": 1}), "at offset 1 does not fit its storage"),
        (lambda c: meta(c).update(dtype=77), "number type '77'"),
        (_deep, "is no JSON, or nested too deeply"),
        (lambda c: c.update({GRAPH: b"{"}), "is no JSON"),
        (lambda c: c.update({GRAPH: b" " * (17 << 20)}), "bytes, at most 16777216 are read"),
        (lambda c: c.update({GRAPH: {}}), "the graph is damaged"),
        (_cycle, "conv2d at 'layer1.0': reads 'add', which nothing before it gives"),
        (_target("torch.ops.aten.gelu.default"), "gelu at 'layer1.0': no spiking counterpart"),
        (_target("torch.ops.aten.sort.default"), "sort at 'layer1.0': not simulated"),
        (lambda c: _graph(c)["nodes"][0]["inputs"][3].update(arg={"as_secret": 1}), "'stride' is given 'as_secret'"),
        (lambda c: _graph(c)["nodes"][1]["inputs"][5].update(arg={"as_bool": True}), "training mode; call model.eval"),
        (lambda c: _graph(c)["outputs"].append(_graph(c)["outputs"][0]), "returns 2 values"),
        (lambda c: c[GRAPH]["graph_module"]["signature"]["input_specs"].pop(0), "reads 'p_layer1_0_weight', which"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_that_says_what(tmp_path, change, reason):
    content = members()
    change(content)
    with pytest.raises(FormatError) as caught:
        convert(tmp_path, content)
    assert re.search(reason, str(caught.value)), caught.value
    assert str(caught.value).isprintable()


def test_compressed_and_repeated_members_are_refused(tmp_path):
    with pytest.raises(FormatError, match=r"is compressed or encrypted; torch\.export does neither"):
        convert(tmp_path, members(), zipfile.ZIP_DEFLATED)
    with pytest.raises(FormatError, match="two members of one name"):
        convert(tmp_path, members(), twice=[FIRST])


def test_a_larger_minor_version_is_read_with_a_note(tmp_path):
    content = members()
    content[GRAPH]["schema_version"]["minor"] = 99
    assert convert(tmp_path, content).warnings == ("written in schema version 8.99; this refsim knows 8.20",)


def test_numbers_of_every_type_and_any_view_are_read(tmp_path):
    content = members()
    values = np.frombuffer(content[FIRST], "<f4").reshape(8, 3, 3, 3)
    expected = convert(tmp_path, content).network.by_name["layer1.0"].weight
    np.testing.assert_array_equal(expected, values)
    # channels last, behind two other numbers
    content[FIRST] = bytes(8) + values.transpose(0, 2, 3, 1).tobytes()
    meta(content).update(strides=[{"as_int": n} for n in (27, 1, 9, 3)], storage_offset={"as_int": 2})
    np.testing.assert_array_equal(convert(tmp_path, content).network.by_name["layer1.0"].weight, values)
    content = members()
    content[FIRST] = (values.view("<u4") >> 16).astype("<u2").tobytes()
    meta(content).update(dtype=13)
    cut = (values.view("<u4") & 0xFFFF0000).view("<f4")
    np.testing.assert_array_equal(convert(tmp_path, content).network.by_name["layer1.0"].weight, cut)
    content[FIRST] = values.astype("<f2").tobytes()
    meta(content).update(dtype=6)
    half = convert(tmp_path, content).network.by_name["layer1.0"].weight
    np.testing.assert_array_equal(half, values.astype("f2"), strict=True)


def test_L_that_contradicts_the_graph_is_a_wrong_usage(tmp_path):
    assert convert(tmp_path, members(), L=8).network.spiking[0].neuron.activation.L == 8
    with pytest.raises(UsageError, match=r"L = 4 contradicts the graph, where 'layer1\.2' has L = 8; leave it out"):
        convert(tmp_path, members(), L=4)


def test_both_forms_of_one_archive_and_the_checkpoint_give_the_same_layers(tmp_path):
    archive, checkpoint = judge.DATA / "qcfs-vgg.pt2", judge.DATA / "qcfs-vgg.pth"
    one = refsim.convert(archive, **UNIT).network
    two = refsim.convert(checkpoint, L=8, pool="avg", input_shape=one.input.shape, **UNIT).network
    assert [layer.name for layer in one.spiking] == [layer.name for layer in two.spiking]
    for ours, theirs in zip(one.layers, two.layers, strict=True):
        assert type(ours) is type(theirs)
        if isinstance(ours, Conv2d):
            for key in ("weight", "scale", "bias"):
                np.testing.assert_array_equal(getattr(ours, key), getattr(theirs, key), strict=True)


def test_torchscript_is_refused_with_what_to_do(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("net/data.pkl", b"")
        archive.writestr("net/constants.pkl", b"")
    (tmp_path / "net.pt").write_bytes(out.getvalue())
    with pytest.raises(FormatError, match=r"a TorchScript archive, which is not read; .* torch\.export\.save"):
        refsim.convert(tmp_path / "net.pt", **UNIT)

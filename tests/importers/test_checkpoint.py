"""Checkpoints are read without PyTorch, exactly, and nothing in them is believed."""

import json
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refsim.exceptions import FormatError
from refsim.importers.checkpoint import load_checkpoint
from tests.importers import pickles

ARRAYS = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7,
    "a.bias": np.array([1e-300, -0.0, np.inf]),
    "n": np.array(5),
    "h": np.array([[1.5, -2]], np.float16),
    "empty": np.zeros((0, 3), np.float32),
}
WRITERS = [pickles.write_pth, pickles.write_legacy, pickles.write_safetensors]


def assert_same(actual, expected):
    assert list(actual) == list(expected)
    for key, array in expected.items():
        assert actual[key].dtype == array.dtype, key
        assert actual[key].shape == array.shape, key
        assert actual[key].tobytes() == array.tobytes(), key


@pytest.mark.parametrize("write", WRITERS)
def test_every_layout_gives_back_names_types_shapes_and_bits(tmp_path, write):
    assert_same(load_checkpoint(write(tmp_path / "x", ARRAYS)).tensors, ARRAYS)


@pytest.mark.parametrize("write", WRITERS)
def test_the_prefix_of_data_parallel_goes(tmp_path, write):
    prefixed = {f"module.{key}": array for key, array in ARRAYS.items()}
    assert_same(load_checkpoint(write(tmp_path / "x", prefixed)).tensors, ARRAYS)


@pytest.mark.parametrize("wrap", ["state_dict", "model", "net"])
def test_a_wrapped_state_dict_is_found(tmp_path, wrap):
    assert_same(load_checkpoint(pickles.write_pth(tmp_path / "x.pth", ARRAYS, wrap)).tensors, ARRAYS)


def test_sha256_is_that_of_the_file(tmp_path):
    import hashlib

    path = pickles.write_pth(tmp_path / "x.pth", ARRAYS)
    assert load_checkpoint(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("layout", ["zip", "safetensors"])
def test_bfloat16_becomes_the_same_number_in_float32(tmp_path, layout):
    every = np.arange(1 << 16, dtype=np.uint16)
    if layout == "zip":
        content = pickles.pickle({"w": pickles.tensor("0", every.size, (256, 256), (256, 1), storage="BFloat16")})
        path = pickles.write_zip(tmp_path / "x.pth", content, {"0": every.tobytes()})
    else:
        header = json.dumps({"w": {"dtype": "BF16", "shape": [256, 256], "data_offsets": [0, every.nbytes]}}).encode()
        path = tmp_path / "x.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header + every.tobytes())
    loaded = load_checkpoint(path).tensors["w"]
    assert loaded.dtype == np.float32
    # The definition: sign, 8 bits of exponent and 7 of fraction, as the upper half of a float32.
    expected = np.frombuffer(b"".join(b"\0\0" + struct.pack("<H", bits) for bits in every), "<f4")
    assert loaded.tobytes() == expected.tobytes()


def test_a_transposed_view_with_an_offset_is_read_as_pytorch_means_it(tmp_path):
    content = pickles.pickle({"w": pickles.tensor("0", 10, (3, 2), (1, 4), offset=2)})
    path = pickles.write_zip(tmp_path / "x.pth", content, {"0": np.arange(10, dtype="<f4").tobytes()})
    np.testing.assert_array_equal(load_checkpoint(path).tensors["w"], [[2, 6], [3, 7], [4, 8]])


def test_big_endian_storages_are_converted(tmp_path):
    content = pickles.pickle({"w": pickles.tensor("0", 3, (3,), (1,))})
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", content)
        archive.writestr("net/byteorder", "big")
        archive.writestr("net/data/0", np.array([1, 2, 3], ">f4").tobytes())
    np.testing.assert_array_equal(load_checkpoint(path).tensors["w"], [1, 2, 3])


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((11,), (1,), 0),
        ((3,), (1,), 8),
        ((2, 2), (9, 1), 0),
        ((1 << 40,), (0,), 0),  # one number, repeated into terabytes
        ((4, 4), (1, 1), 0),  # overlapping windows larger than the storage
        ((1 << 62, 1 << 62), (0, 0), 0),
    ],
)
def test_a_view_beyond_its_storage_is_refused(tmp_path, shape, strides, offset):
    content = pickles.pickle({"w": pickles.tensor("0", 10, shape, strides, offset=offset)})
    path = pickles.write_zip(tmp_path / "x.pth", content, {"0": bytes(40)})
    with pytest.raises(FormatError, match=r"x\.pth: a tensor of shape .* does not fit its storage of 10 numbers"):
        load_checkpoint(path)


@pytest.mark.parametrize("n", [9, 11, 1 << 60])
def test_a_storage_of_another_size_than_claimed_is_refused(tmp_path, n):
    content = pickles.pickle({"w": pickles.tensor("0", n, (1,), (1,))})
    path = pickles.write_zip(tmp_path / "x.pth", content, {"0": bytes(40)})
    with pytest.raises(FormatError, match=rf"storage '0' has 40 bytes, {4 * n} expected"):
        load_checkpoint(path)


def test_a_compressed_member_is_not_inflated(tmp_path):
    content = pickles.pickle({"w": pickles.tensor("0", 1 << 20, (1 << 20,), (1,))})
    path = pickles.write_zip(tmp_path / "x.pth", content, {"0": bytes(4 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(FormatError, match=r"compressed or encrypted; torch\.save does neither"):
        load_checkpoint(path)


def test_one_storage_shown_as_many_tensors_is_refused(tmp_path):
    views = {str(i): pickles.tensor("0", 100_000, (100_000,), (1,)) for i in range(20)}
    path = pickles.write_zip(tmp_path / "x.pth", pickles.pickle(views), {"0": bytes(400_000)})
    with pytest.raises(FormatError, match="tensors overlap"):
        load_checkpoint(path)


@pytest.mark.parametrize("attack", ["posix.system", "builtins.eval", "torch.nn.modules.container.Sequential"])
def test_code_in_a_checkpoint_is_refused_by_name(tmp_path, attack):
    content = pickles.pickle({"a": pickles.call(attack, "touch pwned")})
    path = pickles.write_zip(tmp_path / "x.pth", content, {})
    with pytest.raises(FormatError, match=f"holds '{attack}', which refsim does not load; save a plain state_dict"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickles.pickle([1, 2]), "expected a dictionary of tensors, got list"),
        (pickles.pickle({"epoch": 3, "best": 0.5}), r"no tensors and no state_dict; the file holds 'epoch', 'best'"),
        (pickles.pickle({}), "the file holds nothing"),
        (pickles.pickle({7: pickles.tensor("0", 1, (1,), (1,))}), "a tensor without a name"),
        (pickles.pickle({"w": pickles.tensor("../../etc/passwd", 1, (1,), (1,))}), "no member 'net/data/../../etc/"),
    ],
)
def test_content_that_is_no_state_dict_says_what_it_is(tmp_path, content, message):
    path = pickles.write_zip(tmp_path / "x.pth", content, {"0": bytes(4)})
    with pytest.raises(FormatError, match=message):
        load_checkpoint(path)


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    path = tmp_path / "x.pth"
    for junk in (b"", b"\0" * 100, b"\x89HDF\r\n\x1a\n" + bytes(100), b"hello, world", bytes([255]) * 50):
        path.write_bytes(junk)
        with pytest.raises(FormatError, match=r"x\.pth: not a checkpoint \(expected a \.pth or \.th of torch\.save"):
            load_checkpoint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "")
    with pytest.raises(FormatError, match=r"a zip archive without the data\.pkl of torch\.save"):
        load_checkpoint(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("net/data.pkl", b"")
        archive.writestr("net/constants.pkl", b"")
    with pytest.raises(FormatError, match=r"TorchScript archive, .* torch\.export\.save, or save model\.state_dict"):
        load_checkpoint(path)


def test_a_named_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="is a pipe, socket or device, not a checkpoint"):
        load_checkpoint(tmp_path / "pipe")


@pytest.mark.parametrize("write", WRITERS)
def test_every_truncation_is_a_clean_error(tmp_path, write):
    whole = write(tmp_path / "whole", {key: ARRAYS[key] for key in ("a.bias", "n")}).read_bytes()
    path = tmp_path / "x"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match=r"^[^\n]*x: ?[^\n]*$"):
            load_checkpoint(path)


@pytest.mark.parametrize("write", WRITERS)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_changed_bytes_load_or_fail_cleanly(tmp_path, write, data):
    raw = bytearray(write(tmp_path / "whole", ARRAYS).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "x"
    path.write_bytes(raw)
    message, size = "", 0
    try:
        size = sum(array.nbytes for array in load_checkpoint(path).tensors.values())
    except FormatError as error:
        message = str(error)
    assert "\n" not in message
    assert size <= 4 * len(raw) + (1 << 20)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}, "does not fit bytes 0 to 4"),
        ({"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, "outside the file"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}, "not lists of sizes"),
        ({"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}, "not lists of sizes"),
        ({"dtype": "Q4", "shape": [1], "data_offsets": [0, 4]}, "number type 'Q4' is not one of F64, F32"),
        ({"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}, "not lists of sizes"),
        ([], "expected dtype, shape and data_offsets"),
    ],
)
def test_a_safetensors_header_is_not_believed(tmp_path, entry, message):
    header = json.dumps({"w": entry}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(FormatError, match=rf"x\.safetensors:'w': .*{message}"):
        load_checkpoint(path)


def test_safetensors_bytes_are_not_used_twice(tmp_path):
    header = json.dumps({k: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for k in "ab"}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(FormatError, match="used twice"):
        load_checkpoint(path)


def test_files_of_pytorch_itself_are_read_exactly(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    base = torch.randn(6, 5, dtype=torch.float64)
    content = {
        "float": torch.randn(2, 3, 3, 3), "transposed": base.T, "sliced": base[1:4, ::2], "half": base.half(),
        "bfloat16": base.bfloat16(), "long": torch.tensor(7), "bool": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(torch.ones(2)), "empty": torch.zeros(0, 2),
    }  # fmt: skip
    path = Path(tmp_path / "x.pth")
    for legacy in (False, True):
        torch.save(
            {"state_dict": content, "epoch": 1, "best": np.float64(0.5)},
            path,
            _use_new_zipfile_serialization=not legacy,
        )
        tensors = load_checkpoint(path).tensors
        assert list(tensors) == list(content)
        for key, tensor in content.items():
            expected = tensor.detach().float() if key == "bfloat16" else tensor.detach()
            assert tensors[key].tobytes() == expected.contiguous().numpy().tobytes(), key
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    torch.save(model, path)
    with pytest.raises(FormatError, match=r"holds 'torch\.nn\.modules\.container\.Sequential'"):
        load_checkpoint(path)


def test_files_of_the_safetensors_package_are_read_exactly(tmp_path):
    numpy_writer = pytest.importorskip("safetensors.numpy")
    arrays = {key: array for key, array in ARRAYS.items() if array.ndim}
    numpy_writer.save_file(arrays, tmp_path / "x.safetensors")
    loaded = load_checkpoint(tmp_path / "x.safetensors").tensors
    assert_same(dict(sorted(loaded.items())), dict(sorted(arrays.items())))


def wrapped(path, content, arrays=ARRAYS):
    """A checkpoint whose top is a dictionary; `content` makes it of the opcodes of the arrays' dictionary."""
    views, storages = pickles.tensors(arrays)
    inner = pickles.call("collections.OrderedDict") + b"(" + b"".join(pickles.text(k) + v for k, v in views.items())
    first = next(iter(views.values()))
    return pickles.write_zip(path, pickles.pickle(content(inner + b"u", first)), storages)


def test_a_state_dict_is_found_beside_anything_else(tmp_path):
    def lightning(state, tensor):
        return {"epoch": 3, "loops": {"fit": {}}, "scale": tensor, "state_dict": state, "optimizer_states": [{}]}

    assert_same(load_checkpoint(wrapped(tmp_path / "x.ckpt", lightning)).tensors, ARRAYS)
    nested = wrapped(tmp_path / "y.pth", lambda state, tensor: {"model": {"state_dict": state, "ema": tensor}})
    assert_same(load_checkpoint(nested).tensors, ARRAYS)
    with pytest.raises(FormatError, match=r"'state_dict' and 'net' both hold something; save the state dict"):
        load_checkpoint(wrapped(tmp_path / "z.pth", lambda state, tensor: {"state_dict": state, "net": {"a": tensor}}))


@pytest.mark.parametrize(
    "prefix", ["model.", "net.", "_orig_mod.", "module.model.", "model._orig_mod.", "_orig_mod.module.net."]
)
def test_what_wrappers_put_into_names_goes(tmp_path, prefix):
    prefixed = {f"{prefix}{key}": array for key, array in ARRAYS.items()}
    assert_same(load_checkpoint(pickles.write_pth(tmp_path / "x", prefixed)).tensors, ARRAYS)


def test_a_wrapper_inside_goes_and_a_prefix_that_only_some_have_stays(tmp_path):
    arrays = {"features.module.0.weight": ARRAYS["h"], "model.a": ARRAYS["n"]}
    expected = {"features.0.weight": ARRAYS["h"], "model.a": ARRAYS["n"]}
    assert_same(load_checkpoint(pickles.write_pth(tmp_path / "x", arrays)).tensors, expected)
    arrays["features.0.weight"] = ARRAYS["h"]
    with pytest.raises(FormatError, match=r"'features\.0\.weight' is there with and without the name of a wrapper"):
        load_checkpoint(pickles.write_pth(tmp_path / "y", arrays))

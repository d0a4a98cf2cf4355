"""The whitelist unpickler: plain data in, and nothing else, ever."""

import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.exceptions import FormatError
from refsim.formats.untrusted.numpy_pickle import PickledArray, numpy_globals
from refsim.formats.untrusted.unpickler import Budget, unpickle


def load(data: bytes, **allowed):
    return unpickle(data, where="x.pth", allowed=allowed or numpy_globals(Budget(10_000)))[0]


scalars = st.none() | st.booleans() | st.integers(-(2**100), 2**100) | st.floats(allow_nan=False) | st.text()
plain = st.recursive(
    scalars | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(-(2**40), 2**40), inner) | st.tuples(inner, inner)
    ),
    max_leaves=20,
)


@given(plain, st.integers(0, 5))
def test_plain_data_survives_every_protocol_as_python_itself_reads_it(data, protocol):
    assert load(pickle.dumps(data, protocol)) == data


def test_python_2_strings_become_text():
    assert load(b"\x80\x02}U\x04dataU\x03a\xe9bs.") == {"data": "a\xe9b"}
    assert load(b"(dp0\nS'da\\x41ta'\np1\nI7\ns.") == {"daAta": 7}
    assert load(b"T\x02\x00\x00\x00ab.") == "ab"


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">f4", "f8", "?"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_keep_values_type_and_order_of_axes(dtype, protocol):
    for array in (
        np.arange(12).reshape(3, 4).astype(dtype),
        np.asfortranarray(np.arange(6).reshape(2, 3).astype(dtype)),
    ):
        loaded = load(pickle.dumps(array, protocol))
        assert isinstance(loaded, PickledArray)
        np.testing.assert_array_equal(loaded.values, array)
        assert loaded.values.dtype == array.dtype


def test_numpy_scalars_and_ordered_dictionaries_become_plain_ones():
    assert load(pickle.dumps(np.float32(0.5))) == 0.5
    loaded = load(pickle.dumps(OrderedDict(b=1, a=2)))
    assert list(loaded.items()) == [("b", 1), ("a", 2)]


class Evil:
    def __init__(self, reduce):
        self.reduce = reduce

    def __reduce__(self):
        return self.reduce


@pytest.mark.parametrize("protocol", range(6))
def test_a_foreign_function_is_refused_by_name_and_not_called(tmp_path, protocol):
    target = tmp_path / "made"
    data = pickle.dumps({"a": Evil((os.mkdir, (str(target),)))}, protocol)
    with pytest.raises(FormatError, match=r"x\.pth: holds 'posix\.mkdir', which refsim does not load; save a plain"):
        load(data)
    pickle.loads(data)  # it is a working attack: only the unpickler stands in its way
    assert target.is_dir()


@pytest.mark.parametrize(
    ("data", "operation"),
    [
        (b"(ios\nsystem\n.", "INST"),
        (b"\x80\x02cnumpy\ndtype\n)\x81.", "NEWOBJ"),
        (b"\x80\x04cnumpy\ndtype\n)}\x92.", "NEWOBJ_EX"),
        (b"(cnumpy\ndtype\no.", "OBJ"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"P1\n.", "PERSID"),
        (b"\x80\x02K\x01Q.", "BINPERSID"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        (b"\x80\x04\x8f.", "EMPTY_SET"),
        (b"\xff.", "0xff"),
    ],
)
def test_operations_that_build_objects_are_refused_by_name(data, operation):
    with pytest.raises(FormatError, match=f"pickle operation {operation}, which refsim does not execute"):
        load(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02K\x01K\x02R.",  # call a number
        b"\x80\x02}}b.",  # state for a dict
        b"\x80\x02]K\x01K\x02s.",  # an item for a list
        b"\x80\x02}]K\x01s.",  # a list as a key
        b"\x80\x02})K\x01s.",  # a tuple as a key: its hash can take for ever
        b"\x80\x02(.",  # a bare mark
        b"\x80\x02t.",  # no mark
        b"\x80\x02h\x05.",  # nothing remembered there
        b"\x80\x02}K\x01a.",  # append to a dict
        b"\x80\x02\x8a\xff" + b"\x01" * 255 + b".",  # an integer of 255 bytes
        b"I" + b"9" * 100 + b"\n.",
        b"X\x02\x00\x00\x00\xff\xff.",
        b".",
        pickle.dumps(np.array([object()])),
        pickle.dumps(np.array(["text"])),
    ],
)
def test_malformed_pickles_are_one_clean_error(data):
    with pytest.raises(FormatError, match=r"^x\.pth: not a well-formed pickle \(byte \d+: \w+\)$"):
        load(data)


def test_every_truncation_is_a_clean_error():
    data = pickle.dumps({"data": np.arange(300, dtype=np.uint8), "labels": [1, 2, 3] * 5}, 2)
    for length in range(len(data)):
        with pytest.raises(FormatError, match=r"^x\.pth: "):
            load(data[:length])


@given(st.binary(max_size=60), st.integers(0, 5))
def test_random_bytes_never_do_anything_but_load_or_fail_cleanly(noise, protocol):
    for data in (noise, pickle.dumps([1, "a"], protocol)[:-1] + noise):
        message = ""
        try:
            load(data)
        except FormatError as error:
            message = str(error)
        assert "\n" not in message


def test_deep_nesting_is_no_recursion():
    deep = load(b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".")
    depth = 0
    while deep:
        deep, depth = deep[0], depth + 1
    assert depth == 299_999


def test_an_array_that_claims_more_than_it_has_is_refused():
    honest = pickle.dumps(np.zeros(10, np.uint8), 2)
    assert honest.count(b"K\x0a\x85") == 1
    with pytest.raises(FormatError, match="not a well-formed pickle"):
        load(honest.replace(b"K\x0a\x85", b"M\xff\xff\x85"))


def test_a_value_copied_a_million_times_is_refused():
    copy = b"c_codecs\nencode\n(X" + struct.pack("<I", 2000) + b"a" * 2000 + b"X\x06\x00\x00\x00latin1tq\x00R"
    again = b"c_codecs\nencode\nh\x00R"
    assert load(copy.replace(b"tq\x00R", b"t\x940" + b"c_codecs\nencode\nh\x00R") + b".") == b"a" * 2000
    with pytest.raises(FormatError, match="not a well-formed pickle"):
        load(copy + again * 5 + b".")


def test_too_many_operations_are_refused(monkeypatch):
    monkeypatch.setattr("refsim.formats.untrusted.unpickler.MAX_OPERATIONS", 1000)
    assert load(b"]" * 999 + b".") == []
    with pytest.raises(FormatError, match="more than 1000 pickle operations"):
        load(b"]" * 1000 + b".")


def test_names_from_the_file_are_shown_without_their_control_characters():
    with pytest.raises(FormatError) as caught:
        load(b"cos\x1b[2J\nsystem\n.")
    assert "\x1b" not in str(caught.value)
    assert "\\x1b" in str(caught.value)

"""A file is written whole or not at all, and an error names what the caller named."""

import pytest

from refsim.formats.atomic import write_atomically


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "a.bin"
    for data in (b"one", b"two and more"):
        write_atomically(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(tmp_path / "missing" / "a.bin", b"data")
    assert (caught.value.filename, caught.value.strerror) == (str(tmp_path / "missing"), "no such folder")


def test_a_folder_is_not_replaced_and_nothing_is_left_in_it(tmp_path):
    with pytest.raises(IsADirectoryError) as caught:
        write_atomically(tmp_path, b"data")
    assert caught.value.filename == str(tmp_path)
    assert not list(tmp_path.iterdir())
    assert not list(tmp_path.parent.glob(".*.tmp"))

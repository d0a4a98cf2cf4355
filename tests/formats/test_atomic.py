"""A file is written whole or not at all, and an error names what the caller named."""

import errno
import fcntl
import os
import stat

import pytest

from refsim.exceptions import UsageError
from refsim.formats.atomic import beside, claimed, folder_written_atomically, replacing, write_atomically


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


def test_a_link_is_followed_and_stays_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_bytes(b"old")
    for name in ("a", "new"):
        link = tmp_path / f"to {name}"
        link.symlink_to(f"elsewhere/{name}")
        write_atomically(link, b"data")
        assert link.is_symlink()
        assert (tmp_path / "elsewhere" / name).read_bytes() == b"data"
    assert sorted(each.name for each in (tmp_path / "elsewhere").iterdir()) == ["a", "new"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_a_file_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_atomically(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_has_the_mode_of_any_new_file(tmp_path):
    (tmp_path / "any").touch()
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "any").stat().st_mode


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o400)
    with pytest.raises(PermissionError) as caught:
        write_atomically(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_device_is_not_replaced(tmp_path, kind):
    path = tmp_path / "a"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    with pytest.raises(OSError, match="is a pipe, socket or device"):
        write_atomically(path, b"data")
    assert len(list(tmp_path.iterdir())) == 1


def test_links_in_a_circle_are_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        write_atomically(tmp_path / "a", b"data")


def test_a_name_as_long_as_a_name_may_be_can_be_written(tmp_path):
    path = tmp_path / ("ü" * 127 + "a")
    write_atomically(path, b"data")
    assert path.read_bytes() == b"data"


@pytest.mark.parametrize("call", ["fsync", "replace", "fchmod"])
def test_whatever_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(*arguments):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="input/output error") as caught:
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert caught.value.filename == str(path)
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"old"


def test_an_error_of_the_body_leaves_the_old_file(tmp_path):
    def write():
        with replacing(tmp_path / "a") as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert not list(tmp_path.iterdir())


def test_a_claim_keeps_others_out_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.h5"
    with claimed(path):
        with pytest.raises(UsageError, match=r"a\.h5: another run is writing it; choose another name"), claimed(path):
            pass
        with claimed(tmp_path / "b.h5"):
            pass
    with claimed(path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_claim_on_a_name_that_was_just_removed_is_made_again(tmp_path, monkeypatch):
    """Between opening and locking, the one before has removed the file: its lock would be on a file without a name."""
    path, times = tmp_path / "a.h5", []
    real = fcntl.flock

    def flock(fd, flags):
        if not times:
            os.unlink(beside(path, "refsim-lock"))
        times.append(flags)
        real(fd, flags)

    monkeypatch.setattr(fcntl, "flock", flock)
    with claimed(path), pytest.raises(UsageError), claimed(path):
        pass
    assert len(times) == 3


def test_the_claim_of_a_process_that_died_is_free(tmp_path):
    path = tmp_path / "a.h5"
    beside(path, "refsim-lock").touch()
    with claimed(path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_appears_when_all_of_it_is_there(tmp_path):
    with folder_written_atomically(tmp_path / "new") as part:
        write_atomically(part / "a.bin", b"data")
        assert not (tmp_path / "new").exists()
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["a.bin"]
    assert [each.name for each in tmp_path.iterdir()] == ["new"]


def test_a_folder_that_cannot_be_completed_leaves_nothing(tmp_path):
    def write_half() -> None:
        with folder_written_atomically(tmp_path / "new") as part:
            write_atomically(part / "a.bin", b"data")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_not_touched(tmp_path):
    (tmp_path / "old").mkdir()
    with pytest.raises(FileExistsError) as caught, folder_written_atomically(tmp_path / "old"):
        pass
    assert caught.value.filename == str(tmp_path / "old")
    with pytest.raises(FileNotFoundError), folder_written_atomically(tmp_path / "missing" / "new"):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["old"]

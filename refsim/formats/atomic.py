"""The one place where files are written: at every moment a file or folder is what it was before, or complete."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path

from refsim.exceptions import UsageError
from refsim.formats.untrusted.text import clean

_LONGEST = 150
"""Bytes of a target's name in the names beside it, which have to fit into 255."""


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that at every moment `path` is what it was before or complete.

    Raises
    ------
    OSError
        As `replacing`.
    """
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BufferedRandom]:
    """A file to write and read in; when the body ends without an error it is on the disk and takes the place of `path`.

    Until then it lies beside it under a name of its own, so that no file of anybody is in its way. A link is followed:
    what it leads to is replaced. A file that is there keeps its mode, and its owner where that is allowed.

    Raises
    ------
    OSError
        It cannot be written; the error names what the caller named, or its folder, and nothing is left behind.
    """
    # Strict only where it exists: a dangling link leads to where the file is to be.
    target = Path(os.path.realpath(path))
    before = _status(target, str(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(Path(path).parent))
    temporary = beside(target, f"{secrets.token_hex(4)}.tmp")
    try:
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with open(fd, "w+b") as file:
                if before is not None:
                    _keep_status(fd, before)
                yield file
                file.flush()
                os.fsync(fd)
            os.replace(temporary, target)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        sync_folder(target.parent)
    except OSError as error:
        if error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise


def beside(target: Path, ending: str) -> Path:
    """A hidden file of ours in the folder of another."""
    name = os.fsdecode(os.fsencode(target.name)[:_LONGEST])
    return target.with_name(f".{name}.{ending}")


def _status(target: Path, name: str) -> os.stat_result | None:
    """What is there; None: nothing."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is a pipe, socket or device, not a file that can be replaced", name)
    # Renaming asks only for the right to change the folder.
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
    return status


def _keep_status(fd: int, before: os.stat_result) -> None:
    new = os.fstat(fd)
    if (new.st_uid, new.st_gid) != (before.st_uid, before.st_gid):
        with suppress(PermissionError):
            os.fchown(fd, before.st_uid, before.st_gid)
    os.fchmod(fd, stat.S_IMODE(before.st_mode) & 0o777)


def sync_folder(folder: Path) -> None:
    """Put on the disk which files a folder has; otherwise a renaming may be lost with the power."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def folder_written_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new folder to write into, which gets its name when all of it is there; else nothing is left behind.

    What `write_atomically` puts into it is on the disk before the folder has its name.

    Raises
    ------
    OSError
        There is something of that name already, or it cannot be written.
    """
    target = Path(path)
    if target.exists():
        raise FileExistsError(errno.EEXIST, "is there already; remove it, or name another", str(target))
    if not target.absolute().parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(target.absolute().parent))
    temporary = beside(target, f"{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(target.absolute().parent)


@contextmanager
def claimed(path: str | os.PathLike[str]) -> Iterator[None]:
    """While the body runs, no other process of refsim writes to `path`; a process that dies lets it go.

    Raises
    ------
    UsageError
        Another one does.
    OSError
        The folder cannot be written.
    """
    import fcntl  # not everywhere; `require_posix` says so where it is asked

    lock = beside(Path(os.path.realpath(path)), "refsim-lock")
    while True:
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.fstat(fd)
            with suppress(FileNotFoundError):
                there = os.stat(lock)
                # The one before may have removed the file after it was opened here: then another has the name.
                if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
                    break
            os.close(fd)
        except BlockingIOError:
            os.close(fd)
            name = clean(os.fsdecode(path), None)
            raise UsageError(f"{name}: another run is writing it; choose another name") from None
        except OSError:
            # A file system without locks: nothing to wait for.
            break
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(lock)
        os.close(fd)

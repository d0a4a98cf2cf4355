"""Bad weight files: each is refused in one clean line, with exit code 3, and nothing else happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from refsim.cli.main import main
from refsim.exceptions import FormatError, NetworkError, RefsimError
from refsim.formats.untrusted.content import Node
from refsim.formats.weights.hdf5 import load
from refsim.formats.weights.writer import to_bytes

from .mutations import MUTATIONS, Mutation, write
from .mutations.sealed import sealed
from .support import assert_same, edited, in_process, load_bytes, tiny_network, tiny_tree

ids = [mutation.name.encode("unicode_escape").decode() for mutation in MUTATIONS]


def refusal(path: Path) -> RefsimError:
    with pytest.raises((FormatError, NetworkError)) as caught:
        load(path)
    return caught.value


@pytest.mark.parametrize("mutation", MUTATIONS, ids=ids)
def test_a_mutated_file_is_refused_in_one_clean_line(mutation: Mutation, tmp_path: Path) -> None:
    path = write(mutation, tmp_path)
    with in_process():
        error = refusal(path)
    assert error.exit_code == 3
    assert error.__suppress_context__ or error.__context__ is None
    text = str(error)
    assert text.isprintable()
    assert len(text) < 600 + len(str(tmp_path))
    assert text.startswith((f"{path}:/", f"{path}: "))
    assert re.search(mutation.says, text)


def test_there_are_enough_mutations_and_no_two_of_a_name() -> None:
    assert len(MUTATIONS) >= 120
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.parametrize("mutation", MUTATIONS[::23], ids=ids[::23])
def test_the_reader_process_refuses_as_this_process_does(mutation: Mutation, tmp_path: Path) -> None:
    path = write(mutation, tmp_path)
    actual = str(refusal(path))
    with in_process():
        assert actual == str(refusal(path))


@pytest.mark.heavy
@pytest.mark.parametrize("mutation", MUTATIONS, ids=ids)
def test_the_command_line_ends_with_one_line_and_status_3(
    mutation: Mutation, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # The command in this process, which saves the start of Python; the child that reads the file is the real one.
    path = write(mutation, tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["info", "-w", str(path)])
    printed = capfd.readouterr()
    check_printed(stop.value.code, printed.out, printed.err, mutation.says)


@pytest.mark.parametrize("mutation", [MUTATIONS[0], MUTATIONS[60], MUTATIONS[-1]], ids=lambda each: each.name)
def test_info_ends_with_one_line_and_status_3(mutation: Mutation, tmp_path: Path) -> None:
    check_command(write(mutation, tmp_path), mutation.says)


def check_command(path: Path, says: str) -> None:
    command = [sys.executable, "-m", "refsim", "info", "-w", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    check_printed(result.returncode, result.stdout, result.stderr, says)


def check_printed(status: object, out: str, err: str, says: str) -> None:
    assert status == 3
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("refsim: ")
    assert re.search(says, line)


def test_a_directory_is_not_a_weight_file(tmp_path: Path) -> None:
    assert str(refusal(tmp_path)) == f"{tmp_path}: is a directory, not a weight file"


def test_a_fifo_does_not_hang_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    assert "is a pipe, socket or device, not a weight file" in str(refusal(tmp_path / "pipe.h5"))


def test_a_device_is_not_a_weight_file() -> None:
    assert str(refusal(Path("/dev/zero"))) == "/dev/zero: is a pipe, socket or device, not a weight file"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert str(refusal(tmp_path / "no.h5")).endswith("no.h5: cannot be opened: No such file or directory")


def test_a_file_name_is_cleaned_before_it_is_shown(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[31m\n.h5").touch()
    assert str(refusal(tmp_path / "a\x1b[31m\n.h5")) == rf"{tmp_path}/a\x1b[31m\x0a.h5: is empty"


def test_a_name_no_file_can_have_is_refused() -> None:
    assert "cannot be opened" in str(refusal(Path("a\0b.h5")))


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    with open(tmp_path / "sparse.h5", "wb") as file:
        file.truncate(1 << 40)
    assert "at most 805306368 bytes are read" in str(refusal(tmp_path / "sparse.h5"))


def test_a_file_on_read_only_media_is_read(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    path.write_bytes(to_bytes(tiny_tree()))
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        assert_same(load(path).network, tiny_network())
    finally:
        tmp_path.chmod(0o755)


def test_unknown_groups_are_ignored_with_a_warning() -> None:
    def extend(tree: dict[str, Node]) -> None:
        tree["/optimizer"] = Node({"lr": 0.1})
        tree["/optimizer/m\x1bomentum"] = Node(data=np.ones(3))
        tree["/stray"] = Node(data=np.ones(3))

    file = load_bytes(sealed(extend))
    assert file.warnings == (
        "/optimizer: unknown group or dataset, ignored",
        "/stray: unknown group or dataset, ignored",
    )
    assert_same(file.network, tiny_network())


def test_root_attributes_that_are_no_strings_are_ignored_with_a_warning() -> None:
    file = load_bytes(sealed(lambda tree: tree["/"].attrs.__setitem__("epoch", 3)))
    assert file.warnings == ("/: attribute epoch is not a string, ignored",)


def test_a_newer_minor_version_is_read_with_a_warning() -> None:
    file = load_bytes(sealed(lambda tree: tree["/"].attrs.__setitem__("format_version", "1.7")))
    assert file.warnings == ("/: written in format version 1.7; this refsim knows 1.1",)
    assert_same(file.network, tiny_network())


def test_subnormal_weights_are_kept() -> None:
    weight = np.full((3, 3, 1, 1), 1e-40, dtype="f4")
    file = load_bytes(sealed(lambda tree: tree.__setitem__("/layers/conv2/weight", Node(data=weight))))
    assert_same(file.network.layers[2].weight, weight)


def test_an_older_superblock_is_read(tmp_path: Path) -> None:
    # Files of other programs: h5py without `libver` writes version 0.
    (tmp_path / "new.h5").write_bytes(to_bytes(tiny_tree()))
    with h5py.File(tmp_path / "new.h5") as new, h5py.File(tmp_path / "old.h5", "w", libver="earliest") as old:
        for key in new:
            new.copy(key, old)
        for key in new.attrs:
            old.attrs.create(key, new.attrs[key], dtype=new.attrs.get_id(key).dtype)
    data = (tmp_path / "old.h5").read_bytes()
    assert data[8] == 0
    assert_same(load_bytes(data).network, tiny_network())
    with pytest.raises(FormatError, match="is cut short"):
        load_bytes(data[:-1])


def test_an_edit_that_changes_nothing_is_no_mutation() -> None:
    # Otherwise every refusal above could be the fault of the way the files are made.
    assert_same(load_bytes(edited(lambda file: None)).network, tiny_network())
    assert_same(load_bytes(sealed(lambda tree: None)).network, tiny_network())

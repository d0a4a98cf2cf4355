"""Where `--weights NAME` is looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from refsim.exceptions import UsageError
from refsim.formats.weights import locate
from refsim.formats.weights.locate import find_weights


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, two directories of $REFSIM_WEIGHTS, and a package in a checkout."""
    for folder in (
        "work/weights",
        "first",
        "second",
        "checkout/refsim/data",
        "checkout/refsim/weights",
        "checkout/weights",
    ):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("REFSIM_WEIGHTS", os.pathsep.join([str(tmp_path / "first"), "", str(tmp_path / "second")]))
    monkeypatch.setattr(locate, "_PACKAGE", tmp_path / "checkout" / "refsim")
    return tmp_path


def test_places_are_searched_in_this_order(house: Path) -> None:
    inside = ("checkout/refsim/data", "checkout/refsim/weights", "checkout/weights")
    places = ("work", "first", "second", "work/weights", *inside)
    for place in reversed(places):
        (house / place / "net.h5").touch()
        assert find_weights("net.h5").resolve() == house / place / "net.h5"


def test_the_ending_may_be_left_out(house: Path) -> None:
    (house / "second" / "net.h5").touch()
    assert find_weights("net") == house / "second" / "net.h5"


def test_a_path_with_directories_means_that_file_and_no_other(house: Path) -> None:
    (house / "first" / "net.h5").touch()
    assert find_weights(house / "first" / "net.h5") == house / "first" / "net.h5"
    with pytest.raises(UsageError, match=r"no weight file 'other/net\.h5'$"):
        find_weights("other/net.h5")


def test_no_name_is_the_packaged_default(house: Path) -> None:
    default = house / "checkout" / "refsim" / "data" / locate.DEFAULT
    default.touch()
    assert find_weights() == default


def test_an_error_lists_where_it_looked_and_what_is_there(house: Path) -> None:
    (house / "first" / "vgg16.h5").touch()
    (house / "work" / "weights" / "resnet.h5").touch()
    (house / "work" / "weights" / "notes.txt").touch()
    with pytest.raises(UsageError) as caught:
        find_weights("vgg61")
    assert str(caught.value) == (
        f"no weight file 'vgg61'; looked in ., {house}/first, {house}/second, weights, {house}/checkout/refsim/data, "
        f"{house}/checkout/refsim/weights, {house}/checkout/weights; there is resnet.h5, vgg16.h5"
    )


def test_a_directory_is_named_as_such_with_what_is_in_it(house: Path) -> None:
    (house / "first" / "vgg16.h5").touch()
    with pytest.raises(UsageError, match=r"first is a directory; name a weight file in it; there is vgg16\.h5"):
        find_weights(house / "first")


@pytest.mark.parametrize("name", ["", "\0", "x" * 5000, "\x1b[31mred"])
def test_names_no_file_has_are_refused_cleanly(house: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_weights(name)
    assert str(caught.value).isprintable()


def test_a_fifo_is_found_and_left_for_the_reader_to_refuse(house: Path) -> None:
    os.mkfifo(house / "work" / "pipe.h5")
    assert find_weights("pipe.h5") == Path("pipe.h5")

"""Parts add up to the run, and to nothing else."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest

from refsim.engine.results import Result
from refsim.exceptions import CheckFailedError, FormatError, UsageError
from refsim.runs.store.directory import RunDirectory
from refsim.runs.store.merge import Parts
from refsim.runs.store.rows import Columns
from refsim.runs.store.spec import Part, Spec
from tests.simulation.test_parallel import assert_same
from tests.store.support import ABOUT, batch_of, spec_of

IMAGES = np.arange(8)


def write(path: Path, part: str | None, *images: int, spec: Spec | None = None, extra: int = 0) -> Path:
    chosen = None if part is None else Part.parse(part)
    with RunDirectory(path, spec or spec_of(), IMAGES, about=ABOUT, part=chosen) as run:
        if images:
            run.commit("if", batch_of(*images, extra=extra))
    return path


def merged(*paths: Path) -> Result:
    with closing(Parts(paths)) as parts:
        return parts.result("if", IMAGES)


@pytest.fixture
def whole(tmp_path: Path) -> Result:
    return merged(write(tmp_path / "whole.run", None, *range(8)))


def test_parts_in_any_order_are_the_whole(tmp_path: Path, whole: Result) -> None:
    paths = [write(tmp_path / f"{i}.run", f"{i + 1}/4", 2 * i, 2 * i + 1) for i in range(4)]
    assert_same(merged(paths[2], paths[0], paths[3], paths[1]), whole)


def test_parts_that_overlap_and_agree_are_counted_once(tmp_path: Path, whole: Result) -> None:
    halves = [write(tmp_path / "h1", "1/2", 0, 1, 2, 3), write(tmp_path / "h2", "2/2", 4, 5, 6, 7)]
    middle = write(tmp_path / "m", "2/3", 2, 3, 4)
    assert_same(merged(halves[1], middle, halves[0], halves[0]), whole)


def test_parts_that_overlap_and_differ_are_named(tmp_path: Path) -> None:
    one = write(tmp_path / "one.run", "1/2", 0, 1, 2, 3)
    other = write(tmp_path / "other.run", None, 4, 5, 6, 7)
    lie = write(tmp_path / "lie.run", "2/3", 3, extra=1)
    with pytest.raises(CheckFailedError, match=r"one\.run and .*lie\.run differ on image 3 \(if\)"):
        merged(one, other, lie)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"1/2": (0, 1, 2, 3)}, r"4 of 8 images are in no part \(if\), from image 4 to 7: part 2/2 is missing"),
        ({"1/2": (0, 1, 3), "2/2": (4, 5, 6, 7)}, r"1 of 8 .* image 2 to 2: part 1/2, .*1-2\.run, is not finished"),
        ({"1/2": (), "2/2": ()}, r"8 of 8 images are in no part .*: part 1/2, .* is not finished"),
    ],
)
def test_missing_images_are_named_with_their_part(
    tmp_path: Path, held: dict[str, tuple[int, ...]], message: str
) -> None:
    paths = [write(tmp_path / f"{part.replace('/', '-')}.run", part, *images) for part, images in held.items()]
    with pytest.raises(UsageError, match=message):
        merged(*paths)


def test_a_whole_run_that_is_not_finished_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.run is not finished \(--resume goes on\)"):
        merged(write(tmp_path / "a.run", None, 0, 1))


def test_parts_of_different_runs_are_named_with_the_first_difference(tmp_path: Path) -> None:
    one = write(tmp_path / "one.run", "1/2", 0, 1, 2, 3)
    other = write(tmp_path / "other.run", "2/2", 4, 5, 6, 7, spec=spec_of(T=3, dtype="float32"))
    with pytest.raises(UsageError, match=r"one\.run and .*other\.run are parts of different runs: T = 2 and 3"):
        merged(one, other)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("engine", "0.9"),
        ("weights", "b" * 64),
        ("data", "b" * 64),
        ("images", 9),
        ("limit", 8),
        ("pad", True),
        ("T", 3),
        ("dtype", "exact"),
        ("neuron", "dual"),
        ("theta_neg", -0.5),
        ("theta_neg_mode", "absolute"),
        ("v0", 0.25),
        ("skip_zero_weights", True),
        ("ann", True),
    ],
)
def test_no_field_of_the_specification_may_differ(tmp_path: Path, field: str, value: object) -> None:
    assert {each.name for each in fields(Spec)} == set(asdict(spec_of()))
    one = write(tmp_path / "one.run", "1/2", 0, 1, 2, 3)
    other = write(tmp_path / "other.run", "2/2", 4, 5, 6, 7, spec=spec_of(**{field: value}))
    with pytest.raises(UsageError, match=rf"other\.run are parts of different runs: {field} = "):
        merged(one, other)


def test_an_image_of_another_part_is_refused_before_anything_is_added(tmp_path: Path) -> None:
    one = write(tmp_path / "one.run", "1/2", 0, 1, 2, 3, 4)
    other = write(tmp_path / "other.run", "2/2", 4, 5, 6, 7)
    with pytest.raises(FormatError, match=r"one\.run: holds image 4, which is not of part 1/2 \(if\)"):
        merged(one, other)


def test_parts_of_another_version_are_merged_by_that_version(tmp_path: Path) -> None:
    old = spec_of(engine="0.1")
    paths = [write(tmp_path / f"{i}", f"{i + 1}/2", *range(4 * i, 4 * i + 4), spec=old) for i in (0, 1)]
    with pytest.raises(UsageError, match=r"was made with engine = 0\.1, this is .*; merge it with the version"):
        merged(*paths)


def test_images_beyond_the_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"a\.run: holds image 8, which is not of the run \(if\)"):
        merged(write(tmp_path / "a.run", None, *range(9)))


def test_rows_of_different_layouts_do_not_add(tmp_path: Path) -> None:
    one = write(tmp_path / "one.run", "1/2", 0, 1, 2, 3)
    with RunDirectory(tmp_path / "two.run", spec_of(), IMAGES, about=ABOUT, part=Part.parse("2/2")) as run:
        run.commit("if", batch_of(4, 5, 6, 7, layout=Columns(T=2, populations=("if2",), projections=())))
    with pytest.raises(CheckFailedError, match="rows of different layouts"):
        merged(one, tmp_path / "two.run")


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: None], ids=["folder", "file", "nothing"])
def test_what_is_no_run_directory_is_refused(tmp_path: Path, make: object) -> None:
    make(tmp_path / "x")  # type: ignore[operator]
    with pytest.raises(FormatError, match=r"x: no run directory, it holds no run\.db"):
        Parts([tmp_path / "x"])

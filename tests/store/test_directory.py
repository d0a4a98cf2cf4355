"""A run directory keeps what it was given, counts nothing twice, and belongs to one run and one process."""

from __future__ import annotations

import json
import multiprocessing
import re
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refsim.exceptions import CheckFailedError, FormatError, UsageError
from refsim.runs.store.directory import RunDirectory
from refsim.runs.store.merge import Parts
from refsim.runs.store.rows import Columns
from refsim.runs.store.spec import Part, Spec
from refsim.version import __version__
from tests.store.support import ABOUT, LAYOUT, batch_of, spec_of

IMAGES = np.arange(8)


def opened(path: Path, spec: Spec | None = None, **options: Any) -> RunDirectory:
    return RunDirectory(path, spec or spec_of(), IMAGES, about=ABOUT, **options)


def execute(path: Path, statement: str, *values: object) -> None:
    """Change a run.db behind the back of refsim."""
    with closing(sqlite3.connect(path / "run.db")) as connection:
        assert connection.execute(statement, values).rowcount != 0
        connection.commit()


def test_what_was_committed_is_there_and_the_rest_is_pending(tmp_path: Path) -> None:
    with opened(tmp_path / "a.run") as run:
        assert run.commit("if", batch_of(0, 1, 5)) == 3
        assert run.pending("dual").tolist() == list(range(8))
    with opened(tmp_path / "a.run", resume=True) as run:
        assert run.pending("if").tolist() == [2, 3, 4, 6, 7]
        run.commit("if", batch_of(*run.pending("if")))
        assert run.pending("if").tolist() == []
        result = run.result("if")
    rows = np.concatenate([batch_of(i).rows for i in range(8)])
    assert result.n_images == 8
    assert result.nonzero_macs == rows[:, 1].sum()
    assert result.correct.tolist() == [(rows[:, 2 + t] == rows[:, 0]).sum() for t in range(2)]
    assert result.populations["if1"].reached.tolist() == rows[:, 8:10].sum(axis=0).tolist()
    assert result.populations["if1"].margin.tolist() == [0.0, 0.0]
    assert result.x_max == 7.0


def test_rows_that_come_twice_are_counted_once(tmp_path: Path) -> None:
    for name, batches in (
        ("once", [(0, 1, 2, 3), (4, 5, 6, 7)]),
        ("twice", [(0, 1, 2, 3), (0, 1, 2, 3), (3, 4, 5), (4, 5, 6, 7), (7,)]),
    ):
        with opened(tmp_path / name) as run:
            assert sum(run.commit("if", batch_of(*images)) for images in batches) == 8
            result = run.result("if")
        assert (result.n_images, result.nonzero_macs) == (8, sum(range(1, 9)))


def test_the_same_image_with_other_numbers_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "a.run") as run:
        run.commit("if", batch_of(0, 1))
        with pytest.raises(CheckFailedError, match=r"image 1 \(if\) was computed twice, with different results"):
            run.commit("if", batch_of(2, 1, extra=1))
        assert run.pending("if").tolist() == list(range(2, 8))


def test_rows_of_another_layout_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "a.run") as run:
        run.commit("if", batch_of(0))
        with pytest.raises(CheckFailedError, match="another layout"):
            run.commit("if", batch_of(1, layout=Columns(T=2, populations=("if2",), projections=())))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"engine": "0.9"}, rf"engine = {re.escape(__version__)}, this run has 0\.9"),
        ({"weights": "b" * 64}, "weights = aaaaaaaaaaaa..., this run has bbbbbbbbbbbb..."),
        ({"data": "c" * 64}, "data = none, this run has cccccccccccc..."),
        ({"images": 9}, "images = 8, this run has 9"),
        ({"limit": 4}, "limit = none, this run has 4"),
        ({"pad": True}, "pad = False, this run has True"),
        ({"scale": 1.0}, r"scale = none, this run has 1\.0"),
        ({"currents": True}, "currents = False, this run has True"),
        ({"resize": 256}, "resize = none, this run has 256"),
        ({"crop": 224}, "crop = none, this run has 224"),
        ({"T": 3}, "T = 2, this run has 3"),
        ({"dtype": "float32"}, "dtype = float64, this run has float32"),
        ({"neuron": "both"}, "neuron = if, this run has both"),
        ({"theta_neg": -0.1}, r"theta_neg = none, this run has -0\.1"),
        ({"theta_neg_mode": "relative"}, "theta_neg_mode = none, this run has relative"),
        ({"v0": 0.1 + 0.2}, r"v0 = none, this run has 0\.30000000000000004"),
        ({"skip_zero_weights": True}, "skip_zero_weights = False, this run has True"),
        ({"ann": True}, "ann = False, this run has True"),
    ],
)
def test_another_run_is_refused_with_the_first_difference(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with opened(tmp_path / "a.run"):
        pass
    with pytest.raises(UsageError, match=rf"a\.run: was made with {message}; choose another name"):
        opened(tmp_path / "a.run", spec_of(**change), resume=True)
    assert len(vars(spec_of())) == 18, "a new field needs its line above"


def test_another_part_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "a.run", part=Part(number=2, count=4)) as run:
        assert run.pending("if").tolist() == [2, 3]
    with pytest.raises(UsageError, match="was made with shard = 2/4, this run has 3/4"):
        opened(tmp_path / "a.run", part=Part(number=3, count=4), resume=True)
    with pytest.raises(UsageError, match="was made with shard = 2/4, this run has none"):
        opened(tmp_path / "a.run", resume=True)


def test_results_are_not_gone_on_with_unless_asked(tmp_path: Path) -> None:
    with opened(tmp_path / "a.run"):
        pass
    with pytest.raises(UsageError, match="a run is there already; --resume goes on with it"):
        opened(tmp_path / "a.run")


def _hold(path: Path, entered: Any, leave: Any) -> None:
    with opened(path):
        entered.set()
        leave.wait(60)


def test_two_processes_cannot_write_to_one_directory(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    entered, leave = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "a.run", entered, leave))
    other.start()
    assert entered.wait(60)
    for attempt in (lambda: opened(tmp_path / "a.run", resume=True), lambda: Parts([tmp_path / "a.run"])):
        with pytest.raises(UsageError, match=r"a\.run: another run is writing to it"):
            attempt()
    leave.set()
    other.join(60)
    with opened(tmp_path / "a.run", resume=True):
        pass


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="is a directory with other files in it"):
        opened(tmp_path, resume=True)
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("content", [None, b""])
def test_a_run_that_died_at_once_is_begun_again(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.run"
    path.mkdir()
    (path / "lock").touch()
    if content is not None:
        (path / "run.db").write_bytes(content)
    with opened(path, resume=True) as run:
        assert run.commit("if", batch_of(0)) == 1


def test_a_finished_directory_is_one_plain_file_and_reads_on_read_only_media(tmp_path: Path) -> None:
    with opened(tmp_path / "a.run") as run:
        run.commit("if", batch_of(*range(8)))
        expected = run.result("if")
    assert {each.name for each in (tmp_path / "a.run").iterdir()} == {"run.db", "lock"}
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "run.db").write_bytes((tmp_path / "a.run" / "run.db").read_bytes())
    (copy / "run.db").chmod(0o400)
    copy.chmod(0o500)
    with closing(Parts([copy])) as parts:
        assert parts.result("if", IMAGES).nonzero_macs == expected.nonzero_macs
    assert [each.name for each in copy.iterdir()] == ["run.db"]


def test_a_changed_byte_in_a_row_is_found(tmp_path: Path) -> None:
    with opened(tmp_path / "a.run") as run:
        run.commit("if", batch_of(*range(8)))
    row = bytes(batch_of(3).rows[0].astype("i1") ^ np.array([0, 0, 0, 4, *[0] * (LAYOUT.width - 4)], dtype="i1"))
    execute(tmp_path / "a.run", "UPDATE images SET counts = ? WHERE image = 3", row)
    with pytest.raises(FormatError, match=r"at image 3 \(if\)"):
        opened(tmp_path / "a.run", resume=True)


def test_rows_that_changed_places_are_found(tmp_path: Path) -> None:
    with opened(tmp_path / "a.run") as run:
        run.commit("if", batch_of(*range(7)))
    execute(tmp_path / "a.run", "UPDATE images SET image = 7 WHERE image = 3")
    with pytest.raises(FormatError, match=r"at image 7 \(if\)"):
        opened(tmp_path / "a.run", resume=True)


def test_changed_bounds_are_found(tmp_path: Path) -> None:
    with opened(tmp_path / "a.run") as run:
        run.commit("if", batch_of(*range(8)))
    execute(tmp_path / "a.run", "UPDATE batches SET bounds = ?", bytes(8 * LAYOUT.n_bounds))
    with pytest.raises(FormatError, match="at its batches"):
        opened(tmp_path / "a.run", resume=True)


def test_a_changed_word_about_the_run_is_found(tmp_path: Path) -> None:
    with opened(tmp_path / "a.run") as run:
        run.commit("if", batch_of(*range(8)))
    execute(tmp_path / "a.run", "UPDATE meta SET value = replace(value, ?, 'if2') WHERE key = 'layout if'", "if1")
    with (
        pytest.raises(FormatError, match="is damaged where it says what the run is"),
        closing(Parts([tmp_path / "a.run"])),
    ):
        pass
    with pytest.raises(FormatError, match="is damaged where it says what the run is"):
        opened(tmp_path / "a.run", resume=True)


def reword(path: Path, key: str, value: str) -> None:
    """Change what a run directory says about itself, with the checksum that belongs to it."""
    crc = zlib.crc32(value.encode(), zlib.crc32(key.encode()))
    execute(path, "UPDATE meta SET value = ?, crc = ? WHERE key = ?", value, crc, key)


def spec_text(**changes: object) -> str:
    """What `Spec.to_json` would write, if there could be such a spec."""
    return json.dumps(json.loads(spec_of().to_json()) | changes)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("spec", "[]", "its spec is damaged"),
        ("spec", "[" * 9999, "its spec is damaged"),
        ("spec", spec_text(images=10**15), "its spec is damaged"),
        ("spec", spec_text(limit="3"), "its spec is damaged"),
        ("spec", spec_text(dtype="\x1b[31m"), "its spec is damaged"),
        ("spec", spec_text(v0=float("nan")), "its spec is damaged"),
        ("spec", spec_text(neuron="x"), "its spec is damaged"),
        ("spec", spec_text(v0=10**400), "its spec is damaged"),
        ("spec", spec_text(v0=1), "its spec is damaged"),
        ("spec", spec_text(data="0"), "its spec is damaged"),
        ("spec", spec_text().replace('"T": 2', '"T": 3, "T": 2'), "its spec is damaged"),
        ("spec", spec_text(v0=0.25), r"its rows are not those written \(if\)"),
        ("spec", spec_text(data="b" * 64), "its rows are not those written"),
        ("spec", spec_text(skip_zero_weights=True), "its rows are not those written"),
        ("spec", spec_text(engine="0.1"), "was made with engine = 0.1, this is"),
        ("part", "1/1", "its rows are not those written"),
        ("part", "1/2", "holds image 4, which is not of part 1/2"),
        ("part", "01/2", "does not say which part of a run it is"),
        ("part", "9" * 5000 + "/" + "9" * 5000, "does not say which part of a run it is"),
        ("layout if", "{}", "its layout is damaged"),
        ("layout if", '{"T": 2, "populations": [3], "projections": []}', "its layout is damaged"),
        ("layout if", '{"T": -2, "populations": [], "projections": []}', "its layout is damaged"),
        ("layout if", '{"T": 2, "populations": ["a", "b"], "projections": []}', "damaged at image 0"),
        ("layout if", '{"T": 99, "populations": ["if1"], "projections": []}', "damaged at image 0"),
    ],
)
def test_a_stranger_s_directory_is_not_believed(tmp_path: Path, key: str, value: str, says: str) -> None:
    with opened(tmp_path / "a.run") as run:
        run.commit("if", batch_of(*range(8)))
    reword(tmp_path / "a.run", key, value)
    with (
        pytest.raises((FormatError, UsageError), match=says) as caught,
        closing(Parts([tmp_path / "a.run"])) as parts,
    ):
        parts.result("if", np.arange(8))
    assert str(caught.value).isprintable()
    # What merging refuses is not gone on with either; only another part or spec is another run's directory there.
    with pytest.raises((FormatError, UsageError)), opened(tmp_path / "a.run", resume=True) as run:
        run.result("if")


def forge(path: Path, image: int) -> None:
    """Put another row in place of this image's, with the checksum that belongs to it."""
    counts = batch_of(image, extra=1).rows[0].astype("i1").tobytes()
    crc = zlib.crc32(counts, zlib.crc32(f"if {image}".encode()))
    execute(path, "INSERT OR REPLACE INTO images VALUES ('if', ?, ?, ?)", image, counts, crc)


@pytest.mark.parametrize("n", [7, 8], ids=["before it is finished", "when it is finished"])
def test_a_forged_row_is_accepted_neither_by_resume_nor_by_merge(tmp_path: Path, n: int) -> None:
    with opened(tmp_path / "a.run") as run:
        run.commit("if", batch_of(*range(n)))
    forge(tmp_path / "a.run", 3)
    with pytest.raises(FormatError, match=r"its rows are not those written \(if\)"):
        opened(tmp_path / "a.run", resume=True)
    with pytest.raises(FormatError, match="its rows are not"), closing(Parts([tmp_path / "a.run"])) as parts:
        parts.result("if", IMAGES)


def test_rows_that_are_gone_or_came_from_elsewhere_are_found(tmp_path: Path) -> None:
    with opened(tmp_path / "a.run") as run:
        run.commit("if", batch_of(*range(8)))
    execute(tmp_path / "a.run", "DELETE FROM images WHERE image = 3")
    with pytest.raises(FormatError, match="its rows are not those written"):
        opened(tmp_path / "a.run", resume=True)
    with opened(tmp_path / "b.run") as run:
        run.commit("if", batch_of(*range(4)))
    forge(tmp_path / "b.run", 5)
    with pytest.raises(FormatError, match="its rows are not those written"):
        opened(tmp_path / "b.run", resume=True)


def test_the_checksum_does_not_depend_on_how_the_rows_came(tmp_path: Path) -> None:
    for name, batches in {"a": [range(8)], "b": [range(4, 8), (2, 3, 4), range(2)]}.items():
        with opened(tmp_path / name) as run:
            for images in batches:
                run.commit("if", batch_of(*images))
        with opened(tmp_path / name, resume=True) as run:
            run.commit("if", batch_of(*range(8)))
            assert run.result("if").n_images == 8


def test_a_directory_that_holds_other_images_than_the_run_has_no_result(tmp_path: Path) -> None:
    with opened(tmp_path / "a.run") as run:
        run.commit("if", batch_of(*range(9)))
        with pytest.raises(FormatError, match="holds other images than the run has"):
            run.result("if")


def test_specifications_are_compared_bit_by_bit() -> None:
    assert spec_of(v0=0.0).first_difference(spec_of(v0=-0.0)) == ("v0", 0.0, -0.0)
    assert spec_of(v0=0.0).first_difference(spec_of(v0=0)) is None


def test_a_view_in_place_of_a_table_is_refused_unread(tmp_path: Path) -> None:
    with opened(tmp_path / "a.run") as run:
        run.commit("if", batch_of(*range(8)))
    endless = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT 'if', i, x'00', 0 FROM n"
    for statement in ("DROP TABLE images", f"CREATE VIEW images (machine, image, counts, crc) AS {endless}"):
        execute(tmp_path / "a.run", statement)
    with (
        pytest.raises(FormatError, match="has other tables than a run of refsim"),
        closing(Parts([tmp_path / "a.run"])),
    ):
        pass


def test_text_from_a_directory_is_cleaned(tmp_path: Path) -> None:
    with opened(tmp_path / "a.run") as run:
        run.commit("if", batch_of(*range(8)))
    reword(tmp_path / "a.run", "source", "8 images\x1b[31m\n")
    with closing(Parts([tmp_path / "a.run"])) as parts:
        assert parts.about.source == r"8 images\x1b[31m\x0a"


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 99, b"SQLite format 3\0" + bytes(4080)], ids=["text", "head"]
)
def test_a_file_that_is_no_database_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.run"
    path.mkdir()
    (path / "run.db").write_bytes(content)
    with pytest.raises(FormatError, match=r"a\.run: run\.db is damaged, or no run of refsim"):
        opened(path, resume=True)


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.run").mkdir()
    with closing(sqlite3.connect(tmp_path / "a.run" / "run.db")) as connection:
        connection.execute("CREATE TABLE meta (key, value)")
        connection.commit()
    with pytest.raises(FormatError, match="not a run directory of this version"):
        opened(tmp_path / "a.run", resume=True)


@pytest.mark.parametrize("text", ["3", "0/4", "5/4", "a/b", "1/-4", "/", "1/2/3"])
def test_a_shard_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write it as I/N with 1 <= I <= N"):
        Part.parse(text)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
def test_parts_share_all_images_evenly(count: int) -> None:
    ranges = [Part(number=i + 1, count=count).range(8) for i in range(count)]
    assert [image for first, last in ranges for image in range(first, last)] == list(range(8))
    sizes = {last - first for first, last in ranges}
    assert max(sizes) - min(sizes) <= 1
    with pytest.raises(UsageError, match="--shard 1/9: there are only 8 images to share"):
        Part(number=1, count=9).range(8)

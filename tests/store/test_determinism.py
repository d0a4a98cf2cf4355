"""The promise of docs/reliability.md: the same weights, image, T and number type give the same bits, however run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.formats.images.currents import InputCurrents
from refsim.runs.runner import ANN, Runner
from refsim.runs.store.directory import RunDirectory
from refsim.runs.store.merge import Parts
from refsim.runs.store.rows import Batch, combine, pack
from refsim.runs.store.spec import Part, Spec
from tests.engine.effort import examples
from tests.simulation.networks import raw_images, small_network
from tests.simulation.test_parallel import assert_same
from tests.store.support import ABOUT, spec_of

N, T = 13, 6
IMAGES = InputCurrents(small_network().input, raw_images(N), np.arange(N) % 5)
Rows = dict[int, bytes]
NUMBERS = ("exact", "float64", "float32")


def machine_of(name: str, dtype: str) -> Runner:
    return Runner.compile(name, small_network(dual=name == "dual"), spec_of(T=T, dtype=dtype))


MACHINES = {(name, dtype): machine_of(name, dtype) for name in (ANN, "if", "dual") for dtype in NUMBERS}


def rows_of(machine: Runner, order: np.ndarray, batch: int | None = None, threads: int = 1) -> tuple[Rows, list[int]]:
    """Every image's packed row, and the combined bounds."""
    found: list[Batch] = []
    machine.run(IMAGES, order, found.append, batch=batch, threads=threads)
    rows = {int(i): pack(row) for each in found for i, row in zip(each.images, each.rows, strict=True)}
    return rows, combine([each.bounds for each in found]).tolist()


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("name", [ANN, "if", "dual"])
@examples(20, interpreted=3)
@given(
    order=st.permutations(range(N)),
    batch=st.integers(1, N),
    threads=st.integers(1, 4),
    cuts=st.lists(st.integers(1, N - 1), max_size=4, unique=True),
)
def test_no_bit_depends_on_order_batch_threads_or_shards(
    name: str, dtype: str, order: list[int], batch: int, threads: int, cuts: list[int]
) -> None:
    machine = MACHINES[name, dtype]
    expected_rows, expected_bounds = rows_of(machine, np.arange(N), N)
    shards = np.split(np.array(order), sorted(cuts))
    parts = [rows_of(machine, shard, batch, threads) for shard in shards]
    assert {image: row for rows, _ in parts for image, row in rows.items()} == expected_rows
    assert combine([np.array(bounds) for _, bounds in parts]).tolist() == expected_bounds


def test_float32_is_another_machine_and_not_the_same_one() -> None:
    """Otherwise the promise for float32 would be the one for float64, tested twice."""
    assert (
        rows_of(MACHINES["dual", "float32"], np.arange(N))[1] != rows_of(MACHINES["dual", "float64"], np.arange(N))[1]
    )


@examples(25, interpreted=3)
@given(
    n_parts=st.integers(1, 5),
    batches=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    seed=st.integers(0, 2**16),
)
def test_no_bit_depends_on_interruptions_or_on_who_did_what(
    tmp_path_factory: pytest.TempPathFactory, n_parts: int, batches: list[int], seed: int
) -> None:
    """Parts that stop after any batch, go on with another batch size in another order, and are merged in any order."""
    folder = tmp_path_factory.mktemp("runs")
    draw = np.random.default_rng(seed)
    machine, spec = MACHINES["dual", "float32"], spec_of(T=T, dtype="float32", images=N)
    paths: list[Path] = []
    for number in range(1, n_parts + 1):
        paths.append(folder / f"{number}.run")
        _finish(machine, spec, paths[-1], Part(number=number, count=n_parts), batches, draw)
    _finish(machine, spec, folder / "whole.run", None, [N], draw)
    parts, whole = Parts([paths[i] for i in draw.permutation(n_parts)]), Parts([folder / "whole.run"])
    expected = whole.result("dual", np.arange(N))
    assert_same(parts.result("dual", np.arange(N)), expected)
    assert expected.n_images == N
    parts.close()
    whole.close()


def _finish(
    machine: Runner, spec: Spec, path: Path, part: Part | None, batches: list[int], draw: np.random.Generator
) -> None:
    """Open the directory again and again, each time for one batch of what is pending."""
    for batch in [*batches, *[N] * 2]:
        with RunDirectory(path, spec, np.arange(N), about=ABOUT, part=part, resume=True) as run:
            some = draw.permutation(run.pending("dual"))[:batch]
            machine.run(IMAGES, some, lambda done, run=run: run.commit("dual", done), batch=int(draw.integers(1, 5)))

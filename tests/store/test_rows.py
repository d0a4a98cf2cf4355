"""Rows are integers, and add up to the `Result` of the run."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.engine.batches import run_ann, run_snn
from refsim.engine.plan import compile_network
from refsim.engine.results import PopulationCounts
from refsim.engine.trace import SynapticOps
from refsim.exceptions import FormatError
from refsim.formats.images.currents import InputCurrents
from refsim.runs.runner import ANN, Runner
from refsim.runs.store.rows import COUNTED, OPERATIONS, Batch, Columns, Sum, combine, concatenate, pack, unpack
from tests.simulation.networks import raw_images, small_network
from tests.simulation.test_parallel import assert_same
from tests.store.support import spec_of

N, T = 11, 4
INT64 = st.integers(-(2**63), 2**63 - 1)


def images(labelled: bool = True) -> InputCurrents:
    return InputCurrents(small_network().input, raw_images(N), np.arange(N) % 5 if labelled else None)


def batches_of(machine: Runner, data: InputCurrents, order: np.ndarray, batch: int) -> list[Batch]:
    found: list[Batch] = []
    machine.run(data, order, found.append, batch=batch)
    return found


@given(st.lists(INT64, min_size=1, max_size=20))
def test_a_packed_row_reads_back(numbers: list[int]) -> None:
    row = np.array(numbers, dtype=np.int64)
    packed = pack(row)
    np.testing.assert_array_equal(unpack(packed, len(row)), row)
    smallest = next(w for w in (1, 2, 4, 8) if all(-(2 ** (8 * w - 1)) <= n < 2 ** (8 * w - 1) for n in numbers))
    assert len(packed) == smallest * len(row)


def test_bytes_of_another_row_are_refused() -> None:
    with pytest.raises(FormatError, match="7 bytes are no row of 3 numbers"):
        unpack(b"1234567", 3)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("kind", ["if", "dual"])
def test_rows_in_any_order_and_batch_add_up_to_the_result_of_the_run(kind: str, labelled: bool) -> None:
    network, data = small_network(kind == "dual"), images(labelled)
    expected = run_snn(compile_network(network), data, np.arange(N), T)
    machine = Runner.compile(kind, network, spec_of(T=T))
    order = np.random.default_rng(1).permutation(N)
    whole = concatenate(batches_of(machine, data, order, 3))
    total = Sum(whole.layout)
    for row in whole.rows[np.argsort(whole.images)]:
        total.add(unpack(pack(row), whole.layout.width))
    assert_same(total.result(whole.bounds), expected)
    assert expected.populations["if1"].n_pos.sum() > 0
    assert any(each.n_neg.any() for each in expected.populations.values()) == (kind == "dual")


def test_rows_of_the_ann_count_what_it_gets_right() -> None:
    expected = run_ann(compile_network(small_network(), fold=False), images(), np.arange(N))
    total = None
    for batch in batches_of(Runner.compile(ANN, small_network(), spec_of()), images(), np.arange(N), 4):
        total = total or Sum(batch.layout)
        for row in batch.rows:
            total.add(row)
    assert total is not None
    result = total.result(batch.bounds)
    assert (result.correct.tolist(), result.n_labelled) == ([expected], N)
    assert expected > 0


def test_bounds_combine_as_the_doubles_they_stand_for() -> None:
    values = [np.array([1.5, 0.25, np.inf]), np.array([2.5, 0.0, 1e-300]), np.array([0.0, 5e-324, 3.0])]
    combined = combine([each.view(np.int64) for each in values])
    assert combined.view(np.float64).tolist() == [2.5, 0.0, 1e-300]


def test_a_layout_reads_back_and_knows_every_counter() -> None:
    layout = Columns(T=3, populations=("a/b", "c"), projections=(("a/b", "c"), ("c", "d->e")))
    assert Columns.from_json(layout.to_json()) == layout
    # A counter that is added to the results must be added to the rows too.
    assert {*COUNTED, "margin"} == {each.name for each in fields(PopulationCounts)}
    assert set(OPERATIONS) == {each.name for each in fields(SynapticOps)}

"""Batches and threads change nothing but speed."""

from __future__ import annotations

import numpy as np
import pytest

from refsim.engine.batches import default_batch, run_ann, run_snn
from refsim.engine.plan import compile_network
from refsim.engine.results import Result, predictions
from refsim.exceptions import DataError, RefsimError, UsageError
from refsim.formats.images.currents import InputCurrents
from refsim.reference.network import forward, simulate
from tests.simulation.networks import raw_images, small_network

LABELS = np.arange(23) % 5


def images() -> InputCurrents:
    return InputCurrents(small_network().input, raw_images(23), LABELS)


def assert_same(actual: Result, expected: Result) -> None:
    assert (actual.T, actual.n_images, actual.n_labelled) == (expected.T, expected.n_images, expected.n_labelled)
    assert (actual.nonzero_macs, actual.x_max) == (expected.nonzero_macs, expected.x_max)
    np.testing.assert_array_equal(actual.correct, expected.correct)
    assert actual.ops.keys() == expected.ops.keys()
    for key, ops in actual.ops.items():
        for name, counts in vars(ops).items():
            np.testing.assert_array_equal(counts, getattr(expected.ops[key], name), err_msg=f"{key} {name}")
    for key, population in actual.populations.items():
        for name, counts in vars(population).items():
            np.testing.assert_array_equal(counts, getattr(expected.populations[key], name), err_msg=f"{key} {name}")


@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (4, 2), (23, 1), (5, 3)])
@pytest.mark.parametrize("dual", [False, True])
def test_no_bit_of_a_result_depends_on_batch_or_threads(batch: int, threads: int, dual: bool) -> None:
    plan = compile_network(small_network(dual))
    expected = run_snn(plan, images(), np.arange(23), 5)
    assert_same(run_snn(plan, images(), np.arange(23), 5, batch=batch, threads=threads), expected)


def test_no_bit_of_a_result_depends_on_the_order_of_images() -> None:
    plan = compile_network(small_network(dual=True))
    expected = run_snn(plan, images(), np.arange(23), 5)
    assert_same(run_snn(plan, images(), np.random.default_rng(1).permutation(23), 5, batch=4), expected)


def test_results_of_parts_add_up_to_the_result_of_the_whole() -> None:
    plan = compile_network(small_network())
    parts = [run_snn(plan, images(), part, 3) for part in np.split(np.arange(23), [4, 11])]
    assert_same(parts[2] + parts[0] + parts[1], run_snn(plan, images(), np.arange(23), 3))


def test_results_of_different_T_do_not_add() -> None:
    plan = compile_network(small_network())
    with pytest.raises(UsageError, match="different T"):
        run_snn(plan, images(), np.arange(2), 2) + run_snn(plan, images(), np.arange(2), 3)


def test_accuracy_is_that_of_the_specification_at_every_step() -> None:
    network = small_network()
    result = run_snn(compile_network(network), images(), np.arange(23), 4)
    logits = simulate(network, network.input.normalize(raw_images(23)), 4).logits
    expected = [(logits[:t].sum(axis=0).argmax(axis=1) == LABELS).sum() for t in range(1, 5)]
    assert result.correct.tolist() == expected


def test_ann_accuracy_is_that_of_the_specification() -> None:
    network = small_network()
    correct = run_ann(compile_network(network, fold=False), images(), np.arange(23), batch=4, threads=2)
    logits = forward(network, network.input.normalize(raw_images(23)))["fc"]
    assert correct == (logits.argmax(axis=1) == LABELS).sum()


def test_equal_logits_go_to_the_lowest_class() -> None:
    logits = np.array([[[0.0, 1.0, 1.0]], [[1.0, 0.0, 0.0]]])
    assert predictions(logits).tolist() == [[1], [0]]


def test_unlabelled_images_count_no_accuracy() -> None:
    data = InputCurrents(small_network().input, raw_images(3), None)
    result = run_snn(compile_network(small_network()), data, np.arange(3), 2)
    assert (result.n_images, result.n_labelled, result.correct.tolist()) == (3, 0, [0, 0])


def test_a_pixel_that_is_not_a_number_is_refused_with_its_image() -> None:
    x = np.zeros((4, 3, 6, 6))
    x[2, 0, 3, 3] = np.nan
    data = InputCurrents(small_network().input, x, None, "x.npz")
    with pytest.raises(DataError, match=r"x\.npz: image 2 holds values that are not finite"):
        run_snn(compile_network(small_network()), data, np.arange(4), 2, batch=4)


def test_a_current_that_overflows_is_an_error_not_a_result() -> None:
    data = InputCurrents(small_network().input, np.full((1, 3, 6, 6), 1.7e308), None)
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(RefsimError, match="layer 'if1': a current overflowed"),
    ):
        run_snn(compile_network(small_network()), data, np.arange(1), 2)


def test_T_must_be_positive() -> None:
    with pytest.raises(UsageError, match="T must be at least 1, got 0"):
        run_snn(compile_network(small_network()), images(), np.arange(2), 0)


def test_the_default_batch_shrinks_with_T_and_never_below_one() -> None:
    plan = compile_network(small_network())
    assert default_batch(plan, 4) == 32
    assert 1 <= default_batch(plan, 4096, {"spikes"}) < default_batch(plan, 4096) < 32
    assert default_batch(plan, 10**7) == 1

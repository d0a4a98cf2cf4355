"""Outcomes: accuracies and operations of each T, with what a method needs besides charged to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refsim.exceptions import UsageError
from refsim.formats.images.currents import InputCurrents
from refsim.methods.base import Calibration
from refsim.methods.compare import Arena, MethodOutcome, compare_method, passes
from refsim.methods.registry import METHODS, find_method
from refsim.model import Network
from tests.methods.networks import chain, random_chain, random_rows, vectors
from tests.methods.plain import Layers, sops
from tests.simulation.networks import raw_images, small_network

STEPS = (1, 3, 6)


def outcome(name: str, network: Network, rows: np.ndarray, labels: np.ndarray, **how: object) -> MethodOutcome:
    images = vectors(network, rows, labels)
    known = Calibration(network=network, images=images, indices=np.arange(5))
    arena = Arena(images=images, indices=np.arange(5, len(rows)), **how)
    return compare_method(find_method(name), network, known, STEPS, arena)


def by_hand(network: Network, rows: np.ndarray, theta: list, v0: list, T: int) -> tuple[np.ndarray, int]:
    """Classes after T steps, and operations."""
    classes, ops = [], 0
    for row in rows:
        layers, total = Layers(network, theta, v0), 0.0
        for _ in range(T):
            sent, logits = layers.step(row)
            total = total + logits
            ops += sops(network, sent)
        classes.append(np.argmax(total))
    return np.array(classes), ops


def test_one_run_gives_every_T():
    network, rows = random_chain(L=4), random_rows(25)
    labels = np.arange(25) % 3
    done = outcome("qcfs", network, rows, labels)
    for i, t in enumerate(STEPS):
        classes, ops = by_hand(network, rows[5:], [1.0] * 2, [0.5] * 2, t)
        assert done.correct[i] == (classes == labels[5:]).sum()
        assert done.sop[i] == ops
    assert (done.n_images, done.extra_steps, done.extra_sop.tolist()) == (20, 0, [0, 0, 0])
    assert passes(find_method("qcfs"), STEPS) == 1


def test_a_method_that_depends_on_T_is_made_for_each():
    network, rows = random_chain(L=4), random_rows(25)
    labels = np.arange(25) % 3
    done = outcome("rts", network, rows, labels)
    for i, t in enumerate(STEPS):
        biases = [b + shift for (_, b), shift in zip(weights(network), [1 / (2 * t)] * 2 + [0])]
        shifted = chain(*[W for W, _ in weights(network)], biases=biases, L=4)
        classes, ops = by_hand(shifted, rows[5:], [1.0] * 2, [0.0] * 2, t)
        assert done.correct[i] == (classes == labels[5:]).sum()
        assert done.sop[i] == ops
    assert passes(find_method("rts"), STEPS) == passes(find_method("rts+dual"), STEPS) == 3


def weights(network: Network) -> list[tuple[np.ndarray, np.ndarray]]:
    from tests.methods.plain import weights_of

    return weights_of(network)


@pytest.mark.parametrize(("name", "steps"), [("srp:2", 2), ("cos:2", 4)])
def test_trial_steps_are_charged_to_latency_and_operations(name, steps):
    network, rows = random_chain(L=4), random_rows(25)
    done = outcome(name, network, rows, np.zeros(25, int), batch=3)
    assert done.extra_steps == steps
    machine = find_method(name).calibrate(network, None).per_image
    run = machine.simulate(rows[5:].reshape(20, 4, 1, 1), 6)
    assert run.extra_sop.sum() > 0
    for i, t in enumerate(STEPS):
        assert done.extra_sop[i] == run.extra_sop.sum()
        assert done.sop[i] == run.sop[:t].sum() + run.extra_sop.sum()
        assert done.correct[i] == (run.logits[:t].sum(axis=0).argmax(axis=1) == 0).sum()


def test_the_trial_of_srp_costs_what_the_same_steps_of_qcfs_cost_without_the_readout():
    network = small_network()
    images = InputCurrents(network.input, raw_images(8), np.zeros(8, np.int64))
    arena = Arena(images=images, indices=np.arange(8))
    srp = compare_method(find_method("srp:3"), network, None, (1,), arena)
    x = images.currents(np.arange(8))
    from refsim.engine.plan import compile_network
    from refsim.engine.simulator import simulate

    plain = simulate(compile_network(network), x, 3)
    to_hidden = sum(int(ops.unit.sum()) for (_, target), ops in plain.ops.items() if target in ("conv2", "conv3"))
    assert srp.extra_sop.tolist() == [to_hidden]
    assert srp.residual[0] > int(plain.ops["if1", "add2"].unit.sum())


@pytest.mark.parametrize("name", [*METHODS, "tcl+dual", "snnc+dual"])
def test_threads_and_batches_change_nothing(name):
    if name == "theorem3":
        pytest.skip("needs a network without biases")
    network, rows = random_chain(L=4), random_rows(25)
    labels = np.arange(25) % 3
    one = outcome(name, network, rows, labels)
    other = outcome(name, network, rows, labels, batch=4, threads=2, dtype="float64")
    for key in ("correct", "sop", "residual", "extra_sop"):
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key))


def test_dual_changes_nothing_but_the_negative_threshold():
    network = random_chain(L=4)
    plain = replace(find_method("rts"), T=3).calibrate(network, None).network
    dual = replace(find_method("rts+dual"), T=3).calibrate(network, None).network
    for mine, theirs in zip(dual.spiking, plain.spiking):
        assert mine.neuron.theta == theirs.neuron.theta
        assert mine.neuron.v0 == theirs.neuron.v0
        assert mine.neuron.theta_neg == -1e-3
    for mine, theirs in zip(weights(dual), weights(plain)):
        np.testing.assert_array_equal(mine[1], theirs[1])


def test_without_labels_there_is_nothing_to_compare():
    network = random_chain(L=4)
    images = InputCurrents(network.input, random_rows(3).reshape(3, 4, 1, 1), None)
    with pytest.raises(UsageError, match="methods are compared by accuracy, and these images have no labels"):
        compare_method(find_method("qcfs"), network, None, (1,), Arena(images=images, indices=np.arange(3)))

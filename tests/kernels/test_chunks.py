"""Threads, batches and blocks of positions are a matter of speed: no bit of a result depends on them."""

import numpy as np
import pytest

from refsim.engine.batches import run_snn
from refsim.engine.kernels import listing
from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate
from refsim.formats.weights.hdf5 import load
from refsim.formats.weights.locate import find_weights

from .test_exact import residual

MODES = ("exact", "float64", "int16", "int8")


class Kept:
    """Images of the packaged file, and what every batch did."""

    def __init__(self, file) -> None:
        self.images = file.network.input.normalize(file.samples.images[:11])
        self.traces: list = []

    def __len__(self) -> int:
        return len(self.images)

    def currents(self, indices):
        return self.images[indices]

    def labels_of(self, indices):
        return None


def outcome(plan, file, threads: int, batch: int) -> list[np.ndarray]:
    """Logits, spikes and SOPs of all images, in their order."""
    kept = Kept(file)
    run_snn(
        plan, kept, np.arange(len(kept)), 4, batch=batch, threads=threads, record=("spikes",),
        on_batch=lambda part, trace, result: kept.traces.append(trace),
    )  # fmt: skip
    found = [np.concatenate([each.logits for each in kept.traces], axis=1)]
    for name in kept.traces[0].populations:
        found.append(np.concatenate([each.populations[name].spikes for each in kept.traces], axis=1))
    for key in kept.traces[0].ops:
        found.append(np.concatenate([each.ops[key].unit_pos for each in kept.traces], axis=1))
    return found


@pytest.mark.parametrize("mode", MODES)
def test_threads_and_batches_change_no_bit(mode):
    file = load(find_weights(None))
    plan = compile_network(file.network.with_kind("dual"), mode)
    expected = outcome(plan, file, threads=1, batch=11)
    for threads, batch in ((2, 11), (1, 1), (2, 3), (2, 4)):
        for ours, theirs in zip(outcome(plan, file, threads, batch), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("groups", [1, 2])
def test_blocks_of_positions_change_no_bit(mode, groups, monkeypatch):
    # The smallest room: a position or two at a time, with tiles that share lists and tiles that do not.
    plan = compile_network(residual(np.array(1.1), np.linspace(0.3, 0.9, 130), groups), mode)
    x = np.random.default_rng(4).normal(size=(3, 3, 8, 8))
    expected = simulate(plan, x, 5, record=("spikes",))
    monkeypatch.setattr(listing, "SHARED", 1)
    monkeypatch.setattr(listing, "OWN", 1)
    actual = simulate(plan, x, 5, record=("spikes",))
    np.testing.assert_array_equal(actual.logits, expected.logits)
    for name, each in expected.populations.items():
        np.testing.assert_array_equal(actual.populations[name].spikes, each.spikes)
        np.testing.assert_array_equal(actual.populations[name].margin, each.margin)

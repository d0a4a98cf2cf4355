"""A guard against regressions that needs no clock: the work that the packaged network's first samples make.

More additions, larger tables or more questions to float64 than here make every run slower on every machine.
"""

from collections import Counter

import numpy as np

from refsim.engine.arrivals import counted, digits_of, weigh
from refsim.engine.events import WORD, Digits, SpikeTrain
from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate
from refsim.formats.weights.hdf5 import load
from refsim.formats.weights.locate import find_weights
from refsim.model import INPUT

T = 4
EXPECTED = {
    "if": {
        "sops": 39_881_150,
        "recomputed": 1,
        "table_bytes": 427_008,
        "additions": 19_996_330,
        "weight_bytes": 80_258_640,
    },
    "dual": {
        "sops": 41_015_676,
        "recomputed": 0,
        "table_bytes": 427_008,
        "additions": 20_455_326,
        "weight_bytes": 82_118_384,
    },
}


def test_exact_does_the_additions_it_did_and_no_more():
    file = load(find_weights("fashion-small"))
    assert file.samples is not None
    x = file.network.input.normalize(file.samples.images[:8])
    for kind, expected in EXPECTED.items():
        plan = compile_network(file.network.with_kind(kind), "exact")
        assert work(plan, x) == expected, kind


def work(plan, x) -> dict[str, int]:
    """Counted work of a plan on input currents x.

    additions: of one weight, as the kernels make them: one for each digit of what arrives, in whole numbers, and
    one for each number in floats; weight_bytes: of the tables those additions read.
    """
    trace = simulate(plan, x, T, record=("spikes",))
    total: Counter[str] = Counter()
    total["sops"] = sum(int(each.unit.sum()) for each in trace.ops.values())
    total["recomputed"] = sum(int(each.recomputed.sum()) for each in trace.populations.values())
    for target in plan.targets:
        for each in target.projections:
            total["table_bytes"] += each.synapses.weight.nbytes
            if each.port.source == INPUT:
                continue
            numbers = digits_of(_train(trace.populations[each.port.source].spikes), each.port.pool)
            if target.mode == "exact":
                planes = [Digits(plane[None], numbers.negative) for plane in numbers.magnitude]
            else:
                planes = [numbers]
            additions = sum(int(weigh(plane, counted(plane), each.fan_out).sum()) for plane in planes)
            total["additions"] += additions
            total["weight_bytes"] += additions * each.synapses.weight.itemsize
    return dict(total)


def _train(spikes: np.ndarray):
    """(T, B, C, H, W) spikes as masks."""
    t, b, c, h, w = spikes.shape
    masks = []
    for sign in (1, -1):
        bits = np.zeros((b, h, w, t, -(-c // WORD) * WORD), dtype=bool)
        bits[..., :c] = (spikes == sign).transpose(1, 3, 4, 0, 2)
        masks.append(np.packbits(bits, axis=-1, bitorder="little").view("<u8").astype(np.uint64))
    return SpikeTrain(masks[0], masks[1] if masks[1].any() else masks[1][:0])

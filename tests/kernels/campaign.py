"""Does `exact` ever differ from float64? `python -m tests.kernels.campaign WEIGHTS DATA [SPIKES]` looks for long.

Runs a network on many images, for T = 1, 4, 16 and 64 and both neurons, in both modes, until SPIKES spikes (of either
sign) have been compared one by one, with all logits. Prints one line for every batch, and the sums; exits with 1 if
anything differs.
"""

from __future__ import annotations

import sys

import numpy as np

import refsim
from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate

IMAGES = {1: 64, 4: 32, 16: 8, 64: 2}
"""Images of a batch, by T."""


def main(weights: str, data: str, least: int) -> int:
    """Compare until `least` spikes have been seen; returns how many differ."""
    file = refsim.load(weights)
    images = refsim.open_images(file, data)
    plans = {
        kind: [compile_network(file.network.with_kind(kind), mode) for mode in ("exact", "float64")]
        for kind in ("if", "dual")
    }
    totals = {(kind, T): np.zeros(4, dtype=np.int64) for kind in plans for T in IMAGES}
    seen, done = 0, 0
    while seen < least:
        for (kind, T), total in totals.items():
            chosen = images.indices[np.arange(done, done + IMAGES[T]) % len(images)]
            x = images.data.currents(chosen)
            actual, expected = (simulate(plan, x, T, record=("spikes",)) for plan in plans[kind])
            wrong, spikes, recomputed = int((actual.logits != expected.logits).sum()), 0, 0
            for name, each in expected.populations.items():
                ours = actual.populations[name]
                assert ours.spikes is not None
                assert each.spikes is not None
                wrong += int((ours.spikes != each.spikes).sum())
                spikes += int(each.n_pos.sum() + each.n_neg.sum())
                recomputed += int(ours.recomputed.sum())
            total += len(chosen), spikes, recomputed, wrong
            seen += spikes
            line = "  ".join(f"{n:,} {what}" for n, what in zip(total, ("images", "spikes", "recomputed", "different")))
            print(f"{kind:4}  T={T:2}  {line}", flush=True)
        done += max(IMAGES.values())
    n_wrong = int(sum(total[3] for total in totals.values()))
    print(f"{seen:,} spikes compared, {n_wrong} spikes or logits differ")
    return n_wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 100_000_000) > 0)

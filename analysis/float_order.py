"""QCFS Eq. 11 and 15 in floats: formulas that are equal on paper fall on different sides of a jump.

Inputs within one ulp of a jump, lambda and theta drawn from [0.1, 4]. "printed": floor(z L / lambda + 1/2) in place of
the public code's clip(z / lambda, 0, 1) L + 1/2. "neuron": (z T + theta / 2) / theta with T = L. "simulated": the count
of an IF neuron on the constant current z against floor((z T + v(0)) / theta). Shares of inputs with another level.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from common import options, table

from refsim.analysis.curves import estimated_phi
from refsim.reference.activations import qcfs
from refsim.reference.neurons import State, fire

N = 100_000


def inputs(L: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs within one ulp of a jump of QCFS_L, and their lambdas."""
    rng = np.random.default_rng(L)
    lambda_ = rng.uniform(0.1, 4, N)
    z = (rng.integers(0, L, N) + 0.5) * lambda_ / L
    return z + rng.integers(-1, 2, N) * np.spacing(z), lambda_


def simulated(z: np.ndarray, theta: np.ndarray, T: int) -> np.ndarray:
    """Spikes of IF neurons on constant currents, v(0) = theta / 2."""
    state, n = State(theta / 2, np.zeros(len(z), dtype=np.int64)), np.zeros(len(z), dtype=np.int64)
    for _ in range(T):
        state, s = fire(state, z, theta, np.array(-np.inf))
        n += s
    return n


def differences(L: int) -> list[float]:
    """Shares of inputs on which the three other ways differ: printed, neuron, simulated."""
    z, lambda_ = inputs(L)
    level = np.rint(qcfs(z, lambda_, L) / lambda_ * L)
    printed = np.clip(np.floor(z * L / lambda_ + 0.5), 0, L)
    estimate = np.rint(estimated_phi(z, lambda_, L, lambda_ / 2) / lambda_ * L)
    pairs = [(printed, level), (estimate, level), (simulated(z, lambda_, L), estimate)]
    return [float(np.mean(a != b)) for a, b in pairs]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the shares."""
    options(__doc__, argv)
    rows: list[list[object]] = [["L = T", "printed", "neuron", "simulated"]]
    for L in (2, 3, 4, 5, 6, 7, 8, 10, 16):
        rows.append([L, *(f"{100 * share:.1f} %" for share in differences(L))])
    table(rows)


if __name__ == "__main__":
    main()

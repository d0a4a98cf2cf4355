"""QCFS Fig. 2: the ANN's activation with L steps and the neuron's with T, without and with the shift of 1/2.

Claim: T = L and v(0) = shift * theta make the two curves one; for T != L the shift keeps their difference centred on
zero (Theorem 2). Printed: the largest and the mean difference of the curves over [0, theta].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from common import new_figure, options, publish, styled, table

from refsim.analysis.curves import estimated_phi
from refsim.plots.style import BLACK, RED, YELLOW, letter_panels
from refsim.plots.transfer import Curve, plot_difference, plot_transfer, steps_of
from refsim.reference.activations import qcfs

PANELS = [(4, 4, 0.0), (4, 8, 0.0), (4, 8, 0.5)]
CLAIMS = ["no error", "error > 0 in the mean", "error 0 in the mean"]
# Cell centres of a grid that no jump of either curve falls on: the mean over it is exact for a uniform input.
Z = (np.arange(1600) + 0.5) / 1600


def curves(L: int, T: int, shift: float, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ANN's activation and the neuron's phi for theta = lambda = 1, v(0) = shift * theta."""
    return qcfs(z, 1.0, L, shift), estimated_phi(z, 1.0, T, shift)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the differences, draw."""
    args = options(__doc__, argv)
    rows: list[list[object]] = [["L", "T", "shift", "paper", "mean difference", "largest"]]
    for (L, T, shift), claim in zip(PANELS, CLAIMS):
        a, phi = curves(L, T, shift, Z)
        rows.append([L, T, shift, claim, f"{(phi - a).mean():+.6f}", f"{np.abs(phi - a).max():.6f}"])
    table(rows)
    print("  The mean is over a uniform input on [0, theta]; pointwise the difference reaches lambda/8 at L=4, T=8.")
    with styled():
        figure = new_figure(2, 2.4)
        axes = figure.subplots(1, 3, sharey=True)
        z = np.linspace(-0.1, 1.2, 5201)
        for ax, (L, T, shift) in zip(axes, PANELS):
            a, phi = curves(L, T, shift, z)
            if T != L:
                plot_difference(ax, z, a, phi, "difference", RED)
            ann = Curve(*steps_of(z, a), f"ANN, $L$ = {L}", BLACK, "-", 2.6)
            snn = Curve(*steps_of(z, phi), f"SNN, $T$ = {T}", YELLOW if T == L else RED, "--" if T == L else "-")
            plot_transfer(ax, [ann, snn], x="input")
            ax.plot([0, 1], [0, 1], color=BLACK, linewidth=0.5, linestyle=":")
            ax.label_outer()
        letter_panels(axes, [f"$L$ = {L}, $T$ = {T}, shift {shift:g}" for L, T, shift in PANELS])
        publish(figure, __file__, args.output)


if __name__ == "__main__":
    main()

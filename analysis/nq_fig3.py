"""NQ Fig. 3: the noisy quantization activation, with a band of one standard deviation of its noise (NQ Eq. 13).

Claim: training adds delta G, G standard normal, to QCFS; at inference the noise is gone and NQ is QCFS, so that with
T = L the neuron's curve is the ANN's. Printed: mean and spread of the sampled noise, and the difference to the SNN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from common import new_figure, options, publish, styled, table

from refsim.analysis.curves import estimated_phi
from refsim.plots.style import BLACK, GREY, YELLOW
from refsim.plots.transfer import Curve, plot_noise_band, plot_transfer, steps_of
from refsim.reference.activations import nq, qcfs

L, DELTA = 4, 0.1


def main(argv: Sequence[str] | None = None) -> None:
    """Print the noise, draw."""
    args = options(__doc__, argv)
    z = np.linspace(-0.3, 1.4, 6801)
    a, phi = qcfs(z, 1.0, L), estimated_phi(z, 1.0, L, 0.5)
    noise = DELTA * np.random.default_rng(0).standard_normal((200, z.size))
    sampled = nq(np.broadcast_to(z, noise.shape), 1.0, L, noise)
    g = sampled - a
    table(
        [
            ["", "paper", "ours"],
            ["mean of the noise", 0, f"{g.mean():.4f}"],
            ["std of the noise", DELTA, f"{g.std():.4f}"],
            ["ANN without noise - SNN at T = L", 0, f"{np.abs(a - phi).max():.4f}"],
        ]
    )
    with styled():
        figure = new_figure(1, 2.4)
        ax = figure.subplots()
        plot_noise_band(ax, z, a, DELTA)
        ax.plot(z[::17], sampled[0, ::17], ".", color=GREY, markersize=2, label="one sample each")
        curves = [
            Curve(*steps_of(z, a), f"NQ, $L$ = {L}, without noise", BLACK, "-", 2.6),
            Curve(*steps_of(z, phi), f"SNN, $T$ = {L}", YELLOW, "--"),
        ]
        plot_transfer(ax, curves, x="input")
        publish(figure, __file__, args.output)


if __name__ == "__main__":
    main()

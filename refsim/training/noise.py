"""Layer-wise noise induction of NQ (its section 5.2): how far the converted network is from its ANN."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from refsim.training.activations import NQ
from refsim.training.snn import ann_activations, simulate


def measure_delta(model: nn.Module, batches: Iterable[Tensor], tau: int) -> dict[str, float]:
    """Noise intensity delta_l of every layer: the standard deviation of g'_l = phi_l(tau) - a_l (NQ Eq. 9-12).

    Each network is fed with its own inputs: phi_l comes from IF neurons that received the spikes of layer
    l - 1, a_l from the ANN in eval mode. As in the authors' code, the variance is taken over all neurons and
    images of a batch (with Bessel's correction) and averaged over the batches before the square root.

    Parameters
    ----------
    batches
        Normalised validation images, (B, C, H, W) each.
    tau
        Time steps of the simulation; NQ takes tau = L.
    """
    total: dict[str, float] = {}
    n_batches = 0
    for x in batches:
        a = ann_activations(model, x)
        phi = simulate(model, x, tau).phi
        for name, value in a.items():
            total[name] = total.get(name, 0.0) + float(torch.var(phi[name] - value))
        n_batches += 1
    return {name: math.sqrt(value / n_batches) for name, value in total.items()}


def set_delta(model: nn.Module, delta: dict[str, float]) -> None:
    """Give every NQ activation of the model its noise intensity."""
    for name, module in model.named_modules():
        if isinstance(module, NQ) and name in delta:
            module.delta.fill_(delta[name])

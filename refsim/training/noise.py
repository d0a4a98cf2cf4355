"""Layer-wise noise induction of NQ (its section 5.2): how far the converted network is from its ANN."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from refsim.training.activations import NQ
from refsim.training.snn import ann_activations, simulate


def measure_delta(model: nn.Module, batches: Iterable[Tensor], tau: int) -> dict[str, float]:
    """Noise intensity delta_l of every layer: the standard deviation of g'_l = phi_l(tau) - a_l (NQ Eq. 9-12).

    Each network is fed with its own inputs: phi_l comes from IF neurons that received the spikes of layer
    l - 1, a_l from the ANN in eval mode. The deviation is over all neurons and all images, as in
    `refsim.analysis.residual`: it depends on no batch size. (The authors' code takes the root of the mean, over
    batches, of the variance within a batch.)

    Parameters
    ----------
    batches
        Normalised validation images, (B, C, H, W) each.
    tau
        Time steps of the simulation; NQ takes tau = L.
    """
    residuals: dict[str, list[tuple[Tensor, Tensor, int]]] = {}
    for x in batches:
        phi = simulate(model, x, tau).phi
        for name, a in ann_activations(model, x).items():
            g = phi[name].double() - a.double()
            residuals.setdefault(name, []).append((g.mean(), g.square().mean(), g.numel()))
    return {name: _deviation(parts) for name, parts in residuals.items()}


def _deviation(parts: list[tuple[Tensor, Tensor, int]]) -> float:
    """Standard deviation of all values, from the mean, mean square and size of each part."""
    means, squares, sizes = (torch.tensor(each, dtype=torch.float64) for each in zip(*parts, strict=True))
    shares = sizes / sizes.sum()
    return float((shares @ squares - (shares @ means) ** 2).clamp(min=0).sqrt())


def set_delta(model: nn.Module, delta: dict[str, float]) -> None:
    """Give every NQ activation of the model its noise intensity."""
    for name, module in model.named_modules():
        if isinstance(module, NQ) and name in delta:
            module.delta.fill_(delta[name])

"""Dense simulation of the converted network inside PyTorch, to watch it while it trains.

Only for monitoring and for the noise of NQ: the simulator of this project is `refsim.engine.simulator`, and it does
not import torch. The module tree is the ANN's own; while simulating, a hook on every activation replaces what
it returned by the spikes of its neurons, weighted by theta = lambda.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from refsim.training.activations import Activation

DUAL_THETA_NEG = -1e-3  # absolute, in units of the membrane potential (semantics 2.4c)


class Simulation(NamedTuple):
    """What a run of T steps leaves: logits after every prefix t <= T, and per spiking layer phi(T)."""

    logits: Tensor  # (T, B, K), mean of the readout's input current over steps 1..t
    phi: dict[str, Tensor]  # layer -> (B, *shape), theta * n / T


def fire(u: Tensor, theta: Tensor, v0: Tensor, theta_neg: float = -math.inf) -> Tensor:
    """Signed spikes of IF (`theta_neg` = -inf) or dual-threshold neurons (QCFS Eq. 2-4, ECL Eq. 4-5).

    Parameters
    ----------
    u : (T, B, *shape), input current of every step
    theta, v0 : broadcast to (B, *shape)

    Returns
    -------
    (T, B, *shape), in {-1, 0, +1}, dtype of `u`
    """
    v = torch.zeros_like(u[0]) + v0
    n = torch.zeros_like(v)
    s = torch.empty_like(u)
    for t, current in enumerate(u):
        m = v + current
        s[t] = (m >= theta).to(m.dtype) - ((m <= theta_neg) & (n >= 1)).to(m.dtype)
        v = m - s[t] * theta
        n = n + s[t]
    return s


@contextmanager
def _hooks(model: nn.Module, visit: Callable[[str, Activation, Tensor, Tensor], Tensor | None]) -> Iterator[None]:
    """Call `visit(name, activation, z, a)` wherever an activation returns; a tensor replaces what it returned."""

    def hook_of(name: str) -> Callable[[Any, Any, Any], Tensor | None]:
        return lambda module, args, a: visit(name, module, args[0], a)

    handles = [
        module.register_forward_hook(hook_of(name))
        for name, module in model.named_modules()
        if isinstance(module, Activation)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients, and back to the mode the model was in."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def ann_activations(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The activations a of every layer with a threshold, in eval mode: layer -> (B, *shape)."""
    found: dict[str, Tensor] = {}

    def keep(name: str, module: Activation, z: Tensor, a: Tensor) -> None:
        found[name] = a

    with evaluating(model), _hooks(model, keep):
        model(x)
    return found


def simulate(model: nn.Module, x: Tensor, T: int, *, theta_neg: float = -math.inf, shift: float = 0.5) -> Simulation:
    """Simulate the converted network on a batch: theta = lambda, v(0) = theta * shift, constant input.

    Parameters
    ----------
    x : (B, C, H, W), normalised images, applied unchanged at each of the T steps
    theta_neg
        -inf for IF neurons, `DUAL_THETA_NEG` for dual-threshold neurons.
    """
    phi: dict[str, Tensor] = {}

    def spike(name: str, module: Activation, z: Tensor, a: Tensor) -> Tensor:
        theta = module.thresh.detach().to(z.dtype)
        s = fire(z.unflatten(0, (T, -1)), theta, theta * shift, theta_neg)
        phi[name] = theta * s.sum(0) / T
        return (s * theta).flatten(0, 1)

    with evaluating(model), _hooks(model, spike):
        o = model(x.repeat(T, *[1] * (x.ndim - 1))).unflatten(0, (T, -1))
    steps = torch.arange(1, T + 1, dtype=o.dtype).reshape(T, 1, 1)
    return Simulation(logits=o.cumsum(0) / steps, phi=phi)

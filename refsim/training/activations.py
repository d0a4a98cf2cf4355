# mypy: allow-subclassing-any
# (torch is optional, so the type checker treats its classes as Any.)
"""Activations of the source ANN, with the gradients they are trained with.

The forward values are the ones of `refsim.reference.activations`; here they are differentiable. Each one that
clips carries its trained clipping threshold lambda as the parameter `thresh`, shape (1,): that is the key of
the official QCFS code, and it becomes the firing threshold theta after conversion.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _Qcfs(torch.autograd.Function):
    """QCFS Eq. 15 forward, QCFS Eq. 17 backward."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, thresh: Tensor, L: int, shift: float) -> Tensor:
        ctx.save_for_backward(z, thresh)
        ctx.L, ctx.shift = L, shift
        # This order of operations decides what happens at ties; it is the one of the official code.
        levels = torch.floor(torch.clamp(z / thresh, 0.0, 1.0) * L + shift)
        return torch.clamp(levels / L, max=1.0) * thresh

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None, None]:
        (grad,) = grads
        z, thresh = ctx.saved_tensors
        L, shift = ctx.L, ctx.shift
        low, high = -thresh * shift / L, thresh * (1.0 - shift / L)
        above = z >= high
        inside = (z >= low) & ~above
        a = torch.clamp(torch.floor(torch.clamp(z / thresh, 0.0, 1.0) * L + shift) / L, max=1.0) * thresh
        slope = torch.where(inside, (a - z) / thresh, above.to(z.dtype))
        # The sum runs over all neurons of a batch: bfloat16 would keep 8 bits of it.
        grad_thresh = (grad * slope).to(thresh.dtype).sum().reshape(thresh.shape)
        return grad * inside.to(grad.dtype), grad_thresh, None, None


def qcfs(z: Tensor, thresh: Tensor, L: int, shift: float = 0.5) -> Tensor:
    """Quantization clip-floor-shift activation (QCFS Eq. 15) with the gradients of QCFS Eq. 17.

    a = lambda * clip(floor(z L / lambda + shift) / L, 0, 1)

    da/dz       = 1                  for -lambda shift / L <= z < lambda - lambda shift / L, else 0
    da/dlambda  = (a - z) / lambda   in the same interval, 0 below it, 1 above it

    The current public code differs from Eq. 17 at the two ends: it clips z to [0, lambda] before the
    straight-through floor, so its interval is [0, lambda] whatever the shift. A neuron that sits just below
    zero, where Eq. 17 still moves it, gets no gradient there. The forward values are the same.

    Parameters
    ----------
    z : (B, *shape), weighted input, in units of the membrane potential
    thresh : (1,), lambda
    L
        Quantization steps, >= 1.
    shift
        Shift inside the floor; 1/2 is QCFS, 0 is QCF (QCFS Eq. 13).
    """
    a: Tensor = _Qcfs.apply(z, thresh, L, shift)
    return a


class Activation(nn.Module):
    """Activation with a trained clipping threshold; the base of all that convert to a spiking population."""

    def __init__(self, *, L: int, lambda_: float) -> None:
        super().__init__()
        self.L = L
        self.thresh = nn.Parameter(torch.tensor([lambda_]))

    def extra_repr(self) -> str:
        return f"L={self.L}"


class ThreshReLU(Activation):
    """Clipped ReLU with trainable clip, a = clip(z, 0, lambda) (TCL): QCFS with L = infinity, L = 0 here."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.minimum(torch.relu(z), self.thresh)


class QCF(Activation):
    """Quantization clip-floor activation, without the shift (QCFS Eq. 13)."""

    shift = 0.0

    def forward(self, z: Tensor) -> Tensor:
        return qcfs(z, self.thresh, self.L, self.shift)


class QCFS(QCF):
    """Quantization clip-floor-shift activation (QCFS Eq. 15)."""

    shift = 0.5


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _normal_like(a: Tensor) -> Tensor:
    """Standard normal numbers in the memory layout of `a`, which is dense.

    Drawn as one vector: `randn_like` of a channels-last tensor, and what torch.compile makes of it on the CPU, draw
    one number at a time and take eight times as long, more than the rest of the step.
    """
    return torch.randn(a.numel(), dtype=a.dtype, device=a.device).as_strided(a.shape, a.stride())


class NQ(QCFS):
    """QCFS plus Gaussian noise of intensity `delta` while training (NQ Eq. 13); in eval mode it is QCFS.

    `delta`, in units of the activation, is not a parameter and not in the state dict: it is measured from the
    converted network once per epoch (`noise.measure_delta`) and plays no part after training.
    """

    delta: Tensor

    def __init__(self, *, L: int, lambda_: float) -> None:
        super().__init__(L=L, lambda_=lambda_)
        self.register_buffer("delta", torch.zeros(1), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        a = super().forward(z)
        if self.training:
            a = a + self.delta.to(a.dtype) * _normal_like(a)
        return a


class ReLU(nn.ReLU):
    """Plain ReLU: no threshold to convert with until a calibration gives one."""

    def __init__(self, *, L: int, lambda_: float) -> None:
        super().__init__()


ACTIVATIONS: dict[str, type[Activation] | type[ReLU]] = {
    "relu": ReLU,
    "tcl": ThreshReLU,
    "qcf": QCF,
    "qcfs": QCFS,
    "nq": NQ,
}

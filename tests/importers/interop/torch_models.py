"""Small PyTorch models of nobody's layout, and what PyTorch itself makes of them as spiking networks."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import torch
from torch import nn


class Floor(torch.autograd.Function):
    """A straight-through floor, as QCFS codes have it."""

    @staticmethod
    def forward(ctx, x):
        return x.floor()

    @staticmethod
    def backward(ctx, grad):
        return grad


class QCFS(nn.Module):
    """In the order of the official code."""

    def __init__(self, L, lambda_):
        super().__init__()
        self.L, self.thresh = L, nn.Parameter(torch.tensor([lambda_]))

    def forward(self, x):
        x = torch.clamp(x / self.thresh, 0, 1)
        return Floor.apply(x * self.L + 0.5) / self.L * self.thresh

    @property
    def theta(self):
        return self.thresh.item()


class ClippedLevels(nn.Module):
    """The same function in another order: scaled first, clipped last."""

    def __init__(self, L, lambda_):
        super().__init__()
        self.L, self.up = L, nn.Parameter(torch.tensor(lambda_))

    def forward(self, x):
        return torch.clamp(torch.floor(x * self.L / self.up + 0.5), 0, self.L) * self.up / self.L

    @property
    def theta(self):
        return self.up.item()


class Block(nn.Module):
    def __init__(self, into, out, stride):
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.a1 = QCFS(4, 1.3)
        self.c2, self.b2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out, eps=1e-3)
        self.a2 = ClippedLevels(8, 1.7)
        self.down = None
        if stride > 1:
            self.down = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        inner = self.b2(self.c2(self.a1(self.b1(self.c1(x)))))
        inner += x if self.down is None else self.down(x)
        return self.a2(inner)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU6()
        self.one, self.two = Block(8, 8, 1), Block(8, 12, 2)
        self.fc = nn.Linear(12, 10)

    def forward(self, x):
        x = self.two(self.one(self.act(self.stem(x))))
        return self.fc(x.mean((2, 3)))


class Pooling(nn.Module):
    """A max pool before and one behind an activation, unequal padding, a softmax at the end."""

    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(
            nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, 2), nn.MaxPool2d(2), QCFS(4, 1.0),
            nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6(inplace=True), nn.Dropout(),
            nn.MaxPool2d(3, 2, 1),
        )  # fmt: skip
        self.b = nn.Sequential(
            nn.Flatten(), nn.Linear(32, 16), nn.Hardtanh(0, 1.5), nn.Linear(16, 10), nn.LogSoftmax(1)
        )

    def forward(self, x):
        return self.b(self.a(x))


class Depthwise(nn.Module):
    """Clipped activations, depthwise convolutions, and a convolution over the whole plane as the readout."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, padding=1), nn.BatchNorm2d(6), nn.Hardtanh(0, 1.2),
            nn.Conv2d(6, 12, 3, padding="same", groups=6, dilation=2), nn.BatchNorm2d(12), nn.ReLU6(),
            nn.AvgPool2d(2), nn.Conv2d(12, 10, 4),
        )  # fmt: skip

    def forward(self, x):
        return self.features(x).squeeze(-1).squeeze(-1) * 2 + 1


class Obstacles(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.first = nn.Conv2d(3, 8, 3, padding=1), nn.SiLU()
        self.b, self.c, self.second = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1), nn.GELU()
        self.gate = Gate()
        self.pool, self.norm, self.fc = nn.AdaptiveAvgPool2d(3), nn.LayerNorm(72), nn.Linear(72, 10)

    def forward(self, x):
        x = self.second(self.c(self.b(self.first(self.a(x)))))
        return self.fc(self.norm(self.pool(self.gate(x)).flatten(1)))


class Gate(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


class PreActivation(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.act, self.fc = nn.ReLU6(), nn.Linear(8, 10)

    def forward(self, x):
        x = self.act(self.a(x))
        x = x + self.b(x)
        x = x + self.c(self.act(x))
        return self.fc(self.act(x).mean((2, 3)))


class _OneLayer(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.conv, self.act, self.fc = nn.Conv2d(3, 4, 3), act, nn.Linear(4, 10)

    def forward(self, x):
        return self.fc(self.act(self.conv(x)).mean((2, 3)))


class _Unequal(nn.Module):
    def forward(self, x):
        return torch.floor(torch.clamp(x / 2.0, 0, 1) * 4 + 0.5) / 4 * 1.5


def TwoThresholds():
    return _OneLayer(_Unequal())


class _PerChannel(nn.Module):
    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.linspace(1, 2, 4).reshape(1, 4, 1, 1))

    def forward(self, x):
        return torch.minimum(torch.relu(x), self.theta)


def PerChannel():
    return _OneLayer(_PerChannel())


def Leaky():
    return _OneLayer(nn.LeakyReLU())


class Nothing(nn.Module):
    def __init__(self):
        super().__init__()
        self.constant = nn.Parameter(torch.ones(1, 10))

    def forward(self, x):
        return self.constant + 1


class Normalise(nn.Module):
    def __init__(self, mean, std):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, -1, 1, 1))

    def forward(self, x):
        return (x - self.mean) / self.std


def small():
    return [nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)]


def randomised(model, seed=0):
    """Weights that make neurons fire, and batch statistics of random data, some gammas negative."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return model


class IF(nn.Module):
    """Integrate and fire, soft reset, v0 = theta / 2; a spike is worth theta."""

    def __init__(self, theta):
        super().__init__()
        self.theta, self.v, self.spikes = theta, None, []

    def forward(self, x):
        self.v = x + (torch.full_like(x, self.theta / 2) if self.v is None else self.v)
        fired = (self.v >= self.theta).to(x.dtype)
        self.v = self.v - fired * self.theta
        self.spikes.append(fired.numpy().astype("int8"))
        return fired * self.theta


class RunningMaximum(nn.Module):
    """The change of the maximum of all that has come."""

    def __init__(self, pool):
        super().__init__()
        self.pool, self.total = pool, None

    def forward(self, x):
        before = 0 if self.total is None else self.pool(self.total)
        self.total = x if self.total is None else self.total + x
        return self.pool(self.total) - before


def simulate(model, x, T, max_pool=None):
    """Spikes (T, B, ...) of every activation in the order in which they fire, and the readout of each step.

    Max pools that stand before an activation are moved behind it, as the converted network has them.
    """
    model = copy.deepcopy(model)
    neurons, order = {}, []
    for name, module in list(model.named_modules()):
        theta = {nn.ReLU6: 6.0, nn.Hardtanh: getattr(module, "max_val", None)}.get(type(module))
        if isinstance(module, QCFS | ClippedLevels):
            theta = module.theta
        if theta is not None:
            neurons[name] = IF(theta)
            neurons[name].register_forward_hook(lambda *_, name=name: order.append(name))
            model.set_submodule(name, neurons[name])
        elif isinstance(module, nn.MaxPool2d) and max_pool == "cumulative":
            model.set_submodule(name, RunningMaximum(module))
        elif isinstance(module, nn.LogSoftmax):
            model.set_submodule(name, nn.Identity())
    for parent in model.modules():
        if isinstance(parent, nn.Sequential):
            children = list(parent._modules.items())
            for (one, pool), (two, act) in pairwise(children):
                if isinstance(act, IF) and isinstance(pool, nn.MaxPool2d | RunningMaximum):
                    parent._modules[one], parent._modules[two] = act, pool
    with torch.no_grad():
        logits = [model(x).numpy() for _ in range(T)]
    names = list(dict.fromkeys(order))
    return {name: np.stack(neurons[name].spikes) for name in names}, np.stack(logits)

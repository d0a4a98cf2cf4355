"""Modules as public model codes build them, in NumPy: they name their own parameters and compute what they say.

A model is written as in PyTorch, from `Sequential`s, `Conv2d`s and so on, numbered and named as there; `state` is its
state dict with random numbers, and a call computes the model, as an ANN or one time step of an SNN. Nothing of refsim
is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

State = dict[str, np.ndarray]


class Module:
    """Has named children; `forward` computes."""

    def children(self) -> dict[str, Module]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Module)}

    def modules(self) -> list[Module]:
        return [self, *(inner for child in self.children().values() for inner in child.modules())]

    def parameters(self, rng: np.random.Generator) -> State:
        """Random values of its own parameters."""
        return {}

    def state(self, rng: np.random.Generator) -> State:
        self.own = self.parameters(rng)
        state = dict(self.own)
        for name, child in self.children().items():
            state |= {f"{name}.{key}": value for key, value in child.state(rng).items()}
        return state

    def value(self, name: str) -> Any:
        return self.own[name].astype(np.float64)

    def forward(self, x: Any) -> Any:
        raise NotImplementedError

    def __call__(self, x: Any) -> Any:
        return self.forward(x)


class Sequential(Module):
    def __init__(self, *modules: Module) -> None:
        for number, module in enumerate(modules):
            setattr(self, str(number), module)

    def forward(self, x: Any) -> Any:
        for child in self.children().values():
            x = child(x)
        return x


class Conv2d(Module):
    def __init__(
        self, into: int, out: int, k: int, stride: int = 1, padding: int = 0, groups: int = 1, bias: bool = True
    ):
        self.shape, self.stride, self.padding = (out, into // groups, k, k), stride, padding
        self.groups, self.bias = groups, bias

    def parameters(self, rng: np.random.Generator) -> State:
        own = {"weight": (1.4 * rng.normal(size=self.shape) / np.sqrt(np.prod(self.shape[1:]))).astype(np.float32)}
        if self.bias:
            own["bias"] = rng.normal(0, 0.3, self.shape[0]).astype(np.float32)
        return own

    def forward(self, x: Any) -> Any:
        x = np.pad(x, ((0, 0), (0, 0), (self.padding,) * 2, (self.padding,) * 2))
        parts = []
        for part, weight in zip(np.split(x, self.groups, 1), np.split(self.value("weight"), self.groups, 0)):
            windows = sliding_window_view(part, self.shape[2:], (2, 3))[:, :, :: self.stride, :: self.stride]
            parts.append(np.moveaxis(np.tensordot(windows, weight, ((1, 4, 5), (1, 2, 3))), 3, 1))
        z = np.concatenate(parts, 1)
        return z + self.value("bias")[:, None, None] if self.bias else z


class BatchNorm(Module):
    def __init__(self, channels: int) -> None:
        self.channels = channels

    def parameters(self, rng: np.random.Generator) -> State:
        return {
            "weight": rng.normal(1, 0.3, self.channels).astype(np.float32),
            "bias": rng.normal(0.2, 0.3, self.channels).astype(np.float32),
            "running_mean": rng.normal(0, 0.3, self.channels).astype(np.float32),
            "running_var": rng.uniform(0.5, 2, self.channels).astype(np.float32),
            "num_batches_tracked": np.array(17),
        }

    def forward(self, x: Any) -> Any:
        shape = (-1,) + (1,) * (x.ndim - 2)
        gamma, beta, mean, var = (
            self.value(name).reshape(shape) for name in ("weight", "bias", "running_mean", "running_var")
        )
        return gamma * (x - mean) / np.sqrt(var + 1e-5) + beta


class Linear(Module):
    def __init__(self, into: int, out: int, bias: bool = True) -> None:
        self.shape, self.bias = (out, into), bias

    def parameters(self, rng: np.random.Generator) -> State:
        own = {"weight": (1.4 * rng.normal(size=self.shape) / np.sqrt(self.shape[1])).astype(np.float32)}
        if self.bias:
            own["bias"] = rng.normal(0, 0.3, self.shape[0]).astype(np.float32)
        return own

    def forward(self, x: Any) -> Any:
        z = x @ self.value("weight").T
        return z + self.value("bias") if self.bias else z


class Act(Module):
    """An activation: QCFS with L = 4 and a threshold called `name` (None: ReLU), or the neurons in its place.

    One module may stand at several places; each has neurons of its own (`places`, in the order of a step).
    """

    L = 4

    def __init__(self, name: str | None = "thresh", channels: int | None = None, clip: bool = False) -> None:
        self.name, self.channels, self.clip = name, channels, clip
        self.spiking = False
        self.theta: float | None = None
        self.places: list[dict[str, Any]] = []
        self.at = 0

    def parameters(self, rng: np.random.Generator) -> State:
        if self.name is None:
            return {}
        return {self.name: rng.uniform(1, 3, self.channels or 1).astype(np.float32)}

    def forward(self, z: Any) -> Any:
        lambda_ = 1.0 if self.name is None else self.value(self.name).reshape((-1,) + (1,) * (z.ndim - 2))
        if not self.spiking:
            if self.name is None:
                return np.maximum(z, 0)
            if self.clip:
                return np.clip(z, 0, lambda_)
            return np.floor(np.clip(z / lambda_, 0, 1) * self.L + 0.5) / self.L * lambda_
        if self.at == len(self.places):
            self.places.append({"v": np.zeros_like(z) + lambda_ / 2, "counts": []})
        place = self.places[self.at]
        self.at += 1
        v = place["v"] + z
        spikes = v >= lambda_
        place["v"] = np.where(spikes, v - lambda_, v)
        place["counts"].append(spikes.reshape(len(z), -1).sum(1))
        return spikes * lambda_


class Pool(Module):
    """Over windows: the mean, or the maximum; over spikes the running maximum of what has arrived."""

    def __init__(self, kind: str, k: int = 2, stride: int | None = None, padding: int = 0) -> None:
        self.kind, self.k, self.stride, self.padding = kind, k, stride or k, padding
        self.spiking = False
        self.arrived: Any = 0

    def windows(self, x: Any, fill: float) -> Any:
        x = np.pad(x, ((0, 0), (0, 0), (self.padding,) * 2, (self.padding,) * 2), constant_values=fill)
        return sliding_window_view(x, (self.k, self.k), (2, 3))[:, :, :: self.stride, :: self.stride]

    def forward(self, x: Any) -> Any:
        if self.kind == "avg":
            return self.windows(x, 0).mean((-1, -2))
        if not self.spiking:
            return self.windows(x, -np.inf).max((-1, -2))
        before = self.windows(self.arrived + 0 * x, -np.inf).max((-1, -2))
        self.arrived = self.arrived + x
        return self.windows(self.arrived, -np.inf).max((-1, -2)) - before


class AdaptivePool(Module):
    def __init__(self, side: int = 1) -> None:
        self.side = side

    def forward(self, x: Any) -> Any:
        n, c, h, w = x.shape
        return x.reshape(n, c, self.side, h // self.side, self.side, w // self.side).mean((3, 5))


class Flatten(Module):
    def forward(self, x: Any) -> Any:
        return x.reshape(len(x), -1)


class Nothing(Module):
    """Dropout and Identity."""

    def forward(self, x: Any) -> Any:
        return x


def simulate(model: Module, x: Any, T: int) -> tuple[Any, list[Any]]:
    """The SNN: logits (T, N, K) of each step, and counts (T, N) of every place of an activation, in order."""
    acts = [module for module in model.modules() if isinstance(module, Act)]
    for module in model.modules():
        module.spiking = True  # type: ignore[attr-defined]
    logits = []
    for _ in range(T):
        for act in acts:
            act.at = 0
        logits.append(model(x))
    return np.stack(logits), [np.stack(place["counts"]) for act in acts for place in act.places]

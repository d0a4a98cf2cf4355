"""Random state dicts in the official layouts, and what the source ANN computes, written without refsim.

`evaluate_*` run convolution, batch normalisation and QCFS one after the other, unfolded, in float64, and return
the output of every convolution (after its normalisation), sum, linear layer and activation under its module's name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

State = dict[str, np.ndarray]


def _bn(rng: np.random.Generator, state: State, name: str, channels: int) -> None:
    state[f"{name}.weight"] = rng.normal(1, 0.5, channels).astype(np.float32)  # some may be negative
    state[f"{name}.bias"] = rng.normal(0, 0.5, channels).astype(np.float32)
    state[f"{name}.running_mean"] = rng.normal(0, 1, channels).astype(np.float32)
    state[f"{name}.running_var"] = rng.uniform(0.01, 4, channels).astype(np.float32)
    state[f"{name}.num_batches_tracked"] = np.array(17)


def _conv(rng: np.random.Generator, state: State, name: str, out: int, into: int, k: int, bias: bool) -> None:
    state[f"{name}.weight"] = (rng.normal(size=(out, into, k, k)) / np.sqrt(into * k * k)).astype(np.float32)
    if bias:
        state[f"{name}.bias"] = rng.normal(size=out).astype(np.float32)


def _thresh(rng: np.random.Generator, state: State, name: str) -> None:
    state[f"{name}.thresh"] = rng.uniform(0.3, 3, 1).astype(np.float32)


def random_vgg(
    rng: np.random.Generator, stages: list[list[int]], *, side: int, head: list[int], channels: int = 3, bn: bool = True
) -> State:
    """Stages of convolutions with these widths; `head`: the linear layers' outputs. Dropout counts as a module."""
    state: State = {}
    into = channels
    for number, widths in enumerate(stages, start=1):
        at = 0
        for out in widths:
            _conv(rng, state, f"layer{number}.{at}", out, into, 3, True)
            if bn:
                _bn(rng, state, f"layer{number}.{at + 1}", out)
            _thresh(rng, state, f"layer{number}.{at + 1 + bn}")
            at, into = at + 3 + bn, out
    features = into * (side // 2 ** len(stages)) ** 2
    at = 1
    for i, out in enumerate(head):
        state[f"classifier.{at}.weight"] = (rng.normal(size=(out, features)) / np.sqrt(features)).astype(np.float32)
        state[f"classifier.{at}.bias"] = rng.normal(size=out).astype(np.float32)
        if i < len(head) - 1:
            _thresh(rng, state, f"classifier.{at + 1}")
        at, features = at + 3, out
    return state


def random_resnet(rng: np.random.Generator, depths: list[int], widths: list[int], n_classes: int = 5) -> State:
    state: State = {}
    _conv(rng, state, "conv1.0", widths[0], 3, 3, False)
    _bn(rng, state, "conv1.1", widths[0])
    _thresh(rng, state, "conv1.2")
    into = widths[0]
    for stage, (depth, out) in enumerate(zip(depths, widths), start=2):
        for number in range(depth):
            block = f"conv{stage}_x.{number}"
            for at, source in ((0, into), (3, out)):
                _conv(rng, state, f"{block}.residual_function.{at}", out, source, 3, False)
                _bn(rng, state, f"{block}.residual_function.{at + 1}", out)
            _thresh(rng, state, f"{block}.residual_function.2")
            if (stage > 2 and number == 0) or into != out:
                _conv(rng, state, f"{block}.shortcut.0", out, into, 1, False)
                _bn(rng, state, f"{block}.shortcut.1", out)
            _thresh(rng, state, f"{block}.act")
            into = out
    state["fc.weight"] = rng.normal(size=(n_classes, into)).astype(np.float32)
    state["fc.bias"] = rng.normal(size=n_classes).astype(np.float32)
    return state


class Source:
    """The state dict as float64, with the operations of the source network."""

    def __init__(self, state: State, L: int | None, eps: float = 1e-5) -> None:
        self.state = {key: value.astype(np.float64) for key, value in state.items()}
        self.L = L
        self.eps = eps
        self.out: dict[str, np.ndarray] = {}

    def conv(self, name: str, x: Any, stride: int = 1, bn: str | None = None) -> Any:
        weight = self.state[f"{name}.weight"]
        pad = weight.shape[2] // 2
        x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = sliding_window_view(x, weight.shape[2:], (2, 3))[:, :, ::stride, ::stride]
        z = np.tensordot(windows, weight, ((1, 4, 5), (1, 2, 3)))  # (B, H, W, C)
        if f"{name}.bias" in self.state:
            z = z + self.state[f"{name}.bias"]
        if bn is not None:
            gamma, beta, mean, var = (
                self.state[f"{bn}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
            )
            z = gamma * (z - mean) / np.sqrt(var + self.eps) + beta
        self.out[name] = np.moveaxis(z, 3, 1)
        return self.out[name]

    def linear(self, name: str, x: Any) -> Any:
        self.out[name] = x.reshape(len(x), -1) @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]
        return self.out[name]

    def qcfs(self, name: str, z: Any) -> Any:
        if self.L is None:
            self.out[name] = np.maximum(z, 0)
            return self.out[name]
        lambda_ = float(self.state[f"{name}.thresh"][0])
        self.out[name] = np.floor(np.clip(z / lambda_, 0, 1) * self.L + 0.5) / self.L * lambda_
        return self.out[name]

    @staticmethod
    def pool(x: Any) -> Any:
        height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
        x = x[:, :, :height, :width]
        return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


class SpikingSource(Source):
    """The same network with the official code's neurons in place of its activations, one time step at a call.

    v(0) = lambda / 2; a neuron whose potential reaches lambda emits lambda and loses it. `spikes` holds every step.
    """

    def __init__(self, state: State) -> None:
        super().__init__(state, None)
        self.v: dict[str, np.ndarray] = {}
        self.spikes: dict[str, list[np.ndarray]] = {}

    def qcfs(self, name: str, z: Any) -> Any:
        lambda_ = float(self.state[f"{name}.thresh"][0])
        v = self.v.get(name, np.full(z.shape, lambda_ / 2)) + z
        spike = v >= lambda_
        self.v[name] = np.where(spike, v - lambda_, v)
        self.spikes.setdefault(name, []).append(spike)
        return spike * lambda_


def evaluate_vgg(net: Source, x: np.ndarray, stages: list[list[int]], head: list[int]) -> dict[str, np.ndarray]:
    bn = "layer1.1.running_var" in net.state
    for number, widths in enumerate(stages, start=1):
        for i in range(len(widths)):
            at = i * (3 + bn)
            z = net.conv(f"layer{number}.{at}", x, bn=f"layer{number}.{at + 1}" if bn else None)
            x = net.qcfs(f"layer{number}.{at + 1 + bn}", z)
        x = net.pool(x)
    for i in range(len(head)):
        x = net.linear(f"classifier.{1 + 3 * i}", x)
        if i < len(head) - 1:
            x = net.qcfs(f"classifier.{2 + 3 * i}", x)
    return net.out


def evaluate_resnet(net: Source, x: np.ndarray, depths: list[int]) -> dict[str, np.ndarray]:
    x = net.qcfs("conv1.2", net.conv("conv1.0", x, bn="conv1.1"))
    for stage, depth in enumerate(depths, start=2):
        for number in range(depth):
            block = f"conv{stage}_x.{number}"
            stride = 2 if stage > 2 and number == 0 else 1
            inner = net.conv(f"{block}.residual_function.0", x, stride, f"{block}.residual_function.1")
            inner = net.qcfs(f"{block}.residual_function.2", inner)
            inner = net.conv(f"{block}.residual_function.3", inner, bn=f"{block}.residual_function.4")
            if f"{block}.shortcut.0.weight" in net.state:
                x = net.conv(f"{block}.shortcut.0", x, stride, f"{block}.shortcut.1")
            net.out[f"{block}.add"] = inner + x
            x = net.qcfs(f"{block}.act", inner + x)
    net.linear("fc", x.mean((2, 3)))
    return net.out


def random_resnet_cifar(rng: np.random.Generator, depth: int, widths: list[int]) -> State:
    """The public ReLU ResNet: no thresholds, no names for activations, shortcuts without parameters."""
    state: State = {}
    _conv(rng, state, "conv1", widths[0], 3, 3, False)
    _bn(rng, state, "bn1", widths[0])
    into = widths[0]
    for stage, out in enumerate(widths, start=1):
        for number in range(depth):
            block = f"layer{stage}.{number}"
            for at, source in ((1, into), (2, out)):
                _conv(rng, state, f"{block}.conv{at}", out, source, 3, False)
                _bn(rng, state, f"{block}.bn{at}", out)
            into = out
    state["linear.weight"] = rng.normal(size=(5, into)).astype(np.float32)
    state["linear.bias"] = rng.normal(size=5).astype(np.float32)
    return state


def evaluate_resnet_cifar(state: State, x: np.ndarray, depth: int) -> dict[str, np.ndarray]:
    net = Source(state, None)
    x = net.qcfs("act", net.conv("conv1", x, bn="bn1"))
    for stage in (1, 2, 3):
        for number in range(depth):
            block = f"layer{stage}.{number}"
            stride = 2 if stage > 1 and number == 0 else 1
            inner = net.qcfs(f"{block}.act1", net.conv(f"{block}.conv1", x, stride, f"{block}.bn1"))
            inner = net.conv(f"{block}.conv2", inner, bn=f"{block}.bn2")
            if stride == 2:  # as in the public code: every second pixel, channels padded on both sides
                quarter = inner.shape[1] // 4
                x = np.pad(x[:, :, ::2, ::2], ((0, 0), (quarter, quarter), (0, 0), (0, 0)))
            net.out[f"{block}.add"] = inner + x
            x = net.qcfs(f"{block}.act2", inner + x)
    net.linear("linear", x.mean((2, 3)))
    return net.out

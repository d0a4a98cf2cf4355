"""The same network as a dense PyTorch SNN, the way converted networks are run there: layer by layer, T in the batch."""

from __future__ import annotations

import sys
from typing import Any, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.peers import installed
from refsim.model import Add, AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Network, Spiking

Array = NDArray[Any]


class Fire(nn.Module):
    """IF or dual-threshold neurons over T steps; x : (T * B, ...), or (B, ...) where it is the same at every step."""

    def __init__(self, layer: Spiking, T: int, constant: bool, dtype: torch.dtype) -> None:
        super().__init__()
        neuron = layer.neuron
        self.T, self.constant, self.dual = T, constant, neuron.dual
        for key, value in (("theta", neuron.theta), ("v0", neuron.v0), ("theta_neg", neuron.negative_threshold)):
            tensor = torch.tensor(np.asarray(value), dtype=dtype)
            self.register_buffer(key, tensor.reshape(-1, 1, 1) if tensor.ndim == 1 else tensor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps = [x] * self.T if self.constant else list(x.chunk(self.T))
        v = torch.zeros_like(steps[0]) + self.v0
        n = torch.zeros_like(v)
        out = []
        for u in steps:
            m = v + u
            s = (m >= self.theta).to(m.dtype)
            if self.dual:
                s = s - ((m <= self.theta_neg) & (n >= 1)).to(m.dtype)
                n = n + s
            s = s * self.theta
            v = m - s
            out.append(s)
        return torch.cat(out)


class Snn(nn.Module):
    """A converted network for T steps: images (B, C, H, W) to the sum of logits over the steps, (B, K)."""

    def __init__(self, network: Network, T: int, dtype: torch.dtype, fire: Any = Fire) -> None:
        super().__init__()
        self.T, self.network = T, network
        self.parts = nn.ModuleList()
        constant = {"input"}
        for layer in network.layers:
            part: nn.Module
            match layer:
                case Conv2d() | Linear():
                    weight = torch.tensor(layer.effective_weight(), dtype=dtype)
                    if isinstance(layer, Conv2d):
                        part = nn.Conv2d(
                            weight.shape[1] * layer.groups, weight.shape[0], weight.shape[2:], layer.stride,
                            layer.padding, layer.dilation, layer.groups,
                        ).to(dtype)  # fmt: skip
                    else:
                        part = nn.Linear(weight.shape[1], weight.shape[0]).to(dtype)
                    part.weight.data, part.bias.data = weight, torch.tensor(layer.bias, dtype=dtype)
                    if isinstance(layer, Linear):  # reads planes in C order, behind a global pool
                        part = nn.Sequential(nn.Flatten(), part)
                case AvgPool2d():
                    part = nn.AvgPool2d(layer.kernel, layer.stride)
                case MaxPool2d():
                    raise SystemExit(f"layer '{layer.name}': the dense simulations know no max pools over spikes")
                case Flatten():
                    part = nn.Flatten()
                case Spiking():
                    part = fire(layer, T, layer.inputs[0] in constant, dtype)
                case Add():
                    part = nn.Identity()  # `forward` adds
                case _:
                    assert_never(layer)
            if not isinstance(layer, Spiking) and set(layer.inputs) <= constant:
                constant.add(layer.name)
            self.parts.append(part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = {"input": x}
        for layer, part in zip(self.network.layers, self.parts):
            if isinstance(layer, Add):
                total = out[layer.inputs[0]]
                for name in layer.inputs[1:]:
                    total = total + out[name]
                out[layer.name] = total
            else:
                out[layer.name] = part(out[layer.inputs[0]])
        return out[self.network.layers[-1].name].reshape(self.T, len(x), -1).sum(0)


def contenders(network: Network, T: int, x: Array, double: bool) -> dict[str, Any]:
    """Functions without arguments that run x (B, C, H, W), by what they are; logits (B, K)."""
    torch.set_num_threads(1)
    dtype = torch.float64 if double else torch.float32
    name = "float64" if double else "float32"
    model = Snn(network, T, dtype).eval().to(memory_format=torch.channels_last)
    images = torch.tensor(x, dtype=dtype).to(memory_format=torch.channels_last)

    def runner(function: Any) -> Any:
        def run() -> Array:
            with torch.inference_mode():
                return np.asarray(function(images))

        return run

    found = {f"PyTorch eager {name}": runner(model)}
    if not double:
        found[f"PyTorch compiled {name}"] = runner(torch.compile(model))
        for peer, fire in installed():
            try:
                snn = Snn(network, T, dtype, fire).eval().to(memory_format=torch.channels_last)
            except ValueError as error:
                print(f"{peer} is left out: {error}", file=sys.stderr)
            else:
                found[f"{peer} {name}"] = runner(snn)
    return found

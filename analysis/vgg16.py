"""VGG-16 for 32 x 32 images as a shape: what it costs can be counted without its weights."""

from __future__ import annotations

import numpy as np

from refsim import AvgPool2d, Conv2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def vgg16(head: tuple[int, ...]) -> Network:
    """13 convolutions with batch normalisation, a pool behind each stage, linear layers `head` wide."""

    def spiking(source: str) -> Spiking:
        return Spiking(name=f"if_{source}", inputs=(source,), neuron=Neuron(theta=np.array(1.0), v0=np.array(0.5)))

    layers: list = []
    source, n_in = "input", 3
    for stage, widths in enumerate(STAGES, start=1):
        for i, n_out in enumerate(widths, start=1):
            name = f"conv{stage}_{i}"
            # One number seen through a big array: nothing is stored.
            weight = np.broadcast_to(np.float32(1), (n_out, n_in, 3, 3))
            bn = {"bias": np.ones(n_out), "scale": np.ones(n_out)}
            layers += [Conv2d(name=name, inputs=(source,), weight=weight, padding=(1, 1), **bn), spiking(name)]
            source, n_in = f"if_{name}", n_out
        layers.append(AvgPool2d(name=f"pool{stage}", inputs=(source,), kernel=(2, 2), stride=(2, 2)))
        source = f"pool{stage}"
    layers.append(Flatten(name="flat", inputs=(source,)))
    source = "flat"
    for i, n_out in enumerate(head, start=1):
        weight = np.broadcast_to(np.float32(1), (n_out, n_in))
        layers.append(Linear(name=f"fc{i}", inputs=(source,), weight=weight, bias=np.ones(n_out)))
        if i < len(head):
            layers.append(spiking(f"fc{i}"))
        source, n_in = f"if_fc{i}", n_out
    return Network(name="VGG-16", input=InputSpec(shape=(3, 32, 32)), layers=tuple(layers))

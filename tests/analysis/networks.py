"""Networks of the shapes that the papers count. Weights are one number seen through a big array: nothing is stored."""

from __future__ import annotations

import numpy as np

from refsim.model import Activation, Add, AvgPool2d, Conv2d, Flatten, InputSpec, Layer, Linear, Network, Neuron, Spiking

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def constant(value: float, *shape: int) -> np.ndarray:
    return np.broadcast_to(np.float32(value), shape)


def spiking(name: str, source: str, L: int | None = 4) -> Spiking:
    neuron = Neuron(theta=np.array(1.0), v0=np.array(0.5), activation=Activation(lambda_=1.0, L=L))
    return Spiking(name=name, inputs=(source,), neuron=neuron)


def conv(name: str, source: str, c_in: int, c_out: int, k: int = 3, stride: int = 1) -> Conv2d:
    return Conv2d(
        name=name,
        inputs=(source,),
        weight=constant(0.01, c_out, c_in, k, k),
        bias=np.ones(c_out),
        scale=np.ones(c_out),
        stride=(stride, stride),
        padding=(k // 2, k // 2),
    )


def linear(name: str, source: str, n_in: int, n_out: int) -> Linear:
    return Linear(name=name, inputs=(source,), weight=constant(0.01, n_out, n_in), bias=np.ones(n_out))


def vgg16(head: tuple[int, ...]) -> Network:
    """13 convolutions with BN on 32 x 32 images, an average pool behind each stage, linear layers `head` wide."""
    layers: list[Layer] = []
    source, c_in = "input", 3
    for stage, widths in enumerate(VGG16, start=1):
        for i, c_out in enumerate(widths, start=1):
            layers += [conv(f"conv{stage}_{i}", source, c_in, c_out), spiking(f"if{stage}_{i}", f"conv{stage}_{i}")]
            source, c_in = f"if{stage}_{i}", c_out
        layers.append(AvgPool2d(name=f"pool{stage}", inputs=(source,), kernel=(2, 2), stride=(2, 2)))
        source = f"pool{stage}"
    layers.append(Flatten(name="flat", inputs=(source,)))
    source, n_in = "flat", 512
    for i, n_out in enumerate(head, start=1):
        layers.append(linear(f"fc{i}", source, n_in, n_out))
        if i < len(head):
            layers.append(spiking(f"if{i}", f"fc{i}"))
        source, n_in = f"if{i}", n_out
    return Network(name="vgg16", input=InputSpec(shape=(3, 32, 32)), layers=tuple(layers))


def resnet20() -> Network:
    """ResNet-20, 16-32-64 channels, 1 x 1 convolutions as shortcuts where the shape changes, 10 classes."""
    layers: list[Layer] = [conv("conv1", "input", 3, 16), spiking("if1", "conv1")]
    source, c_in = "if1", 16
    for stage, c_out in enumerate((16, 32, 64), start=1):
        for block in range(1, 4):
            name, stride = f"{stage}.{block}", 2 if stage > 1 and block == 1 else 1
            shortcut = source
            if stride == 2:
                shortcut = f"{name}.shortcut"
                layers.append(conv(shortcut, source, c_in, c_out, k=1, stride=2))
            layers += [
                conv(f"{name}.conv1", source, c_in, c_out, stride=stride),
                spiking(f"{name}.if1", f"{name}.conv1"),
                conv(f"{name}.conv2", f"{name}.if1", c_out, c_out),
                Add(name=f"{name}.add", inputs=(f"{name}.conv2", shortcut)),
                spiking(f"{name}.if2", f"{name}.add"),
            ]
            source, c_in = f"{name}.if2", c_out
    layers += [
        AvgPool2d(name="pool", inputs=(source,), kernel=(8, 8), stride=(8, 8)),
        Flatten(name="flat", inputs=("pool",)),
        linear("fc", "flat", 64, 10),
    ]
    return Network(name="resnet20", input=InputSpec(shape=(3, 32, 32)), layers=tuple(layers))

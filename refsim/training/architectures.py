# mypy: allow-subclassing-any
# (torch is optional, so the type checker treats its classes as Any.)
"""Networks in the key layout of the official QCFS code, so that checkpoints go both ways.

VGG: `layer1` .. `layer5` are Sequentials of Conv2d (with bias), BatchNorm2d, activation, Dropout, repeated,
and an AvgPool2d at the end; `classifier` is Flatten, then one Linear or three with activations between.
ResNet: `conv1.0/1/2`, blocks `conv2_x.0` .. with `residual_function`, `shortcut` and `act`, then `fc`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from refsim.exceptions import UsageError
from refsim.training.activations import ACTIVATIONS

MakeActivation = Callable[[], nn.Module]

VGG_WIDTHS: dict[str, tuple[tuple[int, ...], ...]] = {
    "small": ((16,), (32,), (64,)),
    "vgg7": ((16, 16), (32, 32), (64, 64)),
    "vgg11": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "vgg13": ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    "vgg16": ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
    "vgg19": ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
}
RESNET_STAGES: dict[str, tuple[tuple[int, int], ...]] = {  # (channels, blocks) of conv2_x, conv3_x, ...
    "resnet18": ((64, 2), (128, 2), (256, 2), (512, 2)),
    "resnet20": ((16, 3), (32, 3), (64, 3)),
    "resnet34": ((64, 3), (128, 4), (256, 6), (512, 3)),
}
ARCHITECTURES = (*VGG_WIDTHS, *RESNET_STAGES)
HEADS = ("linear", "4096")


class VGG(nn.Module):
    """VGG with batch normalisation and average pooling; `small` and `vgg7` are its miniatures."""

    def __init__(
        self,
        widths: tuple[tuple[int, ...], ...],
        *,
        input_shape: tuple[int, int, int],
        classes: int,
        head: str,
        dropout: float,
        activation: MakeActivation,
    ) -> None:
        super().__init__()
        channels, height, width = input_shape
        self.stages = [f"layer{number}" for number in range(1, len(widths) + 1)]
        for stage, outs in zip(self.stages, widths, strict=True):
            layers: list[nn.Module] = []
            for out in outs:
                layers += [nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out)]
                layers += [activation(), nn.Dropout(dropout)]
                channels = out
            self.add_module(stage, nn.Sequential(*layers, nn.AvgPool2d(2, 2)))
            height, width = height // 2, width // 2
        if not (height and width):
            least = 2 ** len(widths)
            raise UsageError(f"{len(widths)} halvings need images of at least {least} x {least}, got {input_shape[1:]}")
        features = channels * height * width
        head_layers: list[nn.Module] = [nn.Flatten()]
        if head == "4096":
            for _ in range(2):
                head_layers += [nn.Linear(features, 4096), activation(), nn.Dropout(dropout)]
                features = 4096
        self.classifier = nn.Sequential(*head_layers, nn.Linear(features, classes))

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        logits: Tensor = self.classifier(x)
        return logits


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; the second activation sits after the addition."""

    def __init__(self, channels: int, out: int, stride: int, activation: MakeActivation) -> None:
        super().__init__()
        self.residual_function = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
            activation(),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        a: Tensor = self.act(self.residual_function(x) + self.shortcut(x))
        return a


class ResNet(nn.Module):
    """ResNet of basic blocks for 32 x 32 images: no stride and no pooling before the first block."""

    def __init__(
        self,
        stages: tuple[tuple[int, int], ...],
        *,
        in_channels: int,
        classes: int,
        activation: MakeActivation,
    ) -> None:
        super().__init__()
        channels = stages[0][0]
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), activation()
        )
        self.stages = [f"conv{number}_x" for number in range(2, 2 + len(stages))]
        for stage, (out, n_blocks) in zip(self.stages, stages, strict=True):
            strides = [1 if stage == "conv2_x" else 2] + [1] * (n_blocks - 1)
            blocks = []
            for stride in strides:
                blocks.append(BasicBlock(channels, out, stride, activation))
                channels = out
            self.add_module(stage, nn.Sequential(*blocks))
        self.avg_pool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        logits: Tensor = self.fc(torch.flatten(self.avg_pool(x), 1))
        return logits


def build(
    arch: str,
    *,
    input_shape: tuple[int, int, int],
    classes: int,
    activation: str = "qcfs",
    L: int = 4,
    lambda_: float = 8.0,
    head: str = "linear",
    dropout: float = 0.0,
) -> VGG | ResNet:
    """Build a network with freshly initialised weights.

    Convolutions start from He et al.'s normal distribution (fan out), as in the official code.

    Parameters
    ----------
    arch
        One of `ARCHITECTURES`.
    input_shape : (C, H, W)
    activation
        One of `activations.ACTIVATIONS`.
    lambda_
        Initial clipping threshold of every activation; 8 in the official code.
    head
        VGG only: "linear" (512-K) or "4096" (512-4096-4096-K, the official one).
    dropout
        VGG only.
    """

    def make_activation() -> nn.Module:
        return ACTIVATIONS[activation](L=L, lambda_=lambda_)

    model: VGG | ResNet
    if arch in VGG_WIDTHS:
        model = VGG(
            VGG_WIDTHS[arch],
            input_shape=input_shape,
            classes=classes,
            head=head,
            dropout=dropout,
            activation=make_activation,
        )
    else:
        model = ResNet(RESNET_STAGES[arch], in_channels=input_shape[0], classes=classes, activation=make_activation)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    return model

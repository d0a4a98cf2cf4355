"""Models of public codes, narrow, as those codes build them; and of `docs/layouts.md` each row.

`ROWS` maps the first two cells of a row to what makes the model, and to how it is converted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from tests.importers.modules import (
    Act,
    AdaptivePool,
    BatchNorm,
    Conv2d,
    Flatten,
    Linear,
    Module,
    Nothing,
    Pool,
    Sequential,
)


@dataclass(frozen=True)
class Row:
    """How a code's checkpoint is converted: a model, the image's size, options of the importer, key map entries."""

    make: Callable[[], Module]
    side: int = 32
    options: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)
    relu: bool = True
    channels: int = 3


class Parts(Module):
    """Named modules, and a function of them and the input."""

    def __init__(self, run: Callable[[Any, Any], Any], **parts: Module) -> None:
        vars(self).update(parts)
        self.run = run

    def forward(self, x: Any) -> Any:
        return self.run(self, x)


# -- VGGs --------------------------------------------------------------------------------------------------

STAGES = ([4, 5], [6], [6, 7], [8], [8])


def qcfs_vgg(act: Callable[[], Module], bias: bool = True) -> Module:
    """Sequentials of conv, norm, activation, dropout, a pool at the end of each."""
    layers, into = {}, 3
    for number, widths in enumerate(STAGES, start=1):
        modules: list[Module] = []
        for out in widths:
            modules += [Conv2d(into, out, 3, padding=1, bias=bias), BatchNorm(out), act(), Nothing()]
            into = out
        layers[f"layer{number}"] = Sequential(*modules, Pool("avg"))
    head = [Flatten(), Linear(8, 9, bias), act(), Nothing(), Linear(9, 7, bias), act(), Nothing(), Linear(7, 5, bias)]
    parts = {**layers, "classifier": Sequential(*head)}
    return Parts(lambda m, x: Sequential.forward(m, x), **parts)


def features(
    pool: str,
    *,
    bn: bool = True,
    act: Callable[[], Module] = lambda: Act(None),
    dropout: bool = False,
    stages: Any = STAGES,
    last: bool = True,
    bias: bool = True,
    between: bool = False,
) -> Sequential:
    """One Sequential; `dropout` behind every activation, `between` convolution and activation."""
    modules: list[Module] = []
    into = 3
    for number, widths in enumerate(stages):
        for out in widths:
            modules += [Conv2d(into, out, 3, padding=1, bias=bias), *([BatchNorm(out)] if bn else [])]
            modules += [*([Nothing()] if between else []), act(), *([Nothing()] if dropout else [])]
            into = out
        if last or number < len(stages) - 1:
            modules.append(Pool(pool))
    return Sequential(*modules)


def with_head(
    body: Sequential, head: Module, name: str = "classifier", body_name: str = "features", between: Module | None = None
) -> Module:
    def run(m: Any, x: Any) -> Any:
        x = getattr(m, body_name)(x)
        return getattr(m, name)(Flatten()(between(x) if between else x))

    return Parts(run, **{body_name: body, name: head})


def act_linear(*widths: int, act: Callable[[], Module] = lambda: Act(None), first: int = 0) -> Sequential:
    """[Dropout,] Linear, activation, Dropout, ..., Linear."""
    modules: list[Module] = [Nothing() for _ in range(first)]
    for n, (into, out) in enumerate(pairwise(widths), start=1):
        modules.append(Linear(into, out))
        if n < len(widths) - 1:
            modules += [act(), Nothing()]
    return Sequential(*modules)


def chengyangfu(bn: bool) -> Module:
    head = Sequential(Nothing(), Linear(8, 9), Act(None), Nothing(), Linear(9, 7), Act(None), Linear(7, 5))
    return with_head(features("max", bn=bn), head)


def torchvision_vgg(bn: bool) -> Module:
    return with_head(features("max", bn=bn), act_linear(8 * 4, 9, 7, 5), between=AdaptivePool(2))


def hybrid() -> Module:
    """Dropout behind every activation, or in its place an average pool: nothing shows which."""

    def conv(into: int, out: int, then: Module) -> list[Module]:
        return [Conv2d(into, out, 3, padding=1, bias=False), Act(None), then]

    body = Sequential(*conv(3, 4, Pool("avg")), *conv(4, 5, Nothing()), *conv(5, 6, Pool("avg")))
    return with_head(body, act_linear(6 * 64, 9, 5))


# -- ResNets -----------------------------------------------------------------------------------------------


def conv_bn(into: int, out: int, k: int, stride: int = 1, bn: bool = True) -> list[Module]:
    return [Conv2d(into, out, k, stride, k // 2, bias=not bn), *([BatchNorm(out)] if bn else [])]


def official_resnet(act: Callable[[], Module], name: str, *, bottleneck: bool = False, deep: bool = False) -> Module:
    """conv1, conv2_x, ... of `residual_function`, `shortcut` and an activation called `name`."""

    def block(into: int, width: int, stride: int) -> Module:
        out = width * 2 if bottleneck else width
        if bottleneck:
            function = [
                *conv_bn(into, width, 1),
                act(),
                *conv_bn(width, width, 3, stride),
                act(),
                *conv_bn(width, out, 1),
            ]
        else:
            function = [*conv_bn(into, width, 3, stride), act(), *conv_bn(width, out, 3)]
        shortcut = Sequential(*(conv_bn(into, out, 1, stride) if stride > 1 or into != out else []))
        parts = {"residual_function": Sequential(*function), "shortcut": shortcut, name: act()}
        return Parts(lambda m, x: getattr(m, name)(m.residual_function(x) + m.shortcut(x)), **parts)

    stem = [*conv_bn(3, 4, 3), act()]
    if deep:
        stem += [*conv_bn(4, 4, 3), act(), *conv_bn(4, 4, 3, 2), act()]
    wide = 2 if bottleneck else 1
    stages = {
        "conv2_x": Sequential(block(4, 4, 1), block(4 * wide, 4, 1)),
        "conv3_x": Sequential(block(4 * wide, 6, 2)),
        "conv4_x": Sequential(block(6 * wide, 8, 2)),
    }
    parts = {"conv1": Sequential(*stem), **stages, "fc": Linear(8 * wide, 5)}
    return Parts(lambda m, x: m.fc(m.conv4_x(m.conv3_x(m.conv2_x(m.conv1(x)))).mean((2, 3))), **parts)


@dataclass(frozen=True)
class He:
    """A ResNet with He's names: conv1, bn1, layer1.0.conv1, ...

    shortcut
        "shortcut", "downsample", "d" (an average pool has the stride), or "around"/"behind": zeros.
    act
        What makes an activation; `names` of the two or three of a block, one for all if it is one.
    """

    shortcut: str = "downsample"
    head: str = "fc"
    stages: int = 4
    bottleneck: bool = False
    stem: str = "3"
    act: Callable[[], Module] = lambda: Act(None)
    names: tuple[str, ...] = ("relu",)
    groups: int = 1
    bn: bool = True
    final: str = "mean"

    def norm(self, channels: int) -> Module:
        return BatchNorm(channels) if self.bn else Nothing()

    def conv(self, into: int, out: int, k: int, stride: int = 1, groups: int = 1) -> Module:
        return Conv2d(into, out, k, stride, k // 2, groups, bias=not self.bn)

    def block(self, into: int, width: int, stride: int) -> Module:
        out = width * 2 if self.bottleneck else width
        kinds = [(into, width, 3, stride, 1), (width, out, 3, 1, 1)]
        if self.bottleneck:
            kinds = [(into, width, 1, 1, 1), (width, width, 3, stride, self.groups), (width, out, 1, 1, 1)]
        parts: dict[str, Module] = {name: self.act() for name in self.names}
        for n, (a, b, k, s, g) in enumerate(kinds, start=1):
            parts |= {f"conv{n}": self.conv(a, b, k, s, g), f"bn{n}": self.norm(b)}
        changed = stride > 1 or into != out
        if self.shortcut == "d" and changed:
            pool = Pool("avg", stride) if stride > 1 else Nothing()
            parts["downsample"] = Sequential(pool, self.conv(into, out, 1), self.norm(out))
        elif self.shortcut in ("shortcut", "downsample") and changed:
            parts[self.shortcut] = Sequential(self.conv(into, out, 1, stride), self.norm(out))

        def run(m: Any, x: Any) -> Any:
            z = x
            for n in range(1, len(kinds) + 1):
                act = getattr(m, self.names[min(n, len(self.names)) - 1])
                z = getattr(m, f"bn{n}")(getattr(m, f"conv{n}")(z))
                z = act(z) if n < len(kinds) else z
            if changed and self.shortcut in ("around", "behind"):
                before = out // 4 if self.shortcut == "around" else 0
                x = x[:, :, ::2, ::2]
                x = np.pad(x, ((0, 0), (before, out - into - before), (0, 0), (0, 0)))
            elif changed:
                x = getattr(m, "downsample" if self.shortcut == "d" else self.shortcut)(x)
            return act_of(m, len(kinds))(z + x)

        def act_of(m: Any, n: int) -> Module:
            return getattr(m, self.names[min(n, len(self.names)) - 1])

        return Parts(run, **parts)

    def __call__(self) -> Module:
        wide = 2 if self.bottleneck else 1
        widths = [4, 8, 16, 16][: self.stages]
        parts: dict[str, Module] = {}
        if self.stem == "deep":
            three = [self.conv(3, 4, 3, 2), self.norm(4), self.act(), self.conv(4, 4, 3), self.norm(4), self.act()]
            parts["conv1"] = Sequential(*three, self.conv(4, 4, 3))
        else:
            parts["conv1"] = self.conv(3, 4, 7, 2) if self.stem == "7" else self.conv(3, 4, 3)
        pooled = self.stem in ("7", "deep", "3 and pool")
        parts |= {"bn1": self.norm(4), "relu": self.act(), "maxpool": Pool("max", 3, 2, 1) if pooled else Nothing()}
        into = 4
        for n, width in enumerate(widths, start=1):
            blocks = [self.block(into, width, 2 if n > 1 else 1)]
            into = width * wide
            if n < 3:
                blocks.append(self.block(into, width, 1))
            parts[f"layer{n}"] = Sequential(*blocks)
        cells = 4 if self.final == "pool" else 1
        parts[self.head] = Linear(into * cells, 5)

        def run(m: Any, x: Any) -> Any:
            x = m.maxpool(m.relu(m.bn1(m.conv1(x))))
            for n in range(1, self.stages + 1):
                x = getattr(m, f"layer{n}")(x)
            x = x.mean((2, 3)) if self.final == "mean" else Flatten()(Pool("avg", x.shape[2] // 2)(x))
            return getattr(m, self.head)(x)

        return Parts(run, **parts)


# -- Sequentials -------------------------------------------------------------------------------------------


def network(body: Sequential) -> Module:
    return Parts(lambda m, x: m.network(x), network=body)


def mnist_cnn() -> Module:
    """SpikingJelly's sample for ann2snn: convolutions without padding."""

    def conv(into: int, out: int) -> list[Module]:
        return [Conv2d(into, out, 3), BatchNorm(out), Act(None), Pool("avg")]

    return network(Sequential(*conv(1, 4), *conv(4, 5), *conv(5, 6), Flatten(), Linear(6, 5)))


def bare(pool: str) -> Module:
    return Sequential(
        Conv2d(3, 4, 3, padding=1), Act(None), Pool(pool), Conv2d(4, 5, 3, padding=1), Act(None), Pool(pool),
        Flatten(), Linear(5 * 64, 9), Act(None), Nothing(), Linear(9, 5),
    )  # fmt: skip


MAX = {"pool": "max-cumulative"}
AVG = {"pool": "avg"}

ROWS: dict[tuple[str, str], Row] = {
    ("putshua/ANN_SNN_QCFS", "VGG"): Row(lambda: qcfs_vgg(Act), options=AVG, relu=False),
    ("putshua/ANN_SNN_QCFS", "ResNet-18, -20, -34"): Row(lambda: official_resnet(Act, "act"), relu=False),
    ("putshua/SNN_conversion_QCFS", "VGG"): Row(lambda: qcfs_vgg(lambda: Act("up")), options=AVG, relu=False),
    ("putshua/SNN_conversion_QCFS", "ResNet"): Row(lambda: official_resnet(lambda: Act("up"), "relu"), relu=False),
    ("putshua/SNN_conversion_QCFS", "VGG with TCL"): Row(
        lambda: qcfs_vgg(lambda: Act("up", clip=True)), options=AVG | {"activation": "clip"}, relu=False
    ),
    ("hzc1208/ANN2SNN_SRP", "VGG, without bias"): Row(
        lambda: qcfs_vgg(lambda: Act("up"), bias=False), options=AVG, relu=False
    ),
    ("hzc1208/ANN2SNN_SRP", "ResNet-20 with three convolutions in its stem"): Row(
        lambda: official_resnet(lambda: Act("up"), "relu", deep=True), relu=False
    ),
    ("hzc1208/ANN2SNN_SRP", "ResNet-50, -101, -152"): Row(
        lambda: official_resnet(lambda: Act("up"), "relu", bottleneck=True), relu=False
    ),
    ("weiaicunzai/pytorch-cifar100", "ResNet-18, -34"): Row(lambda: official_resnet(lambda: Act(None), "act")),
    ("weiaicunzai/pytorch-cifar100", "ResNet-50"): Row(
        lambda: official_resnet(lambda: Act(None), "act", bottleneck=True)
    ),
    ("weiaicunzai/pytorch-cifar100", "VGG-BN"): Row(
        lambda: with_head(features("max"), act_linear(8, 9, 7, 5)), options=MAX
    ),
    ("akamaster/pytorch_resnet_cifar10", "ResNet-20, ..., option A"): Row(He("around", "linear", 3)),
    ("akamaster/pytorch_resnet_cifar10", "ResNet-20, ..., option B"): Row(He("shortcut", "linear", 3)),
    ("zeros behind the channels", "ResNet, option A"): Row(He("behind", "fc", 3), keys={"zeros": "behind"}),
    ("kuangliu/pytorch-cifar", "ResNet-18, -34"): Row(He("shortcut", "linear")),
    ("kuangliu/pytorch-cifar", "ResNet-18 on 64 x 64"): Row(He("shortcut", "linear", final="pool"), side=64),
    ("kuangliu/pytorch-cifar", "ResNet-50, -101, -152"): Row(He("shortcut", "linear", bottleneck=True)),
    ("kuangliu/pytorch-cifar", "VGG-BN"): Row(lambda: with_head(features("max"), Linear(8, 5)), options=MAX),
    ("chengyangfu/pytorch-vgg-cifar10", "VGG-BN"): Row(lambda: chengyangfu(True), options=MAX),
    ("chengyangfu/pytorch-vgg-cifar10", "VGG"): Row(lambda: chengyangfu(False), options=MAX),
    ("chenyaofo/pytorch-cifar-models", "ResNet-20, -32, -44, -56"): Row(He("downsample", "fc", 3)),
    ("chenyaofo/pytorch-cifar-models", "VGG-BN"): Row(
        lambda: with_head(features("max"), act_linear(8, 9, 7, 5)), options=MAX
    ),
    ("bearpaw/pytorch-classification", "ResNet-20 to -110"): Row(He("downsample", "fc", 3)),
    ("bearpaw/pytorch-classification", "VGG-BN"): Row(lambda: with_head(features("max"), Linear(8, 5)), options=MAX),
    ("huyvnphan/PyTorch_CIFAR10", "ResNet-18, -34"): Row(He(stem="3 and pool"), options=MAX),
    ("huyvnphan/PyTorch_CIFAR10", "ResNet-50"): Row(He(stem="3 and pool", bottleneck=True), options=MAX),
    ("torchvision, stem changed for small images", "ResNet-18, -34"): Row(He(), options={"pool": "none"}),
    ("Eric-mingjie/network-slimming", "VGG"): Row(
        lambda: with_head(
            features("max", last=False, bias=False), Linear(8, 5), body_name="feature", between=Pool("avg")
        ),
        options=MAX,
    ),
    ("torchvision", "VGG-11 to -19"): Row(lambda: torchvision_vgg(False), side=64, options=MAX),
    ("torchvision", "VGG-11-BN to -19-BN"): Row(lambda: torchvision_vgg(True), side=64, options=MAX),
    ("torchvision", "ResNet-18, -34"): Row(He(stem="7"), side=64, options=MAX),
    ("torchvision", "ResNet-50, -101, -152, wide ResNets"): Row(He(stem="7", bottleneck=True), side=64, options=MAX),
    ("torchvision", "ResNeXt-50, -101"): Row(He(stem="7", bottleneck=True, groups=2), side=64, options=MAX),
    ("timm", "resnet18d, resnet34d"): Row(He("d", stem="deep"), side=64, options=MAX),
    ("timm", "resnet50d, resnet101d"): Row(He("d", stem="deep", bottleneck=True), side=64, options=MAX),
    ("yhhhli/SNN_Calibration", "ResNet-20, -32"): Row(He("downsample", "fc", 3, names=("relu1", "relu2"))),
    ("yhhhli/SNN_Calibration", "ResNet-20, -32 without normalisation"): Row(
        He("downsample", "fc", 3, names=("relu1", "relu2"), bn=False)
    ),
    ("yhhhli/SNN_Calibration", "VGG-BN"): Row(lambda: with_head(features("avg"), Linear(8, 5)), options=AVG),
    ("yhhhli/SNN_Calibration", "VGG without normalisation"): Row(
        lambda: with_head(features("avg", bn=False, between=True), Linear(8, 5)), options=AVG
    ),
    ("nitin-rathi/hybrid-snn-conversion, DIET-SNN", "VGG"): Row(
        hybrid, options=AVG, keys={"pools": ("features.0", "features.6")}
    ),
    ("fangwei123456/spikingjelly", "ann2snn sample, MNIST"): Row(mnist_cnn, side=28, options=AVG, channels=1),
    ("torch.nn.Sequential", "convolutions, pools, linear layers"): Row(lambda: bare("max"), options=MAX),
    ("QCFS activations in place of ReLU", "VGG of torchvision"): Row(
        lambda: with_head(features("avg", act=Act), act_linear(8 * 4, 9, 5, act=Act), between=AdaptivePool(2)),
        side=64, options=AVG, relu=False,
    ),
    ("QCFS activations in place of ReLU", "VGG with Dropout behind every activation"): Row(
        lambda: with_head(features("avg", act=Act, dropout=True), act_linear(8, 9, 5, act=Act)),
        options=AVG, relu=False,
    ),
    ("QCFS activations in place of ReLU", "ResNet, one module for a block"): Row(
        He(act=lambda: Act("v_threshold")), options={"pool": "none"}, relu=False
    ),
    ("QCFS activations in place of ReLU", "ResNet, a module for each"): Row(
        He("shortcut", "linear", names=("act1", "act2"), act=lambda: Act("thre")), relu=False
    ),
    ("thresholds of each channel", "VGG"): Row(
        lambda: with_head(Sequential(
            Conv2d(3, 4, 3, padding=1), BatchNorm(4), Act("act_alpha", 4), Pool("avg"),
            Conv2d(4, 5, 3, padding=1), BatchNorm(5), Act("act_alpha", 5), Pool("avg"),
        ), act_linear(5 * 64, 5)),
        options=AVG, relu=False,
    ),
}  # fmt: skip

"""The layouts of keys that refsim knows, as data: what a public code calls its modules and what the names imply.

`refsim.importers.residual` and `refsim.importers.sequence` make networks of them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A convolution, its normalisation and its activation, by their modules' names.

    thresholds
        Modules that may hold the activation's threshold, the likeliest first; empty: that of `act`.
    """

    conv: str
    bn: str
    act: str
    stride: int = 1
    thresholds: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stem:
    """What reads the image.

    kernel
        Of its first convolution; other layouts of the same names differ in it.
    pool
        Whether a padded max pool of 3 x 3, stride 2, follows; None: both are in use.
    """

    units: tuple[Unit, ...]
    kernel: int
    pool: bool | None = False


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """The convolution of a shortcut and its normalisation; `pooled`: an average pool before it has the stride."""

    conv: str
    bn: str
    pooled: bool = False


@dataclass(frozen=True, kw_only=True)
class Residual:
    """A ResNet: a stem, stages of blocks, a global average pool and a linear readout.

    key
        One that no other layout has.
    stage, first
        Pattern of the stages' names, and the number of the first; every later one begins with stride 2.
    units
        Of a block. Basic blocks have the first two, bottlenecks all three, the middle one with the stride.
    last, thresholds
        Name of the activation behind the sum, with the number of units in it; where its threshold may be.
    shortcuts
        The first that is there counts.
    """

    key: str
    stems: tuple[Stem, ...]
    stage: str
    first: int
    units: tuple[Unit, ...]
    last: str
    thresholds: tuple[str, ...]
    shortcuts: tuple[Shortcut, ...]
    heads: tuple[str, ...] = ("fc", "linear", "classifier")


def _numbered(name: str) -> tuple[str, ...]:
    """Where the threshold of the activation behind conv1, conv2, ... may be; one module may serve a whole block."""
    return tuple(each.format(name) for each in ("act{0}", "relu{0}", "sn{0}", "if{0}")) + ("act", "relu")


def _plain(n: int) -> Unit:
    return Unit(conv=f"conv{n}", bn=f"bn{n}", act=f"act{n}", thresholds=_numbered(str(n)))


def _in_sequential(name: str, at: int, stride: int = 1) -> Unit:
    return Unit(conv=f"{name}.{at}", bn=f"{name}.{at + 1}", act=f"{name}.{at + 2}", stride=stride)


_STEM = Unit(conv="conv1", bn="bn1", act="act", thresholds=("act", "relu", "act1", "relu1", "sn1", "if1"))
_STEM_2 = Unit(conv="conv1", bn="bn1", act="act", thresholds=_STEM.thresholds, stride=2)
_DEEP = (
    _in_sequential("conv1", 0, stride=2),
    _in_sequential("conv1", 3),
    Unit(conv="conv1.6", bn="bn1", act="act", thresholds=_STEM.thresholds),
)

RESIDUAL: dict[str, Residual] = {
    # The official QCFS code, weiaicunzai's pytorch-cifar100 that it comes from, SRP, COS, SlipReLU.
    "resnet": Residual(
        key="conv2_x.0.residual_function.0.weight",
        stems=(
            # SRP's "ResNet-20p".
            Stem(
                units=(_in_sequential("conv1", 0), _in_sequential("conv1", 3), _in_sequential("conv1", 6, stride=2)),
                kernel=3,
            ),
            Stem(units=(_in_sequential("conv1", 0),), kernel=3),
        ),
        stage="conv{}_x",
        first=2,
        units=tuple(_in_sequential("residual_function", at) for at in (0, 3, 6)),
        last="act",
        thresholds=("act", "relu"),
        shortcuts=(Shortcut(conv="shortcut.0", bn="shortcut.1"),),
    ),
    # torchvision, timm, and the many codes for CIFAR that begin with He's names.
    "resnet-cifar": Residual(
        key="layer1.0.conv1.weight",
        stems=(
            Stem(units=_DEEP, kernel=3, pool=True),
            Stem(units=(_STEM_2,), kernel=7, pool=True),
            Stem(units=(_STEM,), kernel=3, pool=None),
        ),
        stage="layer{}",
        first=1,
        units=(_plain(1), _plain(2), _plain(3)),
        last="act{}",
        thresholds=_numbered("{}"),
        shortcuts=(
            Shortcut(conv="shortcut.0", bn="shortcut.1"),
            Shortcut(conv="downsample.0", bn="downsample.1"),
            Shortcut(conv="downsample.1", bn="downsample.2", pooled=True),
        ),
    ),
}

RESNET_NAMES: dict[tuple[int, tuple[int, ...]], str] = {
    (2, (2, 2, 2, 2)): "ResNet-18",
    (2, (3, 4, 6, 3)): "ResNet-34",
    (3, (3, 4, 6, 3)): "ResNet-50",
    (3, (3, 4, 23, 3)): "ResNet-101",
    (3, (3, 8, 36, 3)): "ResNet-152",
}
"""By convolutions in a block and blocks in a stage; three stages of n basic blocks are ResNet-(6n + 2)."""


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """Convolutions, activations and pools one after the other, then linear layers.

    body, heads
        Names of the Sequential of convolutions, and of what follows it, itself a Sequential or one layer; without
        heads, linear layers stand at the end of the body.
    padded
        Whether convolutions are known to be padded to keep the size.
    last_is_average
        Whether the pool behind the last convolution takes the mean, whatever the others do.
    """

    body: tuple[str, ...]
    heads: tuple[str, ...]
    padded: bool
    last_is_average: bool = False


SEQUENCES: dict[str, Sequence] = {
    # torchvision's VGGs and the codes for CIFAR after them.
    "vgg-features": Sequence(body=("features",), heads=("classifier", "fc", "linear"), padded=True),
    # Network slimming and what was made of it.
    "vgg-slimming": Sequence(body=("feature",), heads=("classifier",), padded=True, last_is_average=True),
    # torch.nn.Sequential, bare or as a member.
    "sequential": Sequence(body=("", "network", "layers", "main", "module_list"), heads=(), padded=False),
}

VGG_NAMES: dict[tuple[int, ...], str] = {
    (1, 1, 2, 2, 2): "VGG-11",
    (2, 2, 2, 2, 2): "VGG-13",
    (2, 2, 3, 3, 3): "VGG-16",
    (2, 2, 4, 4, 4): "VGG-19",
}
"""By convolutions before each pool."""

"""Preprocessing and classes of common data sets: what a checkpoint does not say and accuracy depends on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from refsim.exceptions import UsageError


@dataclass(frozen=True, kw_only=True)
class Preset:
    """x = (raw / 255 - mean) / std per channel; `dataset` and `shape` (C, H, W) of the images; their classes."""

    dataset: str
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...] = ()


CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FASHION_MNIST_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

_CIFAR_MEAN = (0.4914, 0.4822, 0.4465)

PRESETS: dict[str, Preset] = {
    "cifar10": Preset(
        dataset="cifar10", shape=(3, 32, 32), mean=_CIFAR_MEAN, std=(0.2470, 0.2435, 0.2616), classes=CIFAR10_CLASSES
    ),
    # What the official QCFS code divides by: the mean of the per-image deviations, smaller than the deviation.
    "cifar10-qcfs": Preset(
        dataset="cifar10", shape=(3, 32, 32), mean=_CIFAR_MEAN, std=(0.2023, 0.1994, 0.2010), classes=CIFAR10_CLASSES
    ),
    "cifar100": Preset(
        dataset="cifar100", shape=(3, 32, 32), mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762)
    ),
    # The same data; the official QCFS code writes its constants as fractions of 255.
    "cifar100-qcfs": Preset(
        dataset="cifar100",
        shape=(3, 32, 32),
        mean=(129.3 / 255, 124.1 / 255, 112.4 / 255),
        std=(68.2 / 255, 65.4 / 255, 70.4 / 255),
    ),
    "imagenet": Preset(dataset="imagenet", shape=(3, 224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "fashion-mnist": Preset(
        dataset="fashion-mnist", shape=(1, 28, 28), mean=(0.2860,), std=(0.3530,), classes=FASHION_MNIST_CLASSES
    ),
}


def find_preset(name: str) -> Preset:
    """The preset of this name.

    Raises
    ------
    UsageError
        There is none.
    """
    if name not in PRESETS:
        raise UsageError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """mean and std per channel, and the data set that one of the user's words named, if any."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    usual: Preset | None


def preprocessing(
    preset: str | None, mean: str | Sequence[float] | None, std: str | Sequence[float] | None
) -> Preprocessing:
    """The preprocessing of a preset, of numbers, or of both: what is given by itself goes before the preset.

    Parameters
    ----------
    mean, std
        Numbers per channel, of pixels in 0..1, or the name of a preset.

    Raises
    ------
    UsageError
        mean or std are missing, no numbers, or name different data sets.
    """
    named = [find_preset(given) for given in (mean, std) if isinstance(given, str)]
    if len({each.dataset for each in named}) > 1:
        raise UsageError(f"mean and std name different data sets: {', '.join(each.dataset for each in named)}")
    usual = find_preset(preset) if preset is not None else named[0] if named else None
    return Preprocessing(mean=_numbers("mean", mean, usual), std=_numbers("std", std, usual), usual=usual)


def _numbers(
    key: Literal["mean", "std"], given: str | Sequence[float] | None, usual: Preset | None
) -> tuple[float, ...]:
    source = find_preset(given) if isinstance(given, str) else usual
    if given is None or isinstance(given, str):
        if source is None:
            raise UsageError(
                f"{key} is missing: preprocessing is not in a checkpoint, and without the right one accuracy is lost "
                f"in silence; give mean and std, or preset ({', '.join(PRESETS)})"
            )
        return source.mean if key == "mean" else source.std
    try:
        numbers = tuple(map(float, given))
    except (TypeError, ValueError):
        raise UsageError(f"{key} must be numbers, one per channel, or the name of a preset, got {given!r}") from None
    if not all(map(math.isfinite, numbers)):
        raise UsageError(f"{key}: the numbers must be finite, got {given!r}")
    return numbers


def describe(name: str) -> str:
    """One line for --help."""
    preset = PRESETS[name]
    mean, std = (",".join(f"{value:.4g}" for value in values) for values in (preset.mean, preset.std))
    return f"{name}: mean {mean} std {std}, {preset.shape[1]}x{preset.shape[2]}"

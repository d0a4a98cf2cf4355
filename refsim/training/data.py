"""Training data: raw uint8 images as tensors, one fixed validation split, the preprocessing of the data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from refsim.exceptions import DataError, UsageError
from refsim.formats.images.datasets import ImageData, open_data
from refsim.importers.presets import PRESETS

# Where the Debian package dataset-fashion-mnist puts its files.
FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")
N_SAMPLES = 500


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Raw images and their labels."""

    images: Tensor  # uint8 (N, C, H, W)
    labels: Tensor  # int64 (N,)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor) -> Split:
        """The images at `rows`, in that order."""
        return Split(images=self.images[rows], labels=self.labels[rows])


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """A data set with its preprocessing: x = (raw / 255 - mean) / std, per channel.

    `samples` are the class-balanced test images that travel inside a weight file; `classes` may be empty.
    """

    name: str
    n_classes: int
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train: Split
    validation: Split
    test: Split
    samples: Split

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def normalise(self, images: Tensor) -> Tensor:
        """The input current of the first layer, float32 (B, C, H, W)."""
        mean = torch.tensor(self.mean).reshape(-1, 1, 1)
        std = torch.tensor(self.std).reshape(-1, 1, 1)
        return (images.to(torch.float32) / 255 - mean) / std


def load_data(name: str, *, path: Path | None = None, n_validation: int = 5000, size: int | None = None) -> Data:
    """Load a data set and hold back a validation split of its training set.

    The test set is never used to choose anything; it is scored once, after training.

    Parameters
    ----------
    name
        A preset of `refsim convert`: preprocessing and class names.
    path
        Anything `refsim run --data` reads that has a training and a test split, of raw images.
    size
        Put black around the images, before any normalisation, until they are `size` x `size`.

    Raises
    ------
    DataError
        Data that cannot be read, without labels, or already normalised.
    UsageError
        An unknown preset, or no path where there is no usual one.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown data set {name!r}: expected one of {', '.join(PRESETS)}")
    if path is None:
        if name != "fashion-mnist":
            raise UsageError(f"--data {name}: say where the images are with --data-path")
        path = FASHION_MNIST_FOLDER
        if not path.is_dir():
            raise UsageError(f"no {path} (Debian package dataset-fashion-mnist); give the IDX files with --data-path")
    preset = PRESETS[name]
    train, test = (
        open_data(path, split=part, pad_to=(size, size) if size else None, classes=preset.classes)
        for part in ("train", "test")
    )
    whole, test_split = _tensors(train), _tensors(test)
    held_out, trained_on = _balanced_split(whole.labels, n_validation)
    _, per_class = torch.unique(test_split.labels, return_counts=True)
    n_samples = min(N_SAMPLES, int(per_class.min()) * len(per_class))
    return Data(
        name=preset.dataset,
        n_classes=len(preset.classes) or int(whole.labels.max()) + 1,
        classes=preset.classes,
        mean=preset.mean,
        std=preset.std,
        train=whole.take(trained_on),
        validation=whole.take(held_out),
        test=test_split,
        samples=test_split.take(torch.from_numpy(test.balanced(n_samples))),
    )


def _tensors(data: ImageData) -> Split:
    if not data.images.is_raw:
        raise DataError(f"{data.name}: training needs raw uint8 images, not input currents")
    if data.labels is None:
        raise DataError(f"{data.name}: no labels to train with")
    images = torch.from_numpy(np.array(data.images[np.arange(len(data))]))
    return Split(images=images.permute(0, 3, 1, 2).contiguous(), labels=torch.from_numpy(data.labels))


def _balanced_split(labels: Tensor, n_validation: int) -> tuple[Tensor, Tensor]:
    """Rows to validate on, class-balanced, and rows to train on: the same for every seed and every run."""
    generator = torch.Generator().manual_seed(0)
    shuffled = torch.randperm(len(labels), generator=generator)
    classes = int(labels.max()) + 1
    rank = torch.empty_like(labels)  # of each row among the rows of its own class, in shuffled order
    for label in range(classes):
        rows = shuffled[labels[shuffled] == label]
        rank[rows] = torch.arange(len(rows))
    held_out = rank < n_validation // classes
    return torch.nonzero(held_out)[:, 0], torch.nonzero(~held_out)[:, 0]

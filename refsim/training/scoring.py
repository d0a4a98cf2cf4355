"""Accuracy of the ANN and of the converted network on a split, as the training loop watches it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from refsim.training.data import Data, Split
from refsim.training.snn import evaluating, simulate

EVALUATION_BATCH = 250
SIMULATION_BATCH = 50


def ann_accuracy(model: nn.Module, data: Data, split: Split) -> float:
    """Percent of `split` the ANN gets right, in float32 and eval mode."""
    right = 0
    with evaluating(model):
        for x, labels in batches(data, split, EVALUATION_BATCH):
            right += int((model(x).argmax(1) == labels).sum())
    return 100 * right / len(split)


def snn_accuracy(model: nn.Module, data: Data, split: Split, T: int, theta_neg: float = -math.inf) -> dict[int, float]:
    """Percent of `split` the converted network gets right after t = 1, 2, 4, ... and T steps."""
    right = torch.zeros(T, dtype=torch.int64)
    for x, labels in batches(data, split, SIMULATION_BATCH):
        right += (simulate(model, x, T, theta_neg=theta_neg).logits.argmax(2) == labels).sum(1)
    shown = {1 << k for k in range(T.bit_length())} | {T}
    return {t: 100 * int(right[t - 1]) / len(split) for t in sorted(shown)}


def batches(data: Data, split: Split, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised images and labels, in order."""
    for start in range(0, len(split), size):
        rows = slice(start, start + size)
        yield data.normalise(split.images[rows]), split.labels[rows]


def watched(split: Split, n: int) -> Split:
    """An evenly strided part of `split`."""
    n = min(n, len(split))
    return split.take(torch.arange(n) * len(split) // n)

"""What a projection reads of its source: pooled or not, flattened or not, as lists of events."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.engine.events import WORD, Digits, Events, SpikeTrain
from refsim.engine.kernels.digits import count_numbers, count_ops, flatten_mask, sum_windows
from refsim.engine.kernels.lists import count_digits, count_values, list_classes, list_numbers, list_values
from refsim.engine.kernels.rows import STRIDE
from refsim.engine.wiring import Port
from refsim.model import AvgPool2d

Array = NDArray[Any]
Counts = NDArray[np.int64]


def digits_of(train: SpikeTrain, pool: AvgPool2d | None) -> Digits:
    """The signed numbers of spikes that arrive: of one neuron, or of a pool window."""
    positive, negative = train
    if pool is None:
        return Digits((positive | negative if len(negative) else positive)[None], negative)
    n_images, h, w, T, n_words = positive.shape
    out_h, out_w = ((n - k) // s + 1 for n, k, s in zip((h, w), pool.kernel, pool.stride))
    magnitude = np.zeros((prod(pool.kernel).bit_length(), n_images, out_h, out_w, T, n_words), dtype=np.uint64)
    minus = np.zeros((len(negative), out_h, out_w, T, n_words), dtype=np.uint64)
    sum_windows(train, pool.kernel, pool.stride, np.zeros(len(magnitude), dtype=np.uint64), magnitude, minus)
    return Digits(magnitude, minus)


def flattened(digits: Digits, n_channels: int) -> Digits:
    """The same numbers as one vector, row-major over (C, H, W)."""

    def flat(mask: NDArray[np.uint64]) -> NDArray[np.uint64]:
        n_images, h, w, T, _ = mask.shape
        bits = np.zeros((n_images, 1, 1, T, -(-n_channels * h * w // WORD)), dtype=np.uint64)
        flatten_mask(mask, bits)
        return bits

    return Digits(np.stack([flat(mask) for mask in digits.magnitude]), flat(digits.negative))


def amplitudes_of(digits: Digits, n_channels: int, psp: Array, window_size: int, ones: bool) -> Events:
    """List what arrives as postsynaptic potentials; `ones`: they are all 1, and left out."""
    _, *positions = digits.magnitude.shape[:-1]
    start = np.zeros(prod(positions) + 1, dtype=np.int64)
    count_values(digits.magnitude, start)
    room = int(start[-1]) + STRIDE
    events = Events(start, np.empty(room, dtype=np.int32), np.empty(0 if ones else room, dtype=psp.dtype))
    list_values(*digits, n_channels, psp, window_size, events.entry, events.amplitude)
    return events


def classes_of(digits: Digits, n_channels: int) -> Events:
    """List what arrives digit by digit, for sums of integers (`lists.list_classes`)."""
    n_digits, *positions = digits.magnitude.shape[:-1]
    classes = n_digits * (2 if len(digits.negative) else 1)
    start = np.zeros(prod(positions) * classes + 1, dtype=np.int64)
    entry = np.empty(count_digits(digits.magnitude) + STRIDE, dtype=np.int32)
    list_classes(*digits, n_channels, start, entry)
    return Events(start, entry, np.empty(0))


def numbers_of(values: Array, port: Port) -> Events:
    """List the nonzero entries of an image or of ANN activations, (B, H, W, C), as the port asks for them."""
    values = pooled(values, port.pool)
    if port.flatten:
        values = np.moveaxis(values, 3, 1).reshape(len(values), 1, 1, -1)
    return _listed(values)


def sized_windows_of(train: SpikeTrain, port: Port, theta: Array, n_channels: int) -> Events:
    """List window means of s * theta where neurons of one channel differ in theta; theta : (H * W, C)."""
    spikes = train.dense(n_channels)
    T, n_images, _, h, w = spikes.shape
    sized = np.moveaxis(spikes, 2, 4).astype(theta.dtype) * theta.reshape(h, w, n_channels)
    values = pooled(sized.reshape(T * n_images, h, w, n_channels), port.pool)
    values = values.reshape(T, n_images, *values.shape[1:])
    if port.flatten:
        values = np.moveaxis(values, 4, 2).reshape(T, n_images, 1, 1, -1)
    by_row = np.ascontiguousarray(np.moveaxis(values, 0, 2))
    return _listed(by_row.reshape(n_images, -1, *by_row.shape[3:]))


def _listed(values: Array) -> Events:
    values = np.ascontiguousarray(values)
    n = int(np.count_nonzero(values)) + STRIDE
    start = np.zeros(prod(values.shape[:3]) + 1, dtype=np.int64)
    events = Events(start, np.empty(n, dtype=np.int32), np.empty(n, dtype=values.dtype))
    list_numbers(values, *events)
    return events


def pooled(values: Array, pool: AvgPool2d | None) -> Array:
    """Mean over windows of (B, H, W, C), added up in the order of `reference.synapses.sum_pool2d`."""
    if pool is None:
        return values
    out_h = (values.shape[1] - pool.kernel[0]) // pool.stride[0] + 1
    out_w = (values.shape[2] - pool.kernel[1]) // pool.stride[1] + 1
    total = np.zeros((len(values), out_h, out_w, values.shape[3]), dtype=values.dtype)
    for i in range(pool.kernel[0]):
        for j in range(pool.kernel[1]):
            rows = i + pool.stride[0] * np.arange(out_h)
            columns = j + pool.stride[1] * np.arange(out_w)
            total += values[:, rows[:, None], columns]
    return np.asarray(total / values.dtype.type(prod(pool.kernel)))


def counted(digits: Digits) -> Counts:
    """How many numbers are positive, and negative (if any can be), at each position and step, (1 or 2, B, H, W, T)."""
    counts = np.zeros((2 if len(digits.negative) else 1, *digits.magnitude.shape[1:-1]), dtype=np.int64)
    count_numbers(*digits, counts)
    return counts


def weigh(digits: Digits, counts: Counts, fan_out: Counts) -> Counts:
    """How many numbers are positive, and negative, each counted with its fan-out (H, W, 1 or C): (2, T, B) int64."""
    _, n_images, _, _, T, _ = digits.magnitude.shape
    ops = np.zeros((2, n_images, T), dtype=np.int64)
    if fan_out.shape[2] == 1:
        ops[: len(counts)] = fan_out.reshape(-1) @ counts.reshape(len(counts), n_images, -1, T)
    else:
        count_ops(*digits, fan_out, ops)
    return np.moveaxis(ops, 1, 2)

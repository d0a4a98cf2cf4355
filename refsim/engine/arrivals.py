"""What a projection reads of its source: pooled or not, flattened or not, as lists of events."""

from __future__ import annotations

from math import prod
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.engine.events import WORD, Digits, Events, SpikeTrain
from refsim.engine.fanout import window_of
from refsim.engine.kernels.digits import count_numbers, count_ops, flatten_mask, sum_windows
from refsim.engine.kernels.lists import count_digits, count_values, list_classes, list_numbers, list_values
from refsim.engine.kernels.maxima import follow_maxima, largest_spikes
from refsim.engine.kernels.rows import STRIDE
from refsim.engine.wiring import Port
from refsim.model import AvgPool2d, MaxPool2d, Pool

Array = NDArray[Any]
Counts = NDArray[np.int64]


def digits_of(train: SpikeTrain, pool: Pool | None) -> Digits:
    """The signed numbers of spikes that arrive: of one neuron, or of a pool window."""
    match pool:
        case None:
            positive, negative = train
            return Digits((positive | negative if len(negative) else positive)[None], negative)
        case MaxPool2d():
            return digits_of(maxima_of(train, pool), None)
        case AvgPool2d():
            return _window_sums(train, pool)
        case _:
            assert_never(pool)


def _window_sums(train: SpikeTrain, pool: AvgPool2d) -> Digits:
    positive, negative = train
    n_images, h, w, T, n_words = positive.shape
    out_h, out_w = ((n - k) // s + 1 for n, k, s in zip((h, w), pool.kernel, pool.stride))
    magnitude = np.zeros((prod(pool.kernel).bit_length(), n_images, out_h, out_w, T, n_words), dtype=np.uint64)
    minus = np.zeros((len(negative), out_h, out_w, T, n_words), dtype=np.uint64)
    sum_windows(train, pool.kernel, pool.stride, np.zeros(len(magnitude), dtype=np.uint64), magnitude, minus)
    return Digits(magnitude, minus)


def maxima_of(train: SpikeTrain, pool: MaxPool2d) -> SpikeTrain:
    """The spikes that go on behind a max pool."""
    n_images, h, w, T, n_words = train.positive.shape
    _, out_h, out_w = pool.output_shape(((1, h, w),))
    rows = _windows([window_of(pool, 0, y, h) for y in range(out_h)])
    columns = _windows([window_of(pool, 1, x, w) for x in range(out_w)])
    positive = np.zeros((n_images, out_h, out_w, T, n_words), dtype=np.uint64)
    negative = np.zeros((len(train.negative), *positive.shape[1:]), dtype=np.uint64)
    match pool.mode:
        case "cumulative":
            # Counts lie within -T .. T; one digit more for the sign.
            room = (int(rows[:, 1].max() * columns[:, 1].max()), (2 * T).bit_length() + 1)
            follow_maxima(train, rows, columns, np.zeros(room, dtype=np.uint64), positive, negative)
        case "or":
            largest_spikes(train, rows, columns, positive, negative)
        case _:
            assert_never(pool.mode)
    return SpikeTrain(positive, negative)


def _windows(slices: list[slice]) -> Counts:
    """(n, 3), the first position of each, how many, and their distance."""
    return np.array([(each.start, len(range(each.start, each.stop, each.step)), each.step) for each in slices])


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


def pooled(values: Array, pool: Pool | None) -> Array:
    """Mean or maximum over windows of (B, H, W, C); means in the order of `reference.synapses.sum_pool2d`."""
    match pool:
        case None:
            return values
        case MaxPool2d():
            _, h, w, _ = values.shape
            _, out_h, out_w = pool.output_shape(((1, h, w),))
            rows = [values[:, window_of(pool, 0, y, h)].max(axis=1) for y in range(out_h)]
            values = np.stack(rows, axis=1)
            return np.stack([values[:, :, window_of(pool, 1, x, w)].max(axis=2) for x in range(out_w)], axis=2)
        case AvgPool2d():
            return _means(values, pool)
        case _:
            assert_never(pool)


def _means(values: Array, pool: AvgPool2d) -> Array:
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

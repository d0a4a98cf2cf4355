"""From bit planes, and from planes of numbers, to lists of events."""

from __future__ import annotations

import numpy as np

from refsim.events import WORD
from refsim.kernels.bits import lowest_bit, popcount
from refsim.kernels.compiling import light_kernel
from refsim.kernels.planes import nonzero_bits, value_at


@light_kernel
def count_values(magnitude, start):  # type: ignore[no-untyped-def]
    """start[i + 1] = number of nonzero values in lists 0 .. i; start : (B * H * W * T + 1,) int64."""
    _, n_images, height, width, T, n_words = magnitude.shape
    i = 0
    start[0] = 0
    for b in range(n_images):
        for y in range(height):
            for x in range(width):
                for t in range(T):
                    n = 0
                    for word in range(n_words):
                        n += popcount(nonzero_bits(magnitude, b, y, x, t, word))
                    start[i + 1] = start[i] + n
                    i += 1


@light_kernel
def list_values(magnitude, negative, worth, cells, channel, amplitude):  # type: ignore[no-untyped-def]
    """List nonzero values as amplitudes value * worth / cells, channels ascending; as `Events` wants them.

    worth : (1 or H * W, C), what one spike is worth; cells : of a pool window, or 1. Writes channel, and amplitude
    unless it has no room: then only channels are wanted.
    """
    _, n_images, height, width, T, n_words = magnitude.shape
    number = worth.dtype.type  # an integer times a float32 would be a float64, and rounded once instead of twice
    divisor = number(cells)
    wanted = len(amplitude) > 0
    n = 0
    for b in range(n_images):
        for y in range(height):
            for x in range(width):
                row = y * width + x if len(worth) > 1 else 0
                for t in range(T):
                    for word in range(n_words):
                        bits = nonzero_bits(magnitude, b, y, x, t, word)
                        while bits != np.uint64(0):
                            bit = lowest_bit(bits)
                            bits &= bits - np.uint64(1)
                            c = word * WORD + bit
                            channel[n] = c
                            if wanted:
                                value = value_at(magnitude, negative, b, y, x, t, word, np.uint64(bit))
                                amplitude[n] = number(value) * worth[row, c] / divisor
                            n += 1


@light_kernel
def list_classes(magnitude, negative, start, channel):  # type: ignore[no-untyped-def]
    """List the channels of each plane, those of negative values apart: K classes, or with signs 2 K, by turns + and -.

    start : (B * H * W * T * classes + 1,) int64; writes start and channel, whose room count_digits tells
    """
    n_planes, n_images, height, width, T, n_words = magnitude.shape
    signed = len(negative) > 0
    n = 0
    i = 0
    start[0] = 0
    for b in range(n_images):
        for y in range(height):
            for x in range(width):
                for t in range(T):
                    for k in range(n_planes):
                        for sign in range(2 if signed else 1):
                            for word in range(n_words):
                                bits = magnitude[k, b, y, x, t, word]
                                if signed:
                                    minus = negative[b, y, x, t, word]
                                    bits &= minus if sign == 1 else ~minus
                                while bits != np.uint64(0):
                                    channel[n] = word * WORD + lowest_bit(bits)
                                    n += 1
                                    bits &= bits - np.uint64(1)
                            i += 1
                            start[i] = n


@light_kernel
def count_digits(magnitude):  # type: ignore[no-untyped-def]
    """Number of bits set in all planes."""
    n = 0
    for word in magnitude.flat:
        n += popcount(word)
    return n


@light_kernel
def list_numbers(values, start, channel, amplitude):  # type: ignore[no-untyped-def]
    """List the nonzero entries of an image or an ANN layer, (B, H, W, C). Writes start, channel, amplitude."""
    n_images, height, width, n_channels = values.shape
    n = 0
    i = 0
    start[0] = 0
    for b in range(n_images):
        for y in range(height):
            for x in range(width):
                for c in range(n_channels):
                    if values[b, y, x, c] != 0:
                        channel[n] = c
                        amplitude[n] = values[b, y, x, c]
                        n += 1
                i += 1
                start[i] = n

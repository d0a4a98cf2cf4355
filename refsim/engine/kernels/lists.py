"""From binary digits, and from grids of numbers, to lists of events.

A list is a position's events at one step (of one class). The lists of a row of positions follow each other, so that
what a row of a kernel reads is one stretch; an entry is x * C + c, the number of the neuron within that row.
"""

from __future__ import annotations

import numpy as np

from refsim.engine.events import WORD
from refsim.engine.kernels.bits import list_bits, popcount
from refsim.engine.kernels.compiling import kernel
from refsim.engine.kernels.digits import nonzero_bits, value_at


@kernel
def count_values(magnitude, start):  # type: ignore[no-untyped-def]
    """start[i + 1] = number of nonzero values in lists 0 .. i; start : (B * H * T * W + 1,) int64."""
    _, n_images, height, width, T, n_words = magnitude.shape
    i = 0
    start[0] = 0
    for b in range(n_images):
        for y in range(height):
            for t in range(T):
                for x in range(width):
                    n = 0
                    for word in range(n_words):
                        n += popcount(nonzero_bits(magnitude, b, y, x, t, word))
                    start[i + 1] = start[i] + n
                    i += 1


@kernel
def list_values(magnitude, negative, n_channels, psp, window_size, entry, amplitude):  # type: ignore[no-untyped-def]
    """List nonzero values as amplitudes value * psp / window_size, channels ascending; as `Events` wants them.

    psp : (1 or H * W, C), of one spike; window_size : of a pool, or 1. Writes entry, and amplitude
    unless it has no room: then only indices are wanted.
    """
    _, n_images, height, width, T, n_words = magnitude.shape
    number = psp.dtype.type  # an integer times a float32 would be a float64, and rounded once instead of twice
    divisor = number(window_size)
    wanted = len(amplitude) > 0
    n = 0
    for b in range(n_images):
        for y in range(height):
            for t in range(T):
                for x in range(width):
                    row = y * width + x if len(psp) > 1 else 0
                    for word in range(n_words):
                        bits = nonzero_bits(magnitude, b, y, x, t, word)
                        begin = n
                        n = list_bits(bits, x * n_channels + word * WORD, entry, n)
                        if wanted:
                            for i in range(begin, n):
                                c = entry[i] - x * n_channels
                                bit = np.uint64(c - word * WORD)
                                value = value_at(magnitude, negative, b, y, x, t, word, bit)
                                amplitude[i] = number(value) * psp[row, c] / divisor


@kernel
def list_classes(magnitude, negative, n_channels, start, entry):  # type: ignore[no-untyped-def]
    """List the channels of each digit, those of negative values apart: K classes, or with signs 2 K, by turns + and -.

    start : (B * H * T * classes * W + 1,) int64; writes start and entry, whose room count_digits tells
    """
    n_digits, n_images, height, width, T, n_words = magnitude.shape
    signed = len(negative) > 0
    n = 0
    i = 0
    start[0] = 0
    for b in range(n_images):
        for y in range(height):
            for t in range(T):
                for k in range(n_digits):
                    for sign in range(2 if signed else 1):
                        for x in range(width):
                            for word in range(n_words):
                                bits = magnitude[k, b, y, x, t, word]
                                if signed:
                                    minus = negative[b, y, x, t, word]
                                    bits &= minus if sign == 1 else ~minus
                                n = list_bits(bits, x * n_channels + word * WORD, entry, n)
                            i += 1
                            start[i] = n


@kernel
def count_digits(magnitude):  # type: ignore[no-untyped-def]
    """Number of bits set in all digits."""
    n = 0
    for word in magnitude.flat:
        n += popcount(word)
    return n


@kernel
def list_numbers(values, start, entry, amplitude):  # type: ignore[no-untyped-def]
    """List the nonzero entries of an image or an ANN layer, (B, H, W, C). Writes start, entry, amplitude."""
    n_images, height, width, n_channels = values.shape
    n = 0
    i = 0
    start[0] = 0
    for b in range(n_images):
        for y in range(height):
            for x in range(width):
                for c in range(n_channels):
                    if values[b, y, x, c] != 0:
                        entry[n] = x * n_channels + c
                        amplitude[n] = values[b, y, x, c]
                        n += 1
                i += 1
                start[i] = n

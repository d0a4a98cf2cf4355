"""Signed whole numbers of 64 channels at once, as binary digits: what a projection reads from its source.

The value of a channel is the number whose binary digits its bits in the masks are, with a minus where its bit in
`negative` is set. A spike is the value 1 or -1, in one digit; a pool's signed window sum needs as many digits as
the window size has. Arithmetic on digits of 64 channels is arithmetic on single bits, carries included.
"""

from __future__ import annotations

import numpy as np

from refsim.engine.events import WORD
from refsim.engine.kernels.bits import lowest_bit, popcount
from refsim.engine.kernels.compiling import inlined, kernel


@kernel
def sum_windows(spikes, kernel, stride, digits, magnitude, negative):  # type: ignore[no-untyped-def]
    """Signed window sums of the spikes (semantics 1.4).

    spikes : (positive, negative) masks as in `SpikeTrain`; magnitude : (K, B, H', W', T, words), negative :
    (B, ...) or B = 0 where no spike is negative; written; digits : (K,) uint64, room to work in
    """
    positive, minus = spikes
    n_digits, n_images, height, width, T, n_words = magnitude.shape
    signed = len(negative) > 0
    for b in range(n_images):
        for y in range(height):
            for x in range(width):
                for t in range(T):
                    for word in range(n_words):
                        for k in range(n_digits):
                            digits[k] = 0
                        sign = np.uint64(0)
                        for i in range(kernel[0]):
                            for j in range(kernel[1]):
                                carry = positive[b, y * stride[0] + i, x * stride[1] + j, t, word]
                                for k in range(n_digits):
                                    digit = digits[k]
                                    digits[k] = digit ^ carry
                                    carry &= digit
                                sign ^= carry
                                if signed:
                                    borrow = minus[b, y * stride[0] + i, x * stride[1] + j, t, word]
                                    for k in range(n_digits):
                                        digit = digits[k]
                                        digits[k] = digit ^ borrow
                                        borrow &= ~digit
                                    sign ^= borrow
                        # Two's complement to sign and magnitude: where negative, invert the digits and add one.
                        carry = sign
                        for k in range(n_digits):
                            digit = digits[k] ^ sign
                            magnitude[k, b, y, x, t, word] = digit ^ carry
                            carry &= digit
                        if signed:
                            negative[b, y, x, t, word] = sign


@kernel
def flatten_mask(mask, flat):  # type: ignore[no-untyped-def]
    """(B, H, W, T, words) to (B, 1, 1, T, words'): channel c of position p is bit c * H * W + p. Sets bits of flat."""
    n_images, height, width, T, n_words = mask.shape
    n_positions = height * width
    for b in range(n_images):
        for p in range(n_positions):
            for t in range(T):
                for word in range(n_words):
                    bits = mask[b, p // width, p % width, t, word]
                    while bits != np.uint64(0):
                        index = (word * WORD + lowest_bit(bits)) * n_positions + p
                        flat[b, 0, 0, t, index // WORD] |= np.uint64(1) << np.uint64(index % WORD)
                        bits &= bits - np.uint64(1)


@inlined
def nonzero_bits(magnitude, b, y, x, t, word):  # type: ignore[no-untyped-def]
    """Channels of one word whose value is not 0."""
    some = magnitude[0, b, y, x, t, word]
    for k in range(1, len(magnitude)):
        some |= magnitude[k, b, y, x, t, word]
    return some


@inlined
def value_at(magnitude, negative, b, y, x, t, word, bit):  # type: ignore[no-untyped-def]
    """Value of the channel at one bit of one word."""
    value = np.int64(0)
    for k in range(len(magnitude)):
        value += np.int64((magnitude[k, b, y, x, t, word] >> bit) & np.uint64(1)) << k
    if len(negative) > 0 and (negative[b, y, x, t, word] >> bit) & np.uint64(1):
        return -value
    return value


@kernel
def count_numbers(magnitude, negative, counts):  # type: ignore[no-untyped-def]
    """Positive, and if there are any negative, values of each position and step.

    counts : (1 or 2, B, H, W, T) int64, zero on entry; written
    """
    _, n_images, height, width, T, n_words = magnitude.shape
    signed = len(negative) > 0
    for b in range(n_images):
        for y in range(height):
            for x in range(width):
                for t in range(T):
                    for word in range(n_words):
                        bits = nonzero_bits(magnitude, b, y, x, t, word)
                        counts[0, b, y, x, t] += popcount(bits)
                        if signed:
                            n_minus = popcount(bits & negative[b, y, x, t, word])
                            counts[0, b, y, x, t] -= n_minus
                            counts[1, b, y, x, t] += n_minus


@kernel
def count_ops(magnitude, negative, fan_out, ops):  # type: ignore[no-untyped-def]
    """Deliveries of nonzero values, each weighed with its own fan-out (semantics 7 C1-C3).

    fan_out : (H, W, C) int64; ops : (2, B, T) int64, of positive and of negative values; added to
    """
    _, n_images, height, width, T, n_words = magnitude.shape
    signed = len(negative) > 0
    for b in range(n_images):
        for y in range(height):
            for x in range(width):
                for t in range(T):
                    for word in range(n_words):
                        bits = nonzero_bits(magnitude, b, y, x, t, word)
                        minus = negative[b, y, x, t, word] if signed else np.uint64(0)
                        while bits != np.uint64(0):
                            bit = lowest_bit(bits)
                            sign = np.int64((minus >> np.uint64(bit)) & np.uint64(1))
                            ops[sign, b, t] += fan_out[y, x, word * WORD + bit]
                            bits &= bits - np.uint64(1)

"""From masks and planes to lists of events."""

from __future__ import annotations

import numpy as np
from numba import njit

from refsim.events import WORD


@njit(cache=True, nogil=True)
def popcount(word):  # type: ignore[no-untyped-def]
    """Number of bits set in a uint64."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True)
def lowest_bit(word):  # type: ignore[no-untyped-def]
    """Index of the lowest bit set in a nonzero uint64."""
    return popcount((word & (~word + np.uint64(1))) - np.uint64(1))


@njit(cache=True, nogil=True)
def count_spikes(positive, negative, start):  # type: ignore[no-untyped-def]
    """start[i + 1] = number of spikes in lists 0 .. i; start : (B * H * W * T + 1,) int64."""
    n_images, height, width, T, n_words = positive.shape
    dual = len(negative) > 0
    i = 0
    start[0] = 0
    for b in range(n_images):
        for y in range(height):
            for x in range(width):
                for t in range(T):
                    n = 0
                    for word in range(n_words):
                        n += popcount(positive[b, y, x, t, word])
                        if dual:
                            n += popcount(negative[b, y, x, t, word])
                    start[i + 1] = start[i] + n
                    i += 1


@njit(cache=True, nogil=True)
def list_spikes(positive, negative, theta, channel, amplitude):  # type: ignore[no-untyped-def]
    """List the spikes with amplitude s * theta; theta : (1 or H * W, C). Writes channel, amplitude."""
    n_images, height, width, T, n_words = positive.shape
    dual = len(negative) > 0
    n = 0
    for b in range(n_images):
        for y in range(height):
            for x in range(width):
                row = y * width + x if len(theta) > 1 else 0
                for t in range(T):
                    for word in range(n_words):
                        up = positive[b, y, x, t, word]
                        both = up
                        if dual:
                            both = up | negative[b, y, x, t, word]
                        while both != np.uint64(0):
                            k = lowest_bit(both)
                            c = word * WORD + k
                            channel[n] = c
                            if (up >> np.uint64(k)) & np.uint64(1):
                                amplitude[n] = theta[row, c]
                            else:
                                amplitude[n] = -theta[row, c]
                            n += 1
                            both &= both - np.uint64(1)


@njit(cache=True, nogil=True)
def window_mask(positive, negative, b, y, x, t, word, kernel, stride):  # type: ignore[no-untyped-def]
    """Channels of one mask word that spike, with either sign, anywhere in window (y, x)."""
    some = np.uint64(0)
    for j in range(kernel[0] * kernel[1]):
        source_y = y * stride[0] + j // kernel[1]
        source_x = x * stride[1] + j % kernel[1]
        some |= positive[b, source_y, source_x, t, word]
        if len(negative) > 0:
            some |= negative[b, source_y, source_x, t, word]
    return some


@njit(cache=True, nogil=True)
def signed_bit(positive, negative, b, y, x, t, word, shift):  # type: ignore[no-untyped-def]
    """The spike, -1, 0 or 1, of one neuron at one step."""
    s = np.int64((positive[b, y, x, t, word] >> shift) & np.uint64(1))
    if len(negative) > 0:
        s -= np.int64((negative[b, y, x, t, word] >> shift) & np.uint64(1))
    return s


@njit(cache=True, nogil=True)
def list_pooled_spikes(positive, negative, theta, kernel, stride, plane, start, channel, amplitude):  # type: ignore[no-untyped-def]
    """List the nonzero pooled values (semantics 1.4); plane : (H', W') behind the pool.

    Where all positions share theta, (1, C), the value is c theta / k^2 with c the signed window sum; else it is
    the mean of s * theta. Writes start, channel, amplitude as in `Events`.
    """
    n_images, _, width, T, n_words = positive.shape
    cells = kernel[0] * kernel[1]
    number = theta.dtype.type  # an integer times a float32 would be a float64, and rounded once instead of twice
    shared = len(theta) == 1
    n = 0
    i = 0
    start[0] = 0
    for b in range(n_images):
        for y in range(plane[0]):
            for x in range(plane[1]):
                for t in range(T):
                    for word in range(n_words):
                        some = window_mask(positive, negative, b, y, x, t, word, kernel, stride)
                        while some != np.uint64(0):
                            k = lowest_bit(some)
                            some &= some - np.uint64(1)
                            c = word * WORD + k
                            count = 0
                            value = number(0)
                            for j in range(cells):
                                source_y = y * stride[0] + j // kernel[1]
                                source_x = x * stride[1] + j % kernel[1]
                                s = signed_bit(positive, negative, b, source_y, source_x, t, word, np.uint64(k))
                                count += s
                                if not shared:
                                    value += number(s) * theta[source_y * width + source_x, c]
                            if shared:
                                value = number(count) * theta[0, c]
                            if value != 0:
                                channel[n] = c
                                amplitude[n] = value / number(cells)
                                n += 1
                    i += 1
                    start[i] = n


@njit(cache=True, nogil=True)
def count_pooled_ops(positive, negative, kernel, stride, plane, fan_out, ops):  # type: ignore[no-untyped-def]
    """Synaptic operations of nonzero signed window sums (semantics 7 C3).

    fan_out : (H', W', 1 or C) int64; ops : (2, B, T) int64, of positive and of negative sums; added to
    """
    n_images, _, _, T, n_words = positive.shape
    last = fan_out.shape[2] - 1
    for b in range(n_images):
        for y in range(plane[0]):
            for x in range(plane[1]):
                for t in range(T):
                    for word in range(n_words):
                        some = window_mask(positive, negative, b, y, x, t, word, kernel, stride)
                        while some != np.uint64(0):
                            k = lowest_bit(some)
                            some &= some - np.uint64(1)
                            count = 0
                            for j in range(kernel[0] * kernel[1]):
                                source_y = y * stride[0] + j // kernel[1]
                                source_x = x * stride[1] + j % kernel[1]
                                count += signed_bit(positive, negative, b, source_y, source_x, t, word, np.uint64(k))
                            if count != 0:
                                ops[0 if count > 0 else 1, b, t] += fan_out[y, x, min(word * WORD + k, last)]


@njit(cache=True, nogil=True)
def list_values(values, start, channel, amplitude):  # type: ignore[no-untyped-def]
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


@njit(cache=True, nogil=True)
def flatten_lists(n_images, n_positions, n_channels, T, lists, start, channel, amplitude):  # type: ignore[no-untyped-def]
    """Lists of a plane to lists of a vector: source index c * H * W + position, ascending.

    lists : (start, channel, amplitude) of the plane; writes those of the vector, start : (B * T + 1,)
    """
    old_start, old_channel, old_amplitude = lists
    place = np.empty(n_channels + 1, np.int64)
    start[0] = 0
    for b in range(n_images):
        for t in range(T):
            place[:] = 0
            for position in range(n_positions):
                cell = (b * n_positions + position) * T + t
                for event in range(old_start[cell], old_start[cell + 1]):
                    place[old_channel[event] + 1] += 1
            place[0] = start[b * T + t]
            for c in range(n_channels):
                place[c + 1] += place[c]
            start[b * T + t + 1] = place[n_channels]
            for position in range(n_positions):
                cell = (b * n_positions + position) * T + t
                for event in range(old_start[cell], old_start[cell + 1]):
                    c = old_channel[event]
                    channel[place[c]] = c * n_positions + position
                    amplitude[place[c]] = old_amplitude[event]
                    place[c] += 1


@njit(cache=True, nogil=True)
def count_ops(mask, fan_out, ops):  # type: ignore[no-untyped-def]
    """Synaptic operations of the spikes in a mask (B, H, W, T, words): each weighs its position's fan-out.

    fan_out : (H, W, 1 or C) int64; ops : (B, T) int64; added to
    """
    n_images, height, width, T, n_words = mask.shape
    per_channel = fan_out.shape[2] > 1
    for b in range(n_images):
        for y in range(height):
            for x in range(width):
                for t in range(T):
                    for word in range(n_words):
                        bits = mask[b, y, x, t, word]
                        if not per_channel:
                            ops[b, t] += popcount(bits) * fan_out[y, x, 0]
                            continue
                        while bits != np.uint64(0):
                            ops[b, t] += fan_out[y, x, word * WORD + lowest_bit(bits)]
                            bits &= bits - np.uint64(1)

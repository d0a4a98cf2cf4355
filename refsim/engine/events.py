"""What travels between populations: spikes as bit masks, values as binary digits, and lists of events."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

WORD = 64
"""Channels in one mask word."""


class SpikeTrain(NamedTuple):
    """The spikes of one population over all T steps, one bit each: channel c is bit c % 64 of word c // 64.

    positive, negative : (B, H, W, T, ceil(C / 64)) uint64; `negative` has B = 0 where no neuron can fire one
    """

    positive: NDArray[np.uint64]
    negative: NDArray[np.uint64]

    @classmethod
    def empty(cls, n_images: int, shape: tuple[int, int, int], T: int, dual: bool) -> SpikeTrain:
        """No spikes yet, for a population of shape (C, H, W)."""
        c, h, w = shape
        mask = (h, w, T, -(-c // WORD))
        return cls(
            np.zeros((n_images, *mask), dtype=np.uint64), np.zeros((n_images if dual else 0, *mask), dtype=np.uint64)
        )

    def dense(self, n_channels: int) -> NDArray[np.int8]:
        """Signed spikes, (T, B, C, H, W) int8."""
        spikes = _unpack(self.positive, n_channels)
        if len(self.negative):
            spikes -= _unpack(self.negative, n_channels)
        return spikes


class Digits(NamedTuple):
    """Signed whole numbers, such as a pool's window sums, in binary: digit k of a channel is its bit in mask k.

    magnitude : (K, B, H, W, T, words) uint64, channels as in `SpikeTrain`
    negative : (B, H, W, T, words) uint64, a bit where the number is negative; B = 0 where none can be
    """

    magnitude: NDArray[np.uint64]
    negative: NDArray[np.uint64]


class Events(NamedTuple):
    """Nonzero values of a population, listed by image, row, step and column; channels ascend within a list.

    start : (B * H * T * W + 1,) int64; list (b, y, t, x) is entry[start[i]:start[i + 1]], i row-major
    entry : int32, x * C + c, with `rows.STRIDE` entries of room behind the last
    amplitude : float, the postsynaptic potential (or, from an image or an ANN, the activation)
    """

    start: NDArray[np.int64]
    entry: NDArray[np.int32]
    amplitude: NDArray[Any]


def _unpack(mask: NDArray[np.uint64], n_channels: int) -> NDArray[np.int8]:
    """(B, H, W, T, words) bits to (T, B, C, H, W) zeros and ones."""
    octets = mask.astype("<u8", copy=False).view(np.uint8)
    bits = np.unpackbits(octets, axis=-1, bitorder="little", count=n_channels)
    return np.ascontiguousarray(bits.transpose(3, 0, 4, 1, 2)).view(np.int8)

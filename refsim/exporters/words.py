"""Whole numbers and spikes as text that `$readmemh` reads: one word a line, hexadecimal, two's complement."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

END_OF_STEP = 0xFFFF_FFFF
"""The word behind the last event of a step."""

NEGATIVE = 1 << 30
"""The bit of an event's word that says that the spike is -1; the address is below it."""

ROW = 64
"""Neurons in a word of packed bits."""

_DIGITS = np.array([f"{byte:02x}".encode() for byte in range(256)]).view(np.uint8).reshape(256, 2)


def hex_words(values: Array, bits: int) -> bytes:
    """Whole numbers in row-major order as words of 8, 16, 32 or 64 bits, the highest digit first.

    Raises
    ------
    OverflowError
        A number that has no place in so many bits.
    """
    size = bits // 8
    kind = np.dtype(f">{'u' if values.dtype.kind == 'u' else 'i'}{size}")
    limits = np.iinfo(kind)
    if values.size and (values.min() < limits.min or values.max() > limits.max):
        raise OverflowError(f"a number does not fit into {bits} bits")
    octets = np.ascontiguousarray(values, dtype=kind).view(np.uint8).reshape(-1, size)
    lines = np.full((len(octets), 2 * size + 1), ord("\n"), dtype=np.uint8)
    lines[:, :-1] = _DIGITS[octets].reshape(len(octets), -1)
    return lines.tobytes()


def address_words(spikes: Array) -> NDArray[np.uint32]:
    """Spikes (T, N, *shape) as events: image by image, step by step, addresses ascending, each step with its end.

    The address is the flat index of the neuron, row-major; `NEGATIVE` is set where the spike is -1.
    """
    flat = spikes.reshape(*spikes.shape[:2], -1).swapaxes(0, 1)
    image, t, neuron = np.nonzero(flat)
    events = (neuron + NEGATIVE * (flat[image, t, neuron] < 0)).astype(np.uint32)
    per_step = np.count_nonzero(flat, axis=2).ravel()
    return np.insert(events, np.cumsum(per_step), np.uint32(END_OF_STEP))


def bit_words(fired: Array) -> NDArray[np.uint64]:
    """Who fired, (T, N, *shape), in bits: image by image, step by step, neuron k is bit k % 64 of word k // 64."""
    flat = fired.reshape(*fired.shape[:2], -1).swapaxes(0, 1) != 0
    rows = np.pad(flat, ((0, 0), (0, 0), (0, -flat.shape[2] % ROW)))
    octets = np.packbits(rows, axis=2, bitorder="little")
    return np.ascontiguousarray(octets).view("<u8").reshape(-1)

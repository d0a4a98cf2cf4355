"""Single bits of mask words."""

from __future__ import annotations

import numpy as np

from refsim.kernels.compiling import inlined


@inlined
def popcount(word):  # type: ignore[no-untyped-def]
    """Number of bits set in a uint64."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@inlined
def lowest_bit(word):  # type: ignore[no-untyped-def]
    """Index of the lowest bit set in a nonzero uint64."""
    return popcount((word & (~word + np.uint64(1))) - np.uint64(1))

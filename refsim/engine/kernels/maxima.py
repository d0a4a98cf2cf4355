"""Max pools over spikes, 64 channels at once: the spikes that go on, as masks on the grid of the pool.

A window's positions that do not exist are left out: rows and columns of a window are (first, number, step), and the
first exists.
"""

from __future__ import annotations

import numpy as np

from refsim.engine.kernels.compiling import kernel


@kernel
def follow_maxima(spikes, rows, columns, behind, positive, negative):  # type: ignore[no-untyped-def]
    """Mode cumulative: +1 where the largest net count of a window grows, -1 where it falls.

    A window keeps, in binary digits, how far each position lies behind the largest count.

    spikes : (positive, negative) masks as in `SpikeTrain`; rows, columns : (H', 3), (W', 3) int64
    behind : (positions, K) uint64, room to work in; 2^(K - 1) exceeds every difference of counts
    positive, negative : (B, H', W', T, words), the latter B = 0 where no spike is negative; written
    """
    plus, minus = spikes
    n_images, height, width, T, n_words = positive.shape
    n_digits = behind.shape[1]
    signed = len(negative) > 0
    for b in range(n_images):
        for y in range(height):
            top, n_rows, step_y = rows[y, 0], rows[y, 1], rows[y, 2]
            for x in range(width):
                left, n_columns, step_x = columns[x, 0], columns[x, 1], columns[x, 2]
                n_positions = n_rows * n_columns
                for word in range(n_words):
                    for p in range(n_positions):
                        for k in range(n_digits):
                            behind[p, k] = 0
                    for t in range(T):
                        leads, ties = np.uint64(0), np.uint64(0)
                        for p in range(n_positions):
                            row, column = top + p // n_columns * step_y, left + p % n_columns * step_x
                            # A spike brings its position nearer by one; one that led already to -1, all digits set.
                            borrow, carry = plus[b, row, column, t, word], np.uint64(0)
                            if signed:
                                carry = minus[b, row, column, t, word]
                            some = np.uint64(0)
                            for k in range(n_digits):
                                digit = behind[p, k]
                                changed = digit ^ borrow ^ carry
                                borrow &= ~digit
                                carry &= digit
                                behind[p, k] = changed
                                some |= changed
                            leads |= behind[p, n_digits - 1]
                            ties |= ~some
                        falls = ~(leads | ties)
                        positive[b, y, x, t, word] = leads
                        if signed:
                            negative[b, y, x, t, word] = falls
                        if leads | falls != np.uint64(0):
                            for p in range(n_positions):
                                borrow, carry = falls, leads
                                for k in range(n_digits):
                                    digit = behind[p, k]
                                    behind[p, k] = digit ^ borrow ^ carry
                                    borrow &= ~digit
                                    carry &= digit


@kernel
def largest_spikes(spikes, rows, columns, positive, negative):  # type: ignore[no-untyped-def]
    """Mode or: +1 where any spike of a window is +1, -1 where all are -1. As in `follow_maxima`, of each step."""
    plus, minus = spikes
    n_images, height, width, T, n_words = positive.shape
    signed = len(negative) > 0
    for b in range(n_images):
        for y in range(height):
            top, n_rows, step_y = rows[y, 0], rows[y, 1], rows[y, 2]
            for x in range(width):
                left, n_columns, step_x = columns[x, 0], columns[x, 1], columns[x, 2]
                for t in range(T):
                    for word in range(n_words):
                        some, every = np.uint64(0), ~np.uint64(0)
                        for i in range(n_rows):
                            for j in range(n_columns):
                                row, column = top + i * step_y, left + j * step_x
                                some |= plus[b, row, column, t, word]
                                if signed:
                                    every &= minus[b, row, column, t, word]
                        positive[b, y, x, t, word] = some
                        if signed:
                            negative[b, y, x, t, word] = every

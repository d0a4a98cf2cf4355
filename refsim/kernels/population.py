"""One population, all its T steps: gather the currents of a tile, fire, next step. Nothing is stored in between.

Output channels are cut into tiles; tile outermost, then image, position, step. The drivers differ in what they
do with the current: neurons, the ANN's activation, or the readout.
"""

from __future__ import annotations

from math import floor

import numpy as np
from numba import njit

from refsim.events import WORD
from refsim.kernels.neuron import (
    MARGIN,
    MARGIN_NEG,
    N_LANES,
    NEGATIVE,
    SPIKE,
    THETA,
    THETA_NEG,
    TOTAL,
    U,
    V,
    fire,
    load_tile,
    reset_margins,
)
from refsim.kernels.synapse import list_rows, pass_through
from refsim.kernels.vector import TILE, add_rows, add_scaled_rows, pack


@njit(cache=True, nogil=True)
def max_rows(synapses):  # type: ignore[no-untyped-def]
    """Rows of the largest weight table among the projections."""
    most = 1
    for p in range(len(synapses)):
        most = max(most, synapses[p].weight.shape[1])
    return most


@njit(cache=True, nogil=True)
def gather(synapses, events, tile, first, width, b, y, x, t, rows, amplitudes, parts, u):  # type: ignore[no-untyped-def]
    """u[:TILE] = the sum of the projections' currents, each with its bias last; returns whether weights were added.

    Writes parts (P, TILE), one current per projection; that of a constant source is computed at t = 0 only.
    """
    driven = False
    for p in range(len(synapses)):
        source = synapses[p]
        driven = driven or source.constant
        if source.constant and t > 0:
            continue
        part = parts[p]
        if source.channels == 0:
            h, w = source.plane
            pass_through(events[p], ((b * h + y) * w + x) * source.n_steps + t, first, width, part)
        else:
            n = list_rows(source, events[p], tile, b, y, x, t, rows, amplitudes)
            if source.ones:
                add_rows(source.weight, tile, rows, n, part)
            else:
                add_scaled_rows(source.weight, tile, rows, amplitudes, n, part)
            driven = driven or n > 0
            for k in range(TILE):
                part[k] += source.bias[tile, k]
    for k in range(TILE):
        u[k] = parts[0, k]
    for p in range(1, len(synapses)):
        for k in range(TILE):
            u[k] += parts[p, k]
    return driven


@njit(cache=True, nogil=True)
def run_spiking(tiles, synapses, events, neurons, positive, negative, v_out, total_out, margin_out, reached_out):  # type: ignore[no-untyped-def]
    """Run a population of neurons.

    tiles : (n_tiles, 2) int64, first channel and width; a tile lies within one mask word
    synapses, events : tuples, one entry per projection
    positive, negative : masks as in `SpikeTrain`, zero on entry; written
    v_out, total_out : (B, H, W, C), final potential and sum of the currents over time; written
    margin_out : (2,), decision margins; lowered
    reached_out : (B, T) int64, neurons that received at least one delivery; added to
    """
    n_images, height, width_out, T, _ = positive.shape
    dtype = v_out.dtype
    rows = np.empty(max_rows(synapses), np.int32)
    amplitudes = np.empty(max_rows(synapses), dtype)
    parts = np.zeros((len(synapses), TILE), dtype)
    lanes = np.zeros(N_LANES, dtype)
    for tile in range(len(tiles)):
        first, width = tiles[tile]
        word = first // WORD
        bit = np.uint64(first % WORD)
        used = ~np.uint64(0) >> np.uint64(TILE - width)
        # Lanes beyond the tile's width have no weights; a threshold keeps them silent.
        lanes[THETA : THETA + TILE] = 1
        lanes[THETA_NEG : THETA_NEG + TILE] = -1
        lanes[V : V + TILE] = 0
        reset_margins(lanes)
        for b in range(n_images):
            for y in range(height):
                for x in range(width_out):
                    load_tile(neurons, y * width_out + x, first, width, lanes)
                    for t in range(T):
                        driven = gather(
                            synapses, events, tile, first, width, b, y, x, t, rows, amplitudes, parts, lanes[U:]
                        )
                        fire(neurons, lanes)
                        positive[b, y, x, t, word] |= (pack(lanes, SPIKE) & used) << bit
                        if neurons.dual:
                            negative[b, y, x, t, word] |= (pack(lanes, NEGATIVE) & used) << bit
                        if driven:
                            reached_out[b, t] += width
                        else:
                            for k in range(width):
                                reached_out[b, t] += is_reached(synapses, parts, k)
                    for k in range(width):
                        v_out[b, y, x, first + k] = lanes[V + k]
                        total_out[b, y, x, first + k] = lanes[TOTAL + k]
        for k in range(width):
            margin_out[0] = min(margin_out[0], lanes[MARGIN + k])
            margin_out[1] = min(margin_out[1], lanes[MARGIN_NEG + k])


@njit(cache=True, nogil=True)
def is_reached(synapses, parts, k):  # type: ignore[no-untyped-def]
    """Whether an identity projection delivered to lane k."""
    for p in range(len(synapses)):  # noqa: SIM110 - Numba compiles loops, not generators
        if synapses[p].channels == 0 and parts[p, k] != 0:
            return True
    return False


@njit(cache=True, nogil=True)
def run_readout(tiles, synapses, events, logits):  # type: ignore[no-untyped-def]
    """Run the readout, which has no neurons. logits : (B, T, K), the current of each step; written."""
    n_images, T, _ = logits.shape
    rows = np.empty(max_rows(synapses), np.int32)
    amplitudes = np.empty(max_rows(synapses), logits.dtype)
    parts = np.zeros((len(synapses), TILE), logits.dtype)
    u = np.zeros(TILE, logits.dtype)
    for tile in range(len(tiles)):
        first, width = tiles[tile]
        for b in range(n_images):
            for t in range(T):
                gather(synapses, events, tile, first, width, b, 0, 0, t, rows, amplitudes, parts, u)
                for k in range(width):
                    logits[b, t, first + k] = u[k]


@njit(cache=True, nogil=True)
def run_activation(tiles, synapses, events, lambda_, L, shift, z_out, a_out):  # type: ignore[no-untyped-def]
    """Run a layer of the ANN: QCFS with L steps, or ReLU where L = 0 (twin of `reference.activations`).

    z_out, a_out : (B, H, W, C), weighted input and activation; written
    """
    n_images, height, width_out, _ = a_out.shape
    dtype = a_out.dtype
    number = dtype.type  # an integer times a float32 would be a float64, and rounded elsewhere than in the twin
    zero, one, steps = number(0), number(1), number(L)
    rows = np.empty(max_rows(synapses), np.int32)
    amplitudes = np.empty(max_rows(synapses), dtype)
    parts = np.zeros((len(synapses), TILE), dtype)
    u = np.zeros(TILE, dtype)
    for tile in range(len(tiles)):
        first, width = tiles[tile]
        for b in range(n_images):
            for y in range(height):
                for x in range(width_out):
                    gather(synapses, events, tile, first, width, b, y, x, 0, rows, amplitudes, parts, u)
                    for k in range(width):
                        z = u[k]
                        z_out[b, y, x, first + k] = z
                        if L == 0:
                            a_out[b, y, x, first + k] = max(z, zero)
                        else:
                            level = number(floor(min(max(z / lambda_, zero), one) * steps + shift))
                            a_out[b, y, x, first + k] = level / steps * lambda_

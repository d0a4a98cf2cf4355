"""One population in whole numbers: sums of integers are exact, so their order is free.

The integers stand for the float64 network, and a bound on what rounding the weights can have done tells which
comparisons with a threshold are certain. The others are decided in float64 (`recompute`), in the order of the
specification.

The bound. Let g = theta / 2^s be the unit of a channel. Weights, biases and v0 are rounded to multiples of g, theta
is one. While all spikes agree, the integer potential and the specification's differ by at most, in half units,

    1 for v0;  per step: the values delivered through all listed rows, and SLACK = 3

because a rounded weight is off by half a unit and a value of 2^k delivers it 2^k times. Of the slack, 1 is for the
bias; 2 exceed all float64 rounding: of the weights' division by g, of a step's sum of at most 2^18 terms whose
absolute values add up to less than 2^33 units, and of the potential, below 2^32 T units, for T <= 2^16: relative
errors of 2^-53 each, 0.4 units a step. Then |v - theta| > bound means that both potentials lie on the same side.
theta_neg is no multiple of g; its own half unit is added where it is compared. By induction over steps, and over
populations in order, every spike is that of float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refsim.engine.kernels.bits import lowest_bit, popcount
from refsim.engine.kernels.compiling import inlined, inner, kernel
from refsim.engine.kernels.lanes import TILE, convert, from_bits, lesser, load, select, splat, store, to_bits
from refsim.engine.kernels.layout import cell_at, lanes_used, mark, neuron_of
from refsim.engine.kernels.listing import list_block, n_groups, tiles_of_group
from refsim.engine.kernels.neuron import count, distance, fire, load_at
from refsim.engine.kernels.recompute import potential_of
from refsim.engine.kernels.rows import add_rows, subtract_rows
from refsim.engine.kernels.synapse import Synapses

SLACK = 3
"""Half units by which a step may be off besides its rows."""

FAR = 2**62
"""A distance that no potential reaches."""


class ExactNeurons(NamedTuple):
    """Parameters of one population in whole numbers; lanes beyond a tile's width never fire.

    theta, theta_neg, v0 : (1 or H * across, n_tiles, TILE) int64
    theta_float, theta_neg_float, v0_float : (1 or H * W, C) float64, for what is recomputed
    """

    theta: NDArray[np.int64]
    theta_neg: NDArray[np.int64]
    v0: NDArray[np.int64]
    dual: bool
    gross: bool
    zero: bool
    strict: bool
    theta_float: NDArray[np.float64]
    theta_neg_float: NDArray[np.float64]
    v0_float: NDArray[np.float64]


class Memory(NamedTuple):
    """Room to work in, and what is known of a tile's potentials in float64.

    weight : (n_rows,), of one neuron; part, u : (T,), its currents
    since, checkpoint : (TILE,), v after step since - 1; since = -1: nothing yet
    v, fired : (TILE,), the lanes of the driver, on their way to `recompute` and back
    """

    weight: NDArray[np.float64]
    part: NDArray[np.float64]
    u: NDArray[np.float64]
    since: NDArray[np.int64]
    checkpoint: NDArray[np.float64]
    v: NDArray[np.int64]
    fired: NDArray[np.int64]

    @classmethod
    def of(cls, synapses: tuple[Synapses, ...], T: int) -> Memory:
        """Room for these projections and steps."""
        return cls(
            weight=np.empty(max(each.weight.shape[1] for each in synapses)),
            part=np.empty(T),
            u=np.empty(T),
            since=np.empty(TILE, np.int64),
            checkpoint=np.empty(TILE),
            v=np.empty(TILE, np.int64),
            fired=np.empty(TILE, np.int64),
        )


@inlined
def gather_integers(synapses, lists, n_digits, signed, total, tile, i):  # type: ignore[no-untyped-def]
    """Lanes `total` plus the projections' currents, the bits of the lanes reached, and the values delivered.

    n_digits, signed : (P,), how each projection's events are classified (`lists.list_classes`)
    i : number of the step's first list
    """
    reached = np.uint64(0)
    delivered = 0
    for p in range(len(synapses)):
        source = synapses[p]
        part = splat(np.int32(0))
        for k in range(n_digits[p] - 1, -1, -1):
            part = part + part
            for sign in range(2 if signed[p] else 1):
                list_ = np.uint64(i + (2 * k + sign if signed[p] else k))
                begin, end = lists.bounds[list_, 0], lists.bounds[list_, 1]
                if sign == 0:
                    part = add_rows(source.weight, tile, lists.rows, begin, end, part)
                else:
                    part = subtract_rows(source.weight, tile, lists.rows, begin, end, part)
                delivered += (end - begin) << k
                if source.identity:
                    for j in range(begin, end):
                        reached |= np.uint64(1) << np.uint64(lists.rows[j])
                else:
                    reached |= lists.reached[list_]
        i += lists.per_step[p]
        total = total + part
    return total, reached, delivered


@kernel
def run_exact(  # type: ignore[no-untyped-def]
    layout, synapses, events, n_digits, signed, bias, neurons, stored, lists, memory, train, gaps, gaps64, reached_out,
    recomputed,
):  # fmt: skip
    """Run a population of neurons in whole numbers.

    layout, synapses, reached_out : as in `population.run_spiking`; events : as in `Events`, without amplitudes
    bias : (n_tiles, TILE) int32, of one step; stored : as in `recompute`, by projection; lists, memory : room
    train : (positive, negative) masks, zero on entry; written
    gaps : (2, n_tiles, TILE) int64, least distance of a decided potential from theta and from theta_neg, less the
        bound, FAR on entry; lowered
    gaps64 : (2,) float64, the same of the recomputed ones in float64, in units of theta; lowered
    recomputed : (B, T) int64, potentials that were recomputed; added to
    """
    positive, negative = train
    n_images, _, _, T, _ = positive.shape
    shape = (n_images, layout.height, layout.across, T)
    zero, far = splat(np.int64(0)), splat(np.int64(FAR))
    for group in range(n_groups(lists, layout.tiles)):
        begin = np.int64(0)
        while begin < n_images * layout.height * layout.across:
            end = list_block(events, lists, group, begin, shape)
            for tile in tiles_of_group(lists, layout.tiles, group):
                used = lanes_used(layout, tile)
                least, least_neg = load(gaps, tile * TILE), load(gaps, (len(layout.tiles) + tile) * TILE)
                for i in range(begin, end):
                    b, cell, y, x = cell_at(layout, i)
                    theta = load_at(neurons.theta, cell, tile)
                    theta_neg = load_at(neurons.theta_neg, cell, tile)
                    v = load_at(neurons.v0, cell, tile)
                    fired = zero
                    half_units = 1
                    for k in range(TILE):
                        memory.since[k] = -1
                    for t in range(T):
                        u, reached, delivered = gather_integers(
                            synapses, lists, n_digits, signed, load(bias, tile * TILE), tile,
                            ((i - begin) * T + t) * lists.n,
                        )  # fmt: skip
                        m = v + convert(u, v)
                        half_units += delivered + SLACK
                        bound = half_units // 2
                        near, gap = told_apart(distance(m, theta), bound)
                        least = lesser(gap, least)
                        if neurons.dual:
                            open_gate = fired >= splat(np.int64(1))
                            near_neg, gap = told_apart(distance(m, theta_neg), bound + 1)
                            least_neg = lesser(select(open_gate, gap, far), least_neg)
                            near = near | (near_neg & open_gate)
                        v, _, up_bits, down_bits = fire(neurons, m, theta, theta_neg, fired)
                        unsure = to_bits(near) & used
                        if unsure != np.uint64(0):
                            store(memory.v, 0, v)
                            store(memory.fired, 0, fired)
                            up_bits, down_bits = recompute(
                                neurons, stored, synapses, train, memory, gaps64, layout, tile, b, y, x, t, unsure,
                                up_bits, down_bits,
                            )  # fmt: skip
                            recomputed[b, t] += popcount(unsure)
                            v = load(memory.v, 0)
                        mark(positive, layout, tile, b, y, x, t, up_bits & used)
                        if neurons.dual:
                            fired = count(neurons, fired, from_bits(up_bits), from_bits(down_bits))
                            mark(negative, layout, tile, b, y, x, t, down_bits & used)
                        reached_out[b, t] += popcount(reached & used)
                store(gaps, tile * TILE, least)
                store(gaps, (len(layout.tiles) + tile) * TILE, least_neg)
            begin = end


@inlined
def told_apart(gap, bound):  # type: ignore[no-untyped-def]
    """Which lanes are too close to a threshold to tell their side, and how far beyond the bound the others are."""
    near = gap <= splat(np.int64(bound))
    return near, select(near, splat(np.int64(FAR)), gap - splat(np.int64(bound)))


@inner
def recompute(neurons, stored, synapses, train, memory, gaps64, layout, tile, b, y, x, t, unsure, up_bits, down_bits):  # type: ignore[no-untyped-def]
    """Decide the unsure lanes in float64. Returns the corrected bits of +1 and -1; corrects memory.v.

    Keeps each potential after the step, so that the next question about the lane starts there.
    """
    while unsure != np.uint64(0):
        k = lowest_bit(unsure)
        bit = np.uint64(1) << np.uint64(k)
        unsure &= ~bit
        column, c = neuron_of(layout, tile, x, k)
        position = y * train[0].shape[2] + column
        theta, theta_neg = parameter(neurons.theta_float, position, c), parameter(neurons.theta_neg_float, position, c)
        if memory.since[k] < 0:
            memory.since[k], memory.checkpoint[k] = 0, parameter(neurons.v0_float, position, c)
        m = potential_of(
            stored, synapses, tile, c, b, y, column, memory.since[k], memory.checkpoint[k], t, theta, neurons.zero,
            train, (memory.weight, memory.part, memory.u),
        )  # fmt: skip
        gaps64[0] = min(gaps64[0], distance(m, theta) / theta)
        if neurons.dual and memory.fired[k] >= 1:
            gaps64[1] = min(gaps64[1], distance(m, theta_neg) / theta)
        v, _, up, down = fire(neurons, m, theta, theta_neg, memory.fired[k])
        up_bits = (up_bits & ~bit) | (up << np.uint64(k))
        down_bits = (down_bits & ~bit) | (down << np.uint64(k))
        memory.since[k], memory.checkpoint[k] = t + 1, v
        memory.v[k] = np.int64(np.rint(v / theta * neurons.theta[0, tile, k]))
    return up_bits, down_bits


@inner
def parameter(values, position, channel):  # type: ignore[no-untyped-def]
    """A parameter (1 or H * W, C) of one neuron."""
    return values[position if len(values) > 1 else 0, channel]

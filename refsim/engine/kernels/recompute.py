"""One neuron's potential in float64, bit for bit the specification's: what `exact` asks when integers cannot decide.

The weights are those of the network as stored; float64(weight) * scale * theta is the number that the float64
engine keeps in its tables.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refsim.engine.events import WORD
from refsim.engine.kernels.bits import lowest_bit
from refsim.engine.kernels.compiling import inner
from refsim.engine.kernels.digits import nonzero_bits, value_at


class Stored(NamedTuple):
    """One projection with its weights as the network stores them.

    weight : (C_out, C_in / groups, kH * kW); scale, bias : (C_out,); of an identity (1,)
    kernel, stride : of one position, not of a cell
    psp : (1, C), theta of the source
    window_size : of the pool the source is read through, or 1
    unit : theta acts on the weight, not on the spike
    magnitude, negative : the source's values, as in `digits`
    """

    weight: NDArray[Any]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    scale: NDArray[np.float64]
    bias: NDArray[np.float64]
    psp: NDArray[np.float64]
    window_size: float
    unit: bool
    magnitude: NDArray[np.uint64]
    negative: NDArray[np.uint64]


@inner
def currents_of(stored, synapses, tile, channel, b, y, x, since, until, weight, u):  # type: ignore[no-untyped-def]
    """u[t - since] = the current of one neuron through one projection at steps since .. until.

    Summed by kernel position, then channel; the bias last. weight : (n_rows,), written: the neuron's weights
    """
    k_h, k_w = stored.kernel
    h, w = synapses.grid
    channels = synapses.channels
    first = synapses.first_channel[tile]
    magnitude, negative, psp = stored.magnitude, stored.negative, stored.psp
    if not synapses.identity:
        for c in range(channels):
            for tap in range(k_h * k_w):
                effective = np.float64(stored.weight[channel, c, tap]) * stored.scale[channel]
                weight[tap * channels + c] = effective * psp[0, first + c] if stored.unit else effective
    for t in range(since, until + 1):
        total = 0.0
        for tap in range(k_h * k_w):
            source_y = y * stored.stride[0] - synapses.padding[0] + tap // k_w * synapses.dilation[0]
            source_x = x * stored.stride[1] - synapses.padding[1] + tap % k_w * synapses.dilation[1]
            if source_y < 0 or source_y >= h or source_x < 0 or source_x >= w:
                continue
            # An identity's tables have room for a whole tile, which may reach beyond the last channel.
            for word in range(first // WORD, min((first + channels + WORD - 1) // WORD, magnitude.shape[5])):
                bits = nonzero_bits(magnitude, b, source_y, source_x, t, word)
                while bits != np.uint64(0):
                    bit = lowest_bit(bits)
                    bits &= bits - np.uint64(1)
                    c = word * WORD + bit
                    if c < first or c >= first + channels:
                        continue
                    value = float(value_at(magnitude, negative, b, source_y, source_x, t, word, np.uint64(bit)))
                    if not stored.unit:
                        value = value * psp[0, c] / stored.window_size
                    if not synapses.identity:
                        total += value * weight[tap * channels + c - first]
                    elif c == channel:
                        total += value
        u[t - since] = total + stored.bias[channel if len(stored.bias) > 1 else 0]


@inner
def potential_of(stored, synapses, tile, channel, b, y, x, since, v, until, theta, zero, train, room):  # type: ignore[no-untyped-def]
    """Potential before firing at step `until`, from v after step `since` - 1 and the spikes since then.

    train : (positive, negative) masks of the population, complete before step `until`
    room : (weight, part, u) to work in: of one neuron and projection, (n_rows,) and (T,), and of all, (T,)
    """
    positive, negative = train
    weight, part, u = room
    word, bit = channel // WORD, np.uint64(channel % WORD)
    for p in range(len(stored)):
        currents_of(stored[p], synapses[p], tile, channel, b, y, x, since, until, weight, part)
        for t in range(until + 1 - since):
            u[t] = part[t] if p == 0 else u[t] + part[t]
    for t in range(since, until + 1):
        v = v + u[t - since]
        if t < until:
            s = float((positive[b, y, x, t, word] >> bit) & np.uint64(1))
            if len(negative) > 0:
                s -= float((negative[b, y, x, t, word] >> bit) & np.uint64(1))
            if s != 0.0:
                v = 0.0 if zero else v - s * theta
    return v

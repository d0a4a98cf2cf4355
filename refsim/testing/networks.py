"""Strategy for whole networks: every layer kind, every option of it, in every order the model allows.

A network is drawn block by block; a block ends in a population of neurons. Its first branch reads the population
before it, so that nothing is left unread; further branches (residual) may read any earlier one, or the image.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod
from typing import get_args

from hypothesis import strategies as st

from refsim.model import (
    INPUT,
    Add,
    AnyLayer,
    AvgPool2d,
    Conv2d,
    Flatten,
    InputSpec,
    Linear,
    MaxMode,
    MaxPool2d,
    Network,
    Pair,
    Pool,
    Shape,
    Spiking,
)
from refsim.testing.neurons import neurons
from refsim.testing.numbers import Grid, Numbers

Axis = tuple[int, int, int, int, int]
"""Kernel, stride, padding, dilation and output along one axis."""

WIDE = (63, 64, 65, 70, 130)
"""Channel counts around the boundaries of a mask word and of a tile."""

_MAX_CELLS_WIDE = 12


@st.composite
def networks(draw: st.DrawFn, grid: Grid = "dyadic", max_blocks: int = 4, wide: bool = True) -> Network:
    """A small network: an example takes milliseconds.

    Parameters
    ----------
    grid
        "dyadic": weights, thresholds and pool windows for which all sums are exact in any order.
    max_blocks
        Populations of neurons, at most; networks without any are drawn too.
    wide
        Also draw, now and then, layers of about 64 and 130 channels.
    """
    builder = _Builder(draw, grid, wide)
    for _ in range(draw(st.integers(0, max_blocks))):
        builder.add_block()
    return builder.finish()


class _Builder:
    """The layers so far, and the shapes of their outputs."""

    def __init__(self, draw: st.DrawFn, grid: Grid, wide: bool) -> None:
        self.draw = draw
        self.grid = grid
        self.wide = wide and draw(st.integers(0, 4)) == 4
        self.numbers = Numbers(draw(st.integers(0, 2**32 - 1)), grid)
        self.layers: list[AnyLayer] = []
        c, h, w = (draw(st.integers(1, most)) for most in (4, 6, 6))
        self.input = InputSpec(shape=(c, h, w))
        self.shapes: dict[str, Shape] = {INPUT: self.input.shape}
        self.populations = [INPUT]

    def add_block(self) -> None:
        """Append branches, perhaps their sum, and a population of neurons."""
        source = self.populations[-1]
        blocks = [self.weighted, self.weighted, self.residual, self.residual, self.passive]
        draw_head: Callable[[str], str] = self.draw(st.sampled_from(blocks))
        head = draw_head(source)
        shape = self.shapes[head]
        name = self.append(Spiking(name=self.name("act"), inputs=(head,), neuron=self.draw(neurons(shape, self.grid))))
        self.populations.append(name)

    def finish(self) -> Network:
        """Append the readout."""
        self.linear(self.populations[-1], self.draw(st.sampled_from([3, 1, 10, *([66] if self.wide else [])])))
        n_classes = self.shapes[self.layers[-1].name][0]
        classes = tuple(f"class {i}" for i in range(n_classes)) if self.draw(st.booleans()) else ()
        return Network(name="drawn", input=self.input, layers=tuple(self.layers), classes=classes)

    def weighted(self, source: str) -> str:
        """A convolution or a fully connected layer."""
        if len(self.shapes[source]) == 3 and self.draw(st.integers(0, 3)):
            return self.conv(source)
        return self.linear(source, self.channels(1))

    def passive(self, source: str) -> str:
        """Neurons directly behind a pool, a flatten, or other neurons."""
        if len(self.shapes[source]) == 1 or self.draw(st.integers(0, 3)) == 0:
            return source
        head = self.pooled(source) if self.draw(st.integers(0, 3)) else source
        return self.flattened(head) if head == source or self.draw(st.integers(0, 2)) == 0 else head

    def residual(self, source: str) -> str:
        """The sum of two or three currents of one shape."""
        branches = [self.draw(st.sampled_from([self.weighted, self.weighted, self.passive]))(source)]
        shape = self.shapes[branches[0]]
        for _ in range(self.draw(st.integers(1, 2))):
            branches += self.shortcut(shape)
        if len(branches) == 1:
            return branches[0]
        order = self.draw(st.permutations(branches))
        return self.append(Add(name=self.name("add"), inputs=tuple(order)))

    def shortcut(self, shape: Shape) -> list[str]:
        """Another current of the given shape, if there is one: identity, pool, flatten, or weights."""
        choices = []
        for other in self.populations:
            from_plane = len(self.shapes[other]) == 3
            if self.shapes[other] == shape:
                choices += [("identity", other)] * 3
            if from_plane and len(shape) == 3:
                choices += [("conv", other)] * bool(self.geometries(other, shape))
                choices += [("pool", other)] * bool(self.windows(other, shape))
            if from_plane and len(shape) == 3 and self.has_one_size(other):
                choices += [("max pool", other)] * bool(self.max_windows(other, shape))
            if from_plane and len(shape) == 1 and prod(self.shapes[other]) == shape[0]:
                choices.append(("flatten", other))
            if len(shape) == 1:
                choices.append(("linear", other))
        if not choices:
            return []
        kind, other = self.draw(st.sampled_from(choices))
        if kind == "conv":
            return [self.conv_to(other, shape)]
        if kind == "pool":
            kernel, stride = self.draw(st.sampled_from(self.windows(other, shape)))
            return [self.pool(other, kernel, stride)]
        if kind == "max pool":
            return [self.max_pool(other, self.draw(st.sampled_from(self.max_windows(other, shape))))]
        if kind == "flatten":
            return [self.flattened(other)]
        if kind == "linear":
            return [self.linear(other, shape[0])]
        return [other]

    def conv(self, source: str) -> str:
        """A convolution of any geometry that fits."""
        source = self.pooled(source) if self.draw(st.booleans()) else source
        c, h, w = self.shapes[source]
        same = self.draw(st.integers(0, 2)) == 0  # so that an identity shortcut fits
        axes = [
            self.draw(st.sampled_from([each for each in _axis_geometries(n) if not same or each[-1] == n]))
            for n in (h, w)
        ]
        c_out = c if same else self.channels(prod(out for *_, out in axes))
        if self.draw(st.integers(0, 3)) == 0:
            c_out = c * self.draw(st.integers(1, 2))  # so that depthwise is possible
        return self._convolve(source, axes, c_out)

    def conv_to(self, source: str, shape: Shape) -> str:
        """A convolution onto the given shape; a strided 1x1 one where that fits."""
        axes = self.draw(st.sampled_from(self.geometries(source, shape)))
        return self._convolve(source, list(axes), shape[0])

    def _convolve(self, source: str, axes: list[Axis], c_out: int) -> str:
        c = self.shapes[source][0]
        groups = self.draw(st.sampled_from([g for g in range(1, c + 1) if c % g == 0 and c_out % g == 0]))
        kernel, stride, padding, dilation, _ = zip(*axes)
        weight, scale = self.numbers.weights((c_out, c // groups, *kernel))
        return self.append(
            Conv2d(
                name=self.name("conv"),
                inputs=(source,),
                weight=weight,
                bias=self.numbers.currents((c_out,), density=0.7) / 2,
                scale=scale,
                stride=stride,
                padding=padding,
                dilation=dilation,
                groups=groups,
            )
        )

    def linear(self, source: str, n_out: int) -> str:
        """A fully connected layer, perhaps behind a pool, with or without a flatten."""
        if len(self.shapes[source]) == 3:
            source = self.pooled(source) if self.draw(st.booleans()) else source
            source = self.flattened(source) if self.draw(st.booleans()) else source
        weight, scale = self.numbers.weights((n_out, prod(self.shapes[source])))
        bias = self.numbers.currents((n_out,), density=0.7) / 2
        return self.append(Linear(name=self.name("linear"), inputs=(source,), weight=weight, bias=bias, scale=scale))

    def pooled(self, source: str) -> str:
        """A pool of `source`: one that exists already, or a new one; overlapping, not square, or global."""
        there = [layer.name for layer in self.layers if isinstance(layer, Pool) and layer.inputs == (source,)]
        reuse = self.draw(st.booleans())
        if there and reuse:
            return there[0]
        _, h, w = self.shapes[source]
        if self.has_one_size(source) and self.draw(st.booleans()):
            rows, columns = (_max_windows(n, wide=self.draw(st.integers(0, 3)) > 0) for n in (h, w))
            return self.max_pool(source, (self.draw(st.sampled_from(rows)), self.draw(st.sampled_from(columns))))
        sizes = [[k for k in self._pool_sizes() if k <= n] for n in (h, w)]
        kernel = (self.draw(st.sampled_from(sizes[0])), self.draw(st.sampled_from(sizes[1])))
        if self.grid == "normal" and self.draw(st.integers(0, 3)) == 0:
            kernel = (h, w)
        return self.pool(source, kernel, (self.draw(st.integers(1, 3)), self.draw(st.integers(1, 3))))

    def pool(self, source: str, kernel: Pair, stride: Pair) -> str:
        """An average pool."""
        return self.append(AvgPool2d(name=self.name("pool"), inputs=(source,), kernel=kernel, stride=stride))

    def max_pool(self, source: str, axes: tuple[Axis, Axis]) -> str:
        """A max pool of either mode."""
        kernel, stride, padding, dilation, _ = zip(*axes)
        mode: MaxMode = self.draw(st.sampled_from(get_args(MaxMode)))
        return self.append(
            MaxPool2d(
                name=self.name("max"),
                inputs=(source,),
                kernel=kernel,
                stride=stride,
                padding=padding,
                dilation=dilation,
                mode=mode,
            )
        )

    def has_one_size(self, source: str) -> bool:
        """Whether a max pool may read it: an image, or spikes whose theta does not differ between positions."""
        layer = next((each for each in self.layers if each.name == source), None)
        return not isinstance(layer, Spiking) or layer.neuron.theta.ndim < 3

    def flattened(self, source: str) -> str:
        """A flatten."""
        return self.append(Flatten(name=self.name("flat"), inputs=(source,)))

    def channels(self, n_cells: int) -> int:
        """A number of channels: nearly always small."""
        if self.wide and n_cells <= _MAX_CELLS_WIDE and self.draw(st.booleans()):
            return self.draw(st.sampled_from(WIDE))
        return self.draw(st.sampled_from([1, 2, 3, 4, 4, 5, 6, 6]))

    def geometries(self, source: str, shape: Shape) -> list[tuple[Axis, ...]]:
        """Convolution geometries, per axis, from a population onto a plane; 1x1 kernels first."""
        _, h, w = self.shapes[source]
        rows, columns = ([each for each in _axis_geometries(n) if each[-1] == m] for n, m in zip((h, w), shape[1:]))
        return list(product(rows[:6], columns[:6]))

    def windows(self, source: str, shape: Shape) -> list[tuple[Pair, Pair]]:
        """Kernels and strides of pools from a population onto a shape."""
        c, h, w = self.shapes[source]
        if c != shape[0]:
            return []
        rows, columns = (
            [(k, s) for k in self._pool_sizes() for s in (1, 2, 3) if k <= n and (n - k) // s + 1 == m]
            for n, m in zip((h, w), shape[1:])
        )
        return [((i[0], j[0]), (i[1], j[1])) for i, j in product(rows, columns)]

    def max_windows(self, source: str, shape: Shape) -> list[tuple[Axis, Axis]]:
        """Windows of max pools, per axis, from a population onto a plane."""
        c, h, w = self.shapes[source]
        if c != shape[0]:
            return []
        rows, columns = (
            [each for each in _max_windows(n, wide=False) if each[-1] == m] for n, m in zip((h, w), shape[1:])
        )
        return list(product(rows[:6], columns[:6]))

    def _pool_sizes(self) -> tuple[int, ...]:
        return (1, 2, 4) if self.grid == "dyadic" else (1, 2, 3, 5)

    def name(self, stem: str) -> str:
        """A name not used before."""
        return f"{stem}{len(self.layers) + 1}"

    def append(self, layer: AnyLayer) -> str:
        """Append a layer; returns its name."""
        self.layers.append(layer)
        self.shapes[layer.name] = layer.output_shape(tuple(self.shapes[source] for source in layer.inputs))
        return layer.name


def _max_windows(n: int, wide: bool) -> list[Axis]:
    """All windows of max pools along one axis of n positions, none of them empty; `wide`: of several, if that fits."""
    found = [
        (k, s, p, d, out)
        for k, s, p, d, out in _axis_geometries(n)
        if 2 * p <= k and all(any(0 <= i * s - p + j * d < n for j in range(k)) for i in range(out))
    ]
    several = [each for each in found if each[0] > 1]
    return several if wide and several else found


def _axis_geometries(n: int) -> list[Axis]:
    """All (kernel, stride, padding, dilation, output) along one axis of n cells that leave an output cell."""
    found = []
    for k, s, p, d in product((1, 2, 3), (1, 2, 3), (0, 1, 2), (1, 2, 3)):
        out = (n + 2 * p - d * (k - 1) - 1) // s + 1
        if out >= 1 and n + 2 * p >= d * (k - 1) + 1 and not (k == 1 and d > 1):
            found.append((k, s, p, d, out))
    return found

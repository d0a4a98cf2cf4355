"""What a chain of elementwise operations computes: a ReLU, a clipped ReLU, a staircase (QCFS), or a linear map.

The chain is composed, not matched: affine maps, clips and rounding become one normal form,

    p clip(floor(k x + s), low, high) + q,

without the floor where nothing is rounded. So it does not matter in which order a module divides, clips and scales,
nor whether an exporter wrote it as Div, Clip, Mul, Floor or as QuantizeLinear and DequantizeLinear. Round and
QuantizeLinear round halves to even, QCFS rounds them up: they differ on exact ties only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import floor, inf, isfinite
from typing import assert_never

from refsim.importers.operators import Affine, BatchNorm, Clip, Dequantize, Elementwise, Floor, Quantize

_NEAR = 1e-6
"""Relative: constants of a float32 graph carry rounding errors of 6e-8."""

_MOST_GROUPS = 4
_MOST_STEPS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Straight:
    """gain x + offset: no activation."""

    gain: float
    offset: float


@dataclass(frozen=True, kw_only=True)
class Rectifier:
    """clip(gain x + offset, 0, bound)."""

    gain: float
    offset: float
    bound: float


@dataclass(frozen=True, kw_only=True)
class Staircase:
    """lambda clip(floor(x L / lambda + shift) / L, 0, 1), QCFS."""

    lambda_: float
    L: int
    shift: float


@dataclass(frozen=True, kw_only=True)
class Neither:
    """None of them, and why."""

    why: str


Function = Straight | Rectifier | Staircase | Neither


@dataclass(frozen=True, kw_only=True)
class _Form:
    """The normal form so far; p = 1 and q = 0 as long as nothing is rounded."""

    k: float = 1.0
    s: float = 0.0
    low: float = -inf
    high: float = inf
    rounded: bool = False
    p: float = 1.0
    q: float = 0.0

    def affine(self, gain: float, offset: float) -> _Form | Neither:
        """After gain y + offset."""
        if not gain > 0:
            return Neither(why="it is turned over by a negative factor")
        if self.rounded:
            return replace(self, p=self.p * gain, q=self.q * gain + offset)
        return replace(
            self,
            k=self.k * gain,
            s=self.s * gain + offset,
            low=self.low * gain + offset,
            high=self.high * gain + offset,
        )

    def divided(self, by: float) -> _Form | Neither:
        """After y / by: not times 1 / by, which is rounded."""
        if not by > 0:
            return Neither(why="it is divided by a number that is not positive")
        if self.rounded:
            return replace(self, p=self.p / by, q=self.q / by)
        return replace(self, k=self.k / by, s=self.s / by, low=self.low / by, high=self.high / by)

    def clip(self, low: float, high: float) -> _Form | Neither:
        """After clip(y, low, high)."""
        if self.rounded:
            # A bound that is no step would cut one.
            low, high = ((each - self.q) / self.p for each in (low, high))
            whole = [round(each) if isfinite(each) else each for each in (low, high)]
            if any(isfinite(a) and abs(a - b) > _NEAR * max(1.0, abs(b)) for a, b in zip((low, high), whole)):
                return Neither(why="its bound is no multiple of its step")
            low, high = whole
        return replace(self, low=min(max(self.low, low), high), high=min(max(self.high, low), high))

    def floor(self) -> _Form | Neither:
        """After floor(y): floor(clip(y, a, b)) is clip(floor(y), floor(a), floor(b))."""
        if self.rounded:
            if abs(self.p - 1) > _NEAR:
                return Neither(why="it is rounded twice, to different steps")
            return replace(self, p=1.0, q=float(_floor(self.q)))
        low, high = (_floor(each) if isfinite(each) else each for each in (self.low, self.high))
        return replace(self, low=low, high=high, rounded=True)


def compose(chain: Sequence[Elementwise]) -> Function:
    """The function that the operations compute one after the other; their constants are single values."""
    form: _Form | Neither = _Form()
    for node in chain:
        for step in _after(form, node):
            form = step
            if isinstance(form, Neither):
                return form
    assert isinstance(form, _Form)
    return _function(form, _constants(chain))


def _after(form: _Form | Neither, node: Elementwise) -> Iterator[_Form | Neither]:
    """The form after each of the primitive steps of a node."""
    assert isinstance(form, _Form)
    match node:
        case Affine(operation="add"):
            yield form.affine(1.0, float(node.value[0]))
        case Affine(operation="sub"):
            yield form.affine(1.0, -float(node.value[0]))
        case Affine(operation="mul"):
            yield form.affine(float(node.value[0]), 0.0)
        case Affine():
            yield form.divided(float(node.value[0]))
        case Clip():
            yield form.clip(node.low, node.high)
        case Floor():
            yield from _floored(form, 0.5 if node.nearest else 0.0)
        case Quantize():
            scaled = form.divided(node.step)
            yield scaled
            if isinstance(scaled, _Form):
                *_, last = _floored(scaled, 0.5)
                yield last
                if isinstance(last, _Form):
                    moved = last.affine(1.0, float(node.zero))
                    yield moved.clip(node.low, node.high) if isinstance(moved, _Form) else moved
        case Dequantize():
            moved = form.affine(1.0, -float(node.zero))
            yield moved.affine(node.step, 0.0) if isinstance(moved, _Form) else moved
        case BatchNorm():
            yield Neither(why="it is normalised between its operations")
        case _:
            assert_never(node)


def _floored(form: _Form, shift: float) -> Iterator[_Form | Neither]:
    moved = form.affine(1.0, shift)
    yield moved.floor() if isinstance(moved, _Form) else moved


def _function(form: _Form, constants: Sequence[float]) -> Function:
    if not form.rounded:
        if form.low == -inf and form.high == inf:
            return Straight(gain=form.k, offset=form.s)
        if form.low != 0:
            return Neither(why=f"its lower bound is {form.low:g}; only activations that end at 0 below have neurons")
        return Rectifier(gain=form.k, offset=form.s, bound=form.high)
    L = form.high - form.low
    if not (isfinite(L) and 1 <= L <= _MOST_STEPS):
        return Neither(why="it is a staircase without end; clip it")
    if abs(form.p * form.low + form.q) > _NEAR * form.p * L:
        return Neither(why="its lowest step is not 0; only activations that end at 0 below have neurons")
    if abs(form.k * form.p - 1) > _NEAR:
        return Neither(
            why=f"its steps are {1 / form.k if form.k else inf:.6g} wide and {form.p:.6g} high: its two thresholds or "
            "its two numbers of steps do not agree"
        )
    shift = form.s - form.low
    if not 0 <= shift < 1:
        return Neither(why=f"its shift is {shift:g}; expected 0 to 1, as QCFS has it")
    lambda_ = form.p * L
    # The threshold itself is a constant of most chains; times L and divided by L it has been rounded.
    lambda_ = next((each for each in constants if abs(each - lambda_) <= 1e-12 * lambda_), lambda_)
    return Staircase(lambda_=lambda_, L=round(L), shift=shift)


def _constants(chain: Sequence[Elementwise]) -> list[float]:
    affine = [float(node.value[0]) for node in chain if isinstance(node, Affine)]
    return affine + [node.high for node in chain if isinstance(node, Clip)]


def _floor(value: float) -> int:
    nearest = round(value)
    return nearest if abs(value - nearest) < 1e-9 else floor(value)


def quantisers(chain: Sequence[Elementwise]) -> list[range]:
    """Where in the chain quantisers stand, each from its Quantize to its Dequantize."""
    found = []
    start: int | None = None
    for i, node in enumerate(chain):
        if isinstance(node, Quantize) and start is None:
            start = i
        elif isinstance(node, Dequantize) and start is not None:
            found.append(range(start, i + 1))
            start = None
    return found


def understand(chain: Sequence[Elementwise]) -> tuple[Function, list[Elementwise]]:
    """What the chain computes, if need be without some of its quantisers, which are returned: as few as possible."""
    groups = quantisers(chain)[:_MOST_GROUPS]
    first: Function | None = None
    for n in range(len(groups) + 1):
        for gone in combinations(groups, n):
            left = [node for i, node in enumerate(chain) if not any(i in group for group in gone)]
            found = compose(left)
            if not isinstance(found, Neither):
                return found, [chain[group.start] for group in gone]
            first = first or found
    assert first is not None
    return first, []


def without_quantisers(chain: Sequence[Elementwise]) -> tuple[list[Elementwise], list[Elementwise]]:
    """The chain without all of its quantisers, and the first node of each of them."""
    groups = quantisers(chain)
    left = [node for i, node in enumerate(chain) if not any(i in group for group in groups)]
    return left, [chain[group.start] for group in groups]

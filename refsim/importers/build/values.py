"""The values and nodes of an operator graph while it is filled, whatever the operators are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from refsim.exceptions import FormatError
from refsim.formats.untrusted.text import clean
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.build.constants import Budget, Quantised
from refsim.importers.operators import (
    AnyNode,
    Foreign,
    Graph,
    Node,
    Pads,
    Site,
)
from refsim.model import Array, Floats, Pair, Shape

MALFORMED = (
    ArithmeticError, AttributeError, IndexError, KeyError, MemoryError, RecursionError, TypeError, ValueError,
)  # fmt: skip
"""What operands and attributes of a damaged graph raise: found by changing bytes."""

MAX_SIDE = 1 << 20
"""As a weight file has it: of a shape, and of every integer pair."""

N = TypeVar("N", bound=Node)


@dataclass(frozen=True)
class Tensor:
    """A value that depends on the image; its shape, None behind a node that has no counterpart."""

    name: str
    shape: Shape | None


Value = Array | Quantised | Tensor

_NO_COUNTERPART = "no spiking counterpart; fine-tune with ReLU or QCFS in its place"
_STATISTICS = "its statistics depend on the input; train with batch normalisation"
_CURVES = ("leaky", "elu", "gelu", "silu", "swish", "sigmoid", "tanh", "mish", "softplus", "erf")
_WHY = {
    **dict.fromkeys(_CURVES, _NO_COUNTERPART),
    **dict.fromkeys(("layer_norm", "layernorm", "group_norm", "groupnorm", "instance"), _STATISTICS),
    **dict.fromkeys(("lstm", "gru", "rnn"), "recurrent layers are not simulated"),
    "attention": "attention has no spiking counterpart here",
    "gathernd": "exporters make it of adaptive pools with windows of unequal position; give the pool a size that "
    "divides its input",
    "transpose": "transposed convolutions are not simulated",
    "concat": "activations that are joined have no layer here; add them",
}
"""By a part of an operator's name, why it is refused and what to do."""


class Values:
    """The values so far by their names in the file, and the nodes.

    Every operator is a method that takes the name of its result, the names of what it reads, and attributes; what it
    reads may be constant, and if all of it is, so is the result. `site` is the node that is being read.

    Parameters
    ----------
    where
        The file, for messages.
    n_bytes
        Its size: what folding may take follows from it.
    """

    def __init__(self, where: str, n_bytes: int) -> None:
        self.where = where
        self.budget = Budget(n_bytes)
        self.values: dict[str, Value] = {}
        self.nodes: list[AnyNode] = []
        self.site = Site(name="", kind="")
        self._image = Tensor("", ())
        self._n_values = 0

    def place(
        self,
        site: Site,
        inputs: Sequence[str],
        outputs: Sequence[str],
        make: Callable[[], object],
        *,
        known: bool = True,
    ) -> None:
        """Read one node; behind what has no counterpart and no known shape, only that is looked for.

        Parameters
        ----------
        site
            The node.
        inputs, outputs
            The values that it reads and gives.
        make
            Adds it to the graph.
        known
            Whether its operator is one that is read.

        Raises
        ------
        FormatError
            It reads what is not there, gives what is there already, or its attributes or operands do not fit.
        """
        self.site = site
        for name in inputs:
            if name not in self.values:
                raise FormatError(f"{self.where}: {site}: reads {shown(name)}, which nothing before it gives")
        for name in outputs:
            if name in self.values:
                raise FormatError(f"{self.where}: {site}: gives {shown(name)}, which is there already")
        read = [self.values[name] for name in inputs]
        if any(isinstance(each, Tensor) and each.shape is None for each in read):
            self.values |= {name: Tensor(name, None) for name in outputs}
            if not known:
                self.nodes.append(Foreign(site=site, inputs=(), output="", shape=(1, 1), why=_why(site.kind)))
            return
        try:
            make()
        except MALFORMED as error:
            if any(isinstance(node, Foreign) for node in self.nodes):
                # What that gives is a guess; it is said, and not what follows from the guess.
                self.values |= {name: Tensor(name, None) for name in outputs}
                return
            if isinstance(error, FormatError):
                raise FormatError(f"{self.where}: {site}: {error}") from error
            reason = clean(str(error)).strip() or type(error).__name__
            raise FormatError(f"{self.where}: {site}: attributes or operands that do not fit ({reason})") from error

    def image(self, name: str, shape: Shape) -> None:
        """The value that is the image, (B, C, H, W)."""
        if len(shape) != 4 or not all(0 < n <= MAX_SIDE for n in shape):
            raise FormatError(f"{self.where}: the input {shown(name)} has shape {shape}; expected images (B, C, H, W)")
        self.values[name] = self._image = Tensor(name, shape)

    def graph(self, output: str, notes: Sequence[str] = ()) -> Graph:
        """The finished graph.

        Raises
        ------
        FormatError
            Its output does not depend on the image, or is not there.
        """
        value = self.values.get(output)
        if not isinstance(value, Tensor):
            raise FormatError(f"{self.where}: the output {shown(output)} does not depend on the image")
        shape = self._image.shape
        assert shape is not None
        return Graph(
            nodes=tuple(self.nodes), image=self._image.name, image_shape=shape, output=value.name, notes=tuple(notes)
        )

    def put(self, name: str, value: Array | Quantised) -> None:
        """A constant."""
        self.values[name] = value

    def alias(self, out: str, x: str) -> None:
        """An operator that changes nothing."""
        self.values[out] = self.values[x]

    def constant(self, name: str) -> Array:
        """The value of an operand that must be constant."""
        value = self.values[name]
        if isinstance(value, Tensor):
            raise FormatError(f"operand {shown(name)} is computed from the image; only constants are read here")
        return value.values() if isinstance(value, Quantised) else value

    def integers(self, name: str) -> list[int]:
        """The numbers of an operand that must be a constant list of whole numbers."""
        value = self.constant(name)
        if value.dtype.kind not in "iu" or value.size > 64:
            raise FormatError(f"operand {shown(name)} is not a short list of whole numbers")
        return [int(each) for each in value.ravel()]

    def is_constant(self, *names: str) -> bool:
        """Whether none of these values depends on the image."""
        return not any(isinstance(self.values[name], Tensor) for name in names)

    def shape(self, x: str) -> Shape:
        """The shape of a value."""
        value = self.values[x]
        if isinstance(value, Tensor):
            assert value.shape is not None, "place() has seen to it"
            return value.shape
        return (value.whole if isinstance(value, Quantised) else value).shape

    def plane(self, x: str) -> tuple[int, int, int, int]:
        """The shape of a value that must be (B, C, H, W)."""
        shape = self.shape(x)
        if len(shape) != 4:
            raise FormatError(f"reads (B, C, H, W), got {shape}")
        return shape[0], shape[1], shape[2], shape[3]

    def weights(self, name: str) -> tuple[Array, Floats | None]:
        """Weights as they are stored, and the steps (C_out,) of whole numbers."""
        value = self.values[name]
        if isinstance(value, Quantised) and (value.axis == 0 or not value.steps.ndim):
            steps = np.broadcast_to(value.steps, value.whole.shape[:1]).astype(np.float64)
            return np.ascontiguousarray(value.whole), steps
        weight = self.constant(name)
        if weight.dtype.kind != "f":
            raise FormatError(f"weight {shown(name)} holds {weight.dtype}, expected floats")
        return np.ascontiguousarray(weight), None

    def bias(self, name: str | None, n: int) -> Array | None:
        """A bias (n,), if there is one."""
        if name is None:
            return None
        return np.broadcast_to(self.constant(name).reshape(-1).astype(np.float64), (n,))

    def _tensor(self, x: str) -> str:
        value = self.values[x]
        if not isinstance(value, Tensor):
            raise FormatError(f"operand {shown(x)} is a constant; expected what is computed from the image")
        return value.name

    def _emit(self, kind: Callable[..., N], out: str | None, inputs: Sequence[str], shape: Shape, **fields: Any) -> str:
        """Add a node; without a name for its value, it is one step on the way to another."""
        if not all(0 < n <= MAX_SIDE for n in shape[1:]):
            raise FormatError(f"would give the shape {shape}")
        self._n_values += 1
        name = f"{self._n_values}" if out is None else f"{self._n_values}:{out}"
        node = kind(site=self.site, inputs=tuple(self._tensor(x) for x in inputs), output=name, shape=shape, **fields)
        self.nodes.append(node)  # type: ignore[arg-type]
        self.values[name if out is None else out] = Tensor(name, shape)
        return name if out is None else out

    def foreign(self, out: str, inputs: Sequence[str], why: str = "", shape: Shape | None = None) -> None:
        """An operator that has no counterpart; the reason is found by its name if none is given."""
        kind = self.site.kind.lower()
        tensors = [x for x in inputs if isinstance(self.values[x], Tensor)]
        if not tensors:
            raise FormatError("is not computed, not even of constants")
        why = why or _why(kind)
        if shape is None and any(key in kind for key in _CURVES):
            shape = self.shape(tensors[0])
        self._emit(Foreign, out, tensors, shape or (1, 1), why=why)
        if shape is None:
            self.values[out] = Tensor(out, None)


def pair(values: Sequence[int]) -> Pair:
    """Two whole numbers, of which one may stand for both."""
    numbers = [int(each) for each in values]
    numbers = numbers * 2 if len(numbers) == 1 else numbers
    if len(numbers) != 2 or not all(0 < n <= MAX_SIDE for n in numbers):
        raise FormatError(f"expected two whole numbers from 1 to 2^20, got {numbers[:8]}")
    return numbers[0], numbers[1]


def four(values: Sequence[int]) -> Pads:
    """Padding: top, left, bottom, right."""
    numbers = [int(each) for each in values]
    if len(numbers) != 4 or not all(0 <= n <= MAX_SIDE for n in numbers):
        raise FormatError(f"expected four whole numbers of padding, got {numbers[:8]}")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def single(value: Array) -> float:
    """The one value of a constant."""
    if value.size != 1:
        raise FormatError(f"expected one value, got {value.size}; values for each channel are not read here")
    return float(value.reshape(-1)[0])


def per_channel(value: Array, shape: Shape) -> Floats:
    """A constant that is broadcast over (B, C, ...) as one value (1,), or one for each channel (C,)."""
    sizes = (1,) * (len(shape) - value.ndim) + value.shape
    if len(sizes) != len(shape) or any(n != 1 for i, n in enumerate(sizes) if i != 1) or sizes[1] not in (1, shape[1]):
        raise FormatError(f"a constant of shape {value.shape} is not one value, or one for each channel of {shape}")
    flat = value.reshape(-1).astype(np.float64)
    if not np.isfinite(flat).all():
        raise FormatError("a constant that is not finite")
    return flat


def _why(kind: str) -> str:
    """Why an operator has no counterpart, as far as its name tells."""
    return next((text for key, text in _WHY.items() if key in kind.lower()), "not simulated")

"""A small pickle machine that builds plain data and nothing else.

Python's own unpickler calls whatever a file names. This one knows the opcodes that checkpoints and CIFAR
batches consist of, calls only the functions its caller lists, and refuses the rest by name: nothing outside
the list is ever imported or executed. Work and memory are bounded by the size of the file.
"""

from __future__ import annotations

import struct
from codecs import escape_decode
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

from refsim.exceptions import FormatError
from refsim.formats.untrusted.text import clean

MAX_OPERATIONS = 1_000_000
"""A one-byte operation can make a 60-byte object; this bounds the whole to a hundred megabytes."""

_MAX_DIGITS = 40
_MARK = object()
_KEYS = (str, bytes, int, float, bool, type(None))

_REFUSED = {
    0x50: "PERSID", 0x69: "INST", 0x6F: "OBJ", 0x81: "NEWOBJ", 0x82: "EXT1", 0x83: "EXT2", 0x84: "EXT4",
    0x8F: "EMPTY_SET", 0x90: "ADDITEMS", 0x91: "FROZENSET", 0x92: "NEWOBJ_EX", 0x97: "NEXT_BUFFER",
    0x98: "READONLY_BUFFER",
}  # fmt: skip


@runtime_checkable
class Buildable(Protocol):
    """An object of ours whose content arrives in a second step (opcode BUILD)."""

    def build(self, state: Any) -> None:
        """Take the state; ValueError or TypeError if it does not fit."""


class Attributed(dict[Any, Any]):
    """A dictionary whose extra attributes (the `_metadata` of a state_dict) are dropped."""

    def build(self, state: Any) -> None:
        """Ignore the attributes: they hold no weights."""


class _Allowed:
    """A listed function on the stack. Only these are ever called."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call


class Budget:
    """How much the listed functions may copy, so that one long value named a million times stays one.

    `spend` raises ValueError when more is asked for than any honest file needs.
    """

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, n: int) -> None:
        self.left -= n
        if self.left < 0:
            raise ValueError("the same value is copied too often")


def shown(text: str) -> str:
    """Text from a file, quoted, shortened and with everything that is not printable escaped."""
    return f"'{clean(text, 80)}'"


def unpickle(
    data: bytes,
    *,
    where: str,
    allowed: Mapping[str, Any],
    persistent: Callable[[Any], Any] | None = None,
    start: int = 0,
) -> tuple[Any, int]:
    """Build the plain data that one pickle describes.

    Parameters
    ----------
    data, start
        The pickle begins at `start`; what follows its end is not read.
    where
        The file, for messages.
    allowed
        "module.name" -> function of the arguments the pickle gives, or a plain value; every other name is refused.
    persistent
        What to make of a persistent id (PyTorch's reference to a storage); None refuses them.

    Returns
    -------
    The value, and the position after its end. Strings of Python 2 are decoded as latin-1.

    Raises
    ------
    FormatError
        A name or operation outside the list, or a truncated or malformed pickle.
    """
    machine = _Machine(data, where, allowed, persistent, start)
    try:
        return machine.run(), machine.at
    except FormatError:
        raise
    except (IndexError, KeyError, OverflowError, RecursionError, struct.error, TypeError, ValueError) as error:
        raise FormatError(f"{where}: not a well-formed pickle (byte {machine.at}: {type(error).__name__})") from error


class _Machine:
    """The stack, the memo and one method for each operation."""

    def __init__(
        self,
        data: bytes,
        where: str,
        allowed: Mapping[str, Any],
        persistent: Callable[[Any], Any] | None,
        start: int,
    ) -> None:
        self.data = data
        self.where = where
        self.allowed = allowed
        self.persistent = persistent
        self.at = start
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MAX_OPERATIONS):
            code = self.take(1)[0]
            if code == 0x2E:  # STOP
                return self.pop()
            operation = self.OPERATIONS.get(code)
            if operation is None:
                name = _REFUSED.get(code, f"0x{code:02x}")
                raise FormatError(f"{self.where}: pickle operation {name}, which refsim does not execute")
            operation(self)
        raise FormatError(f"{self.where}: more than {MAX_OPERATIONS} pickle operations")

    # -- bytes ---------------------------------------------------------------------------------------------

    def take(self, n: int) -> bytes:
        piece = self.data[self.at : self.at + max(n, 0)]
        if len(piece) != n:
            raise FormatError(f"{self.where}: the pickle ends early (at byte {len(self.data)})")
        self.at += n
        return piece

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise FormatError(f"{self.where}: the pickle ends early (at byte {len(self.data)})")
        piece = self.data[self.at : end]
        self.at = end + 1
        return piece

    def number(self, layout: str) -> int:
        return int(struct.unpack(layout, self.take(struct.calcsize(layout)))[0])

    # -- stack ---------------------------------------------------------------------------------------------

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value should be")
        return value

    def pop_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:  # an IndexError if there is none: `at` runs past -len
            at -= 1
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def push(self, value: Any) -> None:
        self.stack.append(value)

    # -- operations ----------------------------------------------------------------------------------------

    def op_decimal(self) -> None:
        text = self.line()
        if len(text) > _MAX_DIGITS:
            raise ValueError("too many digits")
        self.push(text == b"01" if text in (b"00", b"01") else int(text.rstrip(b"L")))

    def op_long(self, layout: str) -> None:
        size = self.number(layout)
        if size > _MAX_DIGITS:
            raise ValueError("too many digits")
        self.push(int.from_bytes(self.take(size), "little", signed=True))

    def op_quoted(self) -> None:
        text = self.line()
        if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
            raise ValueError("a string without its quotes")
        self.push(escape_decode(text[1:-1])[0].decode("latin-1"))

    def op_get(self, index: int) -> None:
        self.push(self.memo[index])

    def op_put(self, index: int) -> None:
        if self.stack[-1] is _MARK:
            raise ValueError("a mark where a value should be")
        self.memo[index] = self.stack[-1]

    def op_tuple(self, n: int) -> None:
        values = [self.pop() for _ in range(n)][::-1]
        self.push(tuple(values))

    def op_append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise TypeError("append to something that is not a list")
        target.extend(values)

    def op_set(self, values: list[Any]) -> None:
        self.fill(self.stack[-1], values)

    def op_dict(self) -> None:
        values = self.pop_mark()
        target: dict[Any, Any] = {}
        self.fill(target, values)
        self.push(target)

    def fill(self, target: Any, values: list[Any]) -> None:
        if not isinstance(target, dict) or len(values) % 2:
            raise TypeError("items for something that is not a dictionary")
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Scalars only: the hash of tuples that hold each other twice takes for ever.
            if not isinstance(key, _KEYS):
                raise TypeError("a dictionary key that is not a scalar")
            target[key] = value

    def op_global(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("a name that is not a string")
        full = f"{module}.{name}"
        if full not in self.allowed:
            raise FormatError(f"{self.where}: holds {shown(full)}, which refsim does not load; save a plain state_dict")
        value = self.allowed[full]
        self.push(_Allowed(value) if callable(value) else value)

    def op_reduce(self) -> None:
        arguments = self.pop()
        function = self.pop()
        if not isinstance(function, _Allowed) or not isinstance(arguments, tuple):
            raise TypeError("a call of something that is not a function")
        self.push(function.call(*arguments))

    def op_build(self) -> None:
        state = self.pop()
        target = self.stack[-1]
        if not isinstance(target, Buildable):
            raise TypeError(f"state for a {type(target).__name__}")
        target.build(state)

    def op_persistent(self) -> None:
        if self.persistent is None:
            raise FormatError(f"{self.where}: pickle operation BINPERSID, which refsim does not execute")
        self.push(self.persistent(self.pop()))

    def op_stack_global(self) -> None:
        name = self.pop()
        self.op_global(self.pop(), name)

    OPERATIONS: ClassVar[dict[int, Callable[[_Machine], Any]]] = {
        # protocol 0 (text)
        0x28: lambda m: m.push(_MARK),
        0x30: lambda m: m.stack.pop(),
        0x31: lambda m: m.pop_mark(),
        0x32: lambda m: m.push(m.stack[-1]),
        0x46: lambda m: m.push(float(m.line())),
        0x49: lambda m: m.op_decimal(),
        0x4C: lambda m: m.op_decimal(),
        0x4E: lambda m: m.push(None),
        0x52: lambda m: m.op_reduce(),
        0x53: lambda m: m.op_quoted(),
        0x56: lambda m: m.push(m.line().decode("raw-unicode-escape")),
        0x61: lambda m: m.op_append([m.pop()]),
        0x62: lambda m: m.op_build(),
        0x63: lambda m: m.op_global(m.line().decode(), m.line().decode()),
        0x64: lambda m: m.op_dict(),
        0x67: lambda m: m.op_get(int(m.line())),
        0x6C: lambda m: m.push(m.pop_mark()),
        0x70: lambda m: m.op_put(int(m.line())),
        0x73: lambda m: m.op_set([m.pop(), m.pop()][::-1]),
        0x74: lambda m: m.push(tuple(m.pop_mark())),
        # protocol 1 (binary)
        0x29: lambda m: m.push(()),
        0x47: lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
        0x4A: lambda m: m.push(m.number("<i")),
        0x4B: lambda m: m.push(m.number("<B")),
        0x4D: lambda m: m.push(m.number("<H")),
        0x51: lambda m: m.op_persistent(),
        0x54: lambda m: m.push(m.take(m.number("<i")).decode("latin-1")),
        0x55: lambda m: m.push(m.take(m.number("<B")).decode("latin-1")),
        0x58: lambda m: m.push(m.take(m.number("<I")).decode("utf-8", "surrogatepass")),
        0x5D: lambda m: m.push([]),
        0x65: lambda m: m.op_append(m.pop_mark()),
        0x68: lambda m: m.op_get(m.number("<B")),
        0x6A: lambda m: m.op_get(m.number("<I")),
        0x71: lambda m: m.op_put(m.number("<B")),
        0x72: lambda m: m.op_put(m.number("<I")),
        0x75: lambda m: m.op_set(m.pop_mark()),
        0x7D: lambda m: m.push({}),
        # protocol 2
        0x80: lambda m: m.take(1),
        0x85: lambda m: m.op_tuple(1),
        0x86: lambda m: m.op_tuple(2),
        0x87: lambda m: m.op_tuple(3),
        0x88: lambda m: m.push(True),
        0x89: lambda m: m.push(False),
        0x8A: lambda m: m.op_long("<B"),
        0x8B: lambda m: m.op_long("<i"),
        # protocols 3 to 5
        0x42: lambda m: m.push(m.take(m.number("<I"))),
        0x43: lambda m: m.push(m.take(m.number("<B"))),
        0x8C: lambda m: m.push(m.take(m.number("<B")).decode("utf-8", "surrogatepass")),
        0x8D: lambda m: m.push(m.take(m.number("<Q")).decode("utf-8", "surrogatepass")),
        0x8E: lambda m: m.push(m.take(m.number("<Q"))),
        0x93: lambda m: m.op_stack_global(),
        0x94: lambda m: m.op_put(len(m.memo)),
        0x95: lambda m: m.take(8),
        0x96: lambda m: m.push(m.take(m.number("<Q"))),
    }

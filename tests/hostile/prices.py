"""The door --energy: price lists in JSON and TOML."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.hostile.attack import HOSTILE_NAMES, Attack, Make, damaged, odd_files

JSON = b'{"name": "chip", "source": "measured", "picojoules": {"sop": 1.5, "ann_mac_dense": 3}}'
TOML = b'name = "chip"\nsource = "measured"\n[picojoules]\nsop = 1.5\nann_mac_dense = 3\n'


def _file(name: str, data: bytes) -> Make:
    def make(folder: Path) -> list[str]:
        (folder / name).write_bytes(data)
        return ["run", "-q", "-T", "1", "--limit", "1", "--energy", name]

    return make


def _odd(name: str, put: Callable[[Path], None]) -> Make:
    def make(folder: Path) -> list[str]:
        put(folder / name)
        return ["run", "-q", "-T", "1", "--limit", "1", "--energy", name]

    return make


VALUES = (
    "-1", "NaN", "Infinity", "-Infinity", "1e400", "-0.0", "true", "null", '"1"', "[1]", "{}", "1" + "0" * 400,
    "1" + "0" * 5000, "1e308", "5e-324", '"\\u001b[31m"', '"\\ud800"',
)  # fmt: skip

TOML_VALUES = (
    "-1", "nan", "inf", "-inf", "1e400", "true", '"1"', "[1]", "{}", "0x1" + "0" * 5000, "1" + "0" * 5000, "1979-05-27",
    "07:32:00", '"\\u001b[31m"', "0b1", "0o7", "'''\n\x0b'''",
)  # fmt: skip

TEXTS = (
    "\x1b]0;owned\x07",
    "\ud800",
    "\0",
    "\N{RIGHT-TO-LEFT OVERRIDE}",
    "a\nb\r\n",
    "=1+1",
    "x" * 10_000,
    "$x^2$",
    "",
)


def attacks() -> Iterator[Attack]:
    """All of them."""

    def attack(name: str, make: Make, *codes: int) -> Attack:
        return Attack("prices", name, make, codes or (3,))

    for seed, (name, data) in enumerate({"p.json": JSON, "p.toml": TOML}.items()):
        yield attack(f"{name} as it is", _file(name, data), 0)
        for what, changed in damaged(data, 40, seed + 200):
            yield attack(f"{name} {what}", _file(name, changed), 0, 3)
        for what, put in odd_files():
            yield attack(f"{what} as {name}", _odd(name, put))
        for encoding in ("utf-16", "utf-32", "utf-8-sig", "latin-1"):
            text = data.decode().replace("chip", "ch\xefp").encode(encoding)
            yield attack(f"{name} in {encoding}", _file(name, text), 0, 3)
    for value in VALUES:
        yield attack(
            f"a price of {value[:20]} ({len(value)})", _file("p.json", JSON.replace(b"1.5", value.encode())), 0, 3
        )
        yield attack(
            f"a name of {value[:20]} ({len(value)})", _file("p.json", JSON.replace(b'"chip"', value.encode())), 0, 3
        )
        yield attack(
            f"prices of {value[:20]} ({len(value)})", _file("p.json", b'{"picojoules": ' + value.encode() + b"}")
        )
        yield attack(f"a list that is {value[:20]} ({len(value)})", _file("p.json", value.encode()))
    for value in TOML_VALUES:
        yield attack(
            f"a TOML price of {value[:20]} ({len(value)})", _file("p.toml", TOML.replace(b"1.5", value.encode())), 0, 3
        )
        yield attack(
            f"a TOML name of {value[:20]} ({len(value)})",
            _file("p.toml", TOML.replace(b'"chip"', value.encode())),
            0,
            3,
        )
    for text in TEXTS:
        for key in ("name", "source"):
            content = {"picojoules": {"sop": 1}, key: text}
            yield attack(f"{key} {text[:9]!r} ({len(text)})", _file("p.json", json.dumps(content).encode()), 0)
        unknown = json.dumps({"picojoules": {text: 1}}).encode()
        yield attack(f"an operation {text[:9]!r} ({len(text)})", _file("p.json", unknown))
        yield attack(
            f"a key {text[:9]!r} ({len(text)})",
            _file("p.json", json.dumps({"picojoules": {"sop": 1}, text: 1}).encode()),
        )
    for depth in (900, 100_000):
        yield attack(f"{depth} brackets", _file("p.json", b"[" * depth))
        yield attack(f"{depth} braces", _file("p.json", b'{"a":' * depth))
        yield attack(f"{depth} TOML brackets", _file("p.toml", b"a = " + b"[" * depth))
        yield attack(f"{depth} TOML keys", _file("p.toml", b"a" + b".a" * depth + b" = 1"))
    yield attack(
        "many operations", _file("p.json", json.dumps({"picojoules": dict.fromkeys(map(str, range(2000)), 1)}).encode())
    )
    yield attack("two tables", _file("p.toml", TOML + TOML))
    for name in HOSTILE_NAMES:
        yield attack(f"named {name!r}", _file(f"{name}.json", b"nothing"))
        yield attack(f"a model {name!r}", lambda folder, name=name: ["run", "-q", f"--energy={name}"], 2)

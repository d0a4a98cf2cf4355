"""Damaged files of other tools: bytes, lengths, numbers and texts changed at random, from a seed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Mutate = Callable[[bytes, np.random.Generator], bytes]

_NUMBERS = (0, -1, 1, 2, 3, 255, 1 << 20, 1 << 31, 1 << 40, -(1 << 62), 1 << 63, 10**30)
_VALUES = (*_NUMBERS, 0.5, -1.5, 1e308, "", "x", "../x", None, True, [], {}, [1, 2], {"as_int": 3}, {"as_none": True})


def of_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, put in, taken away or repeated."""
    mutated = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        at, n = int(rng.integers(len(mutated))), int(rng.integers(1, 9))
        match rng.integers(5):
            case 0:
                mutated[at : at + n] = rng.bytes(n)
            case 1:
                mutated[at : at + 1] = bytes([mutated[at] ^ (1 << int(rng.integers(8)))])
            case 2:
                mutated[at:at] = rng.bytes(n)
            case 3:
                del mutated[at : at + n]
            case _:
                to = int(rng.integers(len(mutated)))
                mutated[to:to] = mutated[at : at + 8 * n]
        if not mutated:
            return b""
    return bytes(mutated)


def of_archive(data: bytes, rng: np.random.Generator) -> bytes:
    """A zip archive with its JSON or members changed, and sound checksums; or with bytes changed."""
    if rng.random() < 0.3:
        return of_bytes(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    for _ in range(int(rng.integers(1, 4))):
        texts = [i for i, (name, _) in enumerate(members) if name.endswith(".json")]
        if texts and rng.random() < 0.8:
            i = int(rng.choice(texts))
            members[i] = (members[i][0], _of_json(members[i][1], rng))
        else:
            i = int(rng.integers(len(members)))
            name, content = members[i]
            members[i] = (
                name,
                of_bytes(content, rng) if content and rng.random() < 0.7 else content[: len(content) // 2],
            )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if rng.random() < 0.02 else zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def _of_json(text: bytes, rng: np.random.Generator) -> bytes:
    try:
        content = json.loads(text)
    except ValueError:
        return text
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(content))
        if not places:
            break
        holder, key = places[int(rng.integers(len(places)))]
        match rng.integers(4):
            case 0:
                holder[key] = _VALUES[int(rng.integers(len(_VALUES)))]
            case 1 if isinstance(holder, dict):
                holder[f"{key}x"] = holder.pop(key)
            case 2:
                other, there = places[int(rng.integers(len(places)))]
                holder[key], other[there] = other[there], holder[key]
                if _is_endless(content):
                    holder[key], other[there] = other[there], holder[key]
            case _:
                del holder[key]
    return json.dumps(content).encode()


def _places(content: Any) -> Any:
    """Every holder and key in a JSON value, but what only describes it."""
    stack = [content]
    while stack:
        at = stack.pop()
        items = at.items() if isinstance(at, dict) else enumerate(at) if isinstance(at, list) else ()
        for key, value in list(items):
            if key in ("stack_trace", "module_call_graph", "torch_fn"):
                continue
            yield at, key
            stack.append(value)


def _is_endless(content: Any) -> bool:
    try:
        json.dumps(content)
    except (ValueError, RecursionError):
        return True
    return False


def of_protobuf(data: bytes, rng: np.random.Generator) -> bytes:
    """An ONNX model with fields changed; or with bytes changed."""
    if rng.random() < 0.3:
        return of_bytes(data, rng)
    import onnx

    model = onnx.ModelProto.FromString(data)
    for _ in range(int(rng.integers(1, 4))):
        _change_message(model, rng)
    return model.SerializeToString()


def _change_message(model: Any, rng: np.random.Generator) -> None:
    nodes, tensors = model.graph.node, model.graph.initializer
    node = nodes[int(rng.integers(len(nodes)))]
    match rng.integers(9):
        case 0 if node.input:
            other = nodes[int(rng.integers(len(nodes)))]
            names = [*other.input, *other.output, *(t.name for t in tensors), ""]
            node.input[int(rng.integers(len(node.input)))] = str(rng.choice(names))
        case 1 if node.attribute:
            attribute = node.attribute[int(rng.integers(len(node.attribute)))]
            number = _NUMBERS[int(rng.integers(len(_NUMBERS) - 2))]
            if attribute.ints:
                attribute.ints[int(rng.integers(len(attribute.ints)))] = number
            else:
                attribute.i, attribute.f = number, float(number)
        case 2 if node.attribute:
            del node.attribute[int(rng.integers(len(node.attribute)))]
        case 3:
            node.op_type = nodes[int(rng.integers(len(nodes)))].op_type
        case 4 if tensors:
            tensor = tensors[int(rng.integers(len(tensors)))]
            if tensor.dims:
                tensor.dims[int(rng.integers(len(tensor.dims)))] = _NUMBERS[int(rng.integers(len(_NUMBERS) - 2))]
            else:
                tensor.dims.append(int(rng.integers(4)))
        case 5 if tensors:
            tensor = tensors[int(rng.integers(len(tensors)))]
            if tensor.raw_data:
                tensor.raw_data = of_bytes(tensor.raw_data, rng)
        case 6 if tensors:
            tensors[int(rng.integers(len(tensors)))].data_type = int(rng.integers(24))
        case 7:
            del nodes[int(rng.integers(len(nodes)))]
            if not nodes:
                nodes.append(node)
        case _:
            nodes.insert(int(rng.integers(len(nodes))), node)


def mutant(path: Path, rng: np.random.Generator) -> bytes:
    """The file of this path, damaged as its kind invites."""
    mutate: Mutate = of_archive if path.suffix == ".pt2" else of_protobuf if path.suffix == ".onnx" else of_bytes
    return mutate(path.read_bytes(), rng)

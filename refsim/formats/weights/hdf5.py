"""The weight file: `save`, `load` and `reseal` (specification: docs/format.md)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from refsim.exceptions import FormatError, NetworkError
from refsim.formats.atomic import write_atomically
from refsim.formats.untrusted import reader
from refsim.formats.untrusted.content import DIGEST_KEY, content_sha256
from refsim.formats.untrusted.text import clean
from refsim.formats.weights import foreign, schema, writer
from refsim.formats.weights.encode import encode
from refsim.formats.weights.parts import Golden, Samples, WeightFile
from refsim.model import Network

__all__ = ["Golden", "Samples", "WeightFile", "load", "reseal", "save"]

Path = str | os.PathLike[str]


def save(path: Path, network: Network, *, samples: Samples | None = None, golden: Sequence[Golden] = ()) -> str:
    """Write a weight file atomically and return its content digest.

    Raises
    ------
    FormatError, NetworkError
        Whatever `load` would refuse in the file; nothing has been written then.
    OSError
        The file cannot be written.
    """
    with _named(path):
        content = encode(network, samples, tuple(golden))
        schema.decode(content)
    write_atomically(path, writer.to_bytes(content))
    return content_sha256(content)


def sealed(
    network: Network,
    *,
    samples: Samples | None = None,
    golden: Sequence[Golden] = (),
    warnings: Sequence[str] = (),
) -> WeightFile:
    """The weight file of these parts, with its digest, as `load` would read it after `save`; no disk is touched.

    Raises
    ------
    FormatError, NetworkError
        As `save`.
    """
    with _named(network.name):
        content = encode(network, samples, tuple(golden))
        network, samples, stored, _ = schema.decode(content)
    return WeightFile(
        network=network, samples=samples, golden=stored, sha256=content_sha256(content), warnings=tuple(warnings)
    )


def load(path: Path) -> WeightFile:
    """Read a weight file that may be damaged or hostile.

    Raises
    ------
    FormatError, NetworkError
        One line: `vgg16.h5:/layers/conv3/weight: expected ..., got ...`.
    """
    with _named(path):
        try:
            content = reader.read_content(path)
            schema.check_version(content)
        except FormatError:
            foreign.refuse(path)
            raise
        stored, actual = content["/"].attrs.get(DIGEST_KEY), content_sha256(content)
        if stored != actual:
            shown = f"{clean(str(stored))[:16]}..." if stored is not None else "missing"
            raise FormatError(f"/: {DIGEST_KEY} is {shown}, the content has {actual[:16]}...; the file was changed")
        network, samples, golden, warnings = schema.decode(content)
    return WeightFile(
        network=network, samples=samples, golden=golden, sha256=actual, warnings=warnings, path=os.fsdecode(path)
    )


def reseal(path: Path) -> str:
    """Store the digest that fits the content of an edited file, and return it.

    Raises
    ------
    FormatError
        The file is refused before its digest is looked at.
    """
    with _named(path):
        digest = content_sha256(reader.read_content(path))
        write_atomically(path, reader.resealed_image(path, digest))
    return digest


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name before the message of what is refused."""
    name = clean(os.fsdecode(path), None)
    try:
        yield
    except NetworkError as error:
        raise NetworkError(_join(name, str(error))) from None
    except FormatError as error:
        raise FormatError(_join(name, str(error))) from None


def _join(name: str, text: str) -> str:
    # `file:/path: text`, but `file: text` where the text is about the file as a whole.
    return clean(f"{name}:{text}" if text.startswith("/") else f"{name}: {text}", None)

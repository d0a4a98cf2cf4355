"""Image data sets of many formats behind one face, read a batch at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import DataError
from refsim.formats.images import cifar, idx
from refsim.formats.images.currents import strided
from refsim.formats.images.files import FileSource
from refsim.formats.images.folders import find_images
from refsim.formats.images.labels import as_labels
from refsim.formats.images.npz import Npz, open_npy
from refsim.formats.images.preparation import Preparation, ScaledSource, check_currents
from refsim.formats.images.sources import ArraySource, ImageSource, PaddedSource, PlanarSource
from refsim.formats.images.stored import DATA_SET, Rows, whole
from refsim.formats.untrusted.opening import ANY_SIZE, open_file
from refsim.formats.untrusted.text import clean
from refsim.model import InputSpec, Network

Array = NDArray[Any]
Labels = NDArray[np.int64]
Indices = NDArray[np.int64]

FORMATS = (
    "CIFAR binary or python batches, IDX(.gz), .npz, .npy, HDF5, or a folder of class folders of PNG or JPEG images"
)
AS_IT_IS = Preparation()
SMALL = 64
"""JPEG images of at most this many pixels a side draw a warning: there compression costs accuracy."""

DIGEST_BYTES = 1 << 20
"""Pixels that are read at a time for a digest."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageData:
    """Images and their labels.

    Parameters
    ----------
    name
        Of the file or folder.
    images
        Indexed by an integer array: uint8 (n, H, W, C), or float64 input currents (n, C, H, W).
    labels : (N,) int64, or None
    classes
        Names of the labels, where the data set has them (class folders).
    warnings
        Lines for the user.
    """

    name: str
    images: ImageSource
    labels: Labels | None
    classes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def is_raw(self) -> bool:
        """Whether the images are uint8 and still need the network's preprocessing."""
        return self.images.is_raw

    def digest(self, indices: Indices, progress: Callable[[int, int], object] | None = None) -> str:
        """SHA-256 of these images as they are stored, and of their labels (docs/reliability.md says of which bytes).

        It does not depend on the rest of the data set, on padding, or on how many images are read at a time.

        Parameters
        ----------
        indices : (n,) int64
        progress
            Told after each batch how many images, of how many, have been read.
        """
        known = "no labels" if self.labels is None else "labels"
        digest = hashlib.sha256(f"refsim-images 1\n{self.images.storage}, {len(indices)} images, {known}\n".encode())
        batch = max(1, DIGEST_BYTES // prod(self.images.shape))
        for first in range(0, len(indices), batch):
            part = indices[first : first + batch]
            for piece in self.images.stored(part):
                digest.update(piece)
            if progress is not None:
                progress(first + len(part), len(indices))
        if self.labels is not None:
            digest.update(self.labels[indices].astype("<i8").data)
        return digest.hexdigest()

    def strided(self, limit: int | None) -> Indices:
        """Numbers of `limit` images spread evenly over all of them; never a prefix, folders are sorted by class."""
        return strided(len(self), limit)

    def balanced(self, n: int) -> Indices:
        """Numbers of n images, equally many of each class and spread evenly over it, in increasing order.

        Raises
        ------
        DataError
            No labels, or a class with fewer images than its share.
        """
        if self.labels is None:
            raise DataError(f"{self.name}: no labels, so no class-balanced selection")
        present = np.unique(self.labels)
        chosen = []
        for place, label in enumerate(present):
            rows = np.flatnonzero(self.labels == label)
            share = n // len(present) + (place < n % len(present))
            if share > len(rows):
                raise DataError(f"{self.name}: class {label} has {len(rows)} images, {share} wanted; ask for fewer")
            chosen.append(rows[np.arange(share) * len(rows) // max(share, 1)])
        return np.sort(np.concatenate(chosen))


def open_data(
    path: str | os.PathLike[str],
    *,
    split: str = "test",
    pad_to: tuple[int, int] | None = None,
    spec: InputSpec | None = None,
    preparation: Preparation = AS_IT_IS,
    classes: Sequence[str] = (),
) -> ImageData:
    """Open a data set; the format is told by its content.

    Parameters
    ----------
    split
        "test" or "train", where the data set has both.
    pad_to
        (H, W): put black around smaller raw images.
    spec, preparation
        What a network reads, and what is done to the images for it; None: floats stay as they are.
    classes
        The network's class names: class folders are numbered in this order if they all have such a name,
        alphabetically otherwise.

    Raises
    ------
    DataError, FormatError
        One line naming the file: unknown or damaged, no images, labels that do not fit.
    """
    path = Path(path)
    where = clean(str(path), None)
    if split not in ("test", "train"):
        raise DataError(f"split must be test or train, got {clean(split)!r}")
    if path.is_dir():
        data = _open_folder(path, split, classes, None if spec is None else spec.shape[0], preparation)
    else:
        data = _open_file(path, split)
    return _prepared(data, pad_to, spec, preparation, where)


def _prepared(
    data: ImageData,
    pad_to: tuple[int, int] | None,
    spec: InputSpec | None,
    preparation: Preparation,
    where: str,
) -> ImageData:
    """The data set with labels that fit, and images as they are asked for."""
    if data.labels is not None:
        if data.labels.shape != (len(data),):
            raise DataError(f"{where}: {data.labels.size} labels for {len(data)} images")
        if (data.labels < 0).any():
            raise DataError(f"{where}: label {data.labels.min()} is negative")
    images = data.images
    if (preparation.resize or preparation.crop) and not isinstance(images, FileSource):
        raise DataError(f"{where}: resize and crop are for image files; these images are arrays")
    if spec is not None and preparation.pad:
        pad_to = (spec.shape[1], spec.shape[2])
    if pad_to is not None and images.shape[:2] != pad_to:
        images = PaddedSource(images, pad_to, where)
    if spec is None:
        return replace(data, images=images)
    if images.is_raw and (preparation.scale is not None or preparation.currents):
        raise DataError(f"{where}: scale and currents are for floats; these images are uint8 pixels")
    if preparation.scale is not None:
        images = ScaledSource(images, preparation.scale, spec, where)
    elif not images.is_raw and not preparation.currents:
        check_currents(images, where)
    return replace(data, images=images)


def open_arrays(
    images: Array,
    labels: Array | None = None,
    *,
    pad_to: tuple[int, int] | None = None,
    spec: InputSpec | None = None,
    preparation: Preparation = AS_IT_IS,
    name: str = "arrays",
) -> ImageData:
    """Images in memory as a data set.

    Parameters
    ----------
    images
        uint8 (N, H, W, C) or (N, H, W); or input currents, floats (N, C, H, W).
    labels : (N,) or (N, 1) whole numbers, (N, K) one-hot, or None
    pad_to, spec, preparation
        As in `open_data`.

    Raises
    ------
    DataError
        Another type or shape; labels that do not fit.
    """
    source: ImageSource = ArraySource(_as_array(images, name), name)
    known = None if labels is None else as_labels(_as_array(labels, f"{name}: labels"), f"{name}: labels")
    return _prepared(ImageData(name=name, images=source, labels=known), pad_to, spec, preparation, name)


def _as_array(values: object, where: str) -> Array:
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{where}: not an array of numbers ({clean(str(error))})") from None


def check_against(data: ImageData, network: Network) -> None:
    """Check that the images and labels are what the network expects.

    Raises
    ------
    DataError
        Images of another shape, or labels beyond the network's classes.
    """
    expected = network.input.shape
    got = tuple(data.images.shape[axis] for axis in ((2, 0, 1) if data.is_raw else (0, 1, 2)))
    if got != expected:
        hint = ""
        if not data.is_raw and (got[2], *got[:2]) == expected:
            hint = (
                "; channels come first: numpy.moveaxis(images, 3, 1); and floats are input currents, "
                "which get no preprocessing, pixels are uint8"
            )
        elif data.is_raw and len(data) == expected[1] and got[1:] == (expected[2], expected[0]):
            hint = "; a single image is images[None]"
        elif got[0] != expected[0]:
            hint = f"; the network reads {network.input.color} images of {expected[0]} channel(s)"
        elif data.is_raw and got[1] <= expected[1] and got[2] <= expected[2]:
            hint = "; --pad puts black around them"
        else:
            hint = "; resize them as for training"
        raise DataError(f"{data.name}: images are {got} (C, H, W), the network expects {expected}{hint}")
    if data.labels is not None and data.labels.max() >= network.n_classes:
        raise DataError(f"{data.name}: label {data.labels.max()} is beyond the network's {network.n_classes} classes")
    named = set(data.classes) & set(network.classes)
    if named and any(network.classes.index(name) != data.classes.index(name) for name in named):
        raise DataError(f"{data.name}: the class folders are not numbered in the order of the network's classes")


def _open_file(path: Path, split: str) -> ImageData:
    where = clean(str(path), None)
    if not path.is_file():
        raise DataError(f"{where}: no such file or folder" if not path.exists() else f"{where}: not a regular file")
    head = _first_bytes(path, 8)
    if not head:
        raise DataError(f"{where}: the file is empty")
    if head[:4] == b"PK\x03\x04":
        archive = Npz(path)
        images, labels = _pick(archive.names, split, where)
        source: ImageSource = ArraySource(archive.read(images), f"{where}:{images}")
        return _data(path, source, as_labels(archive.read(labels), f"{where}:{labels}") if labels else None)
    if head[:6] == b"\x93NUMPY":
        return _data(path, ArraySource(open_npy(path), where), None)
    if head == b"\x89HDF\r\n\x1a\n":
        return _open_hdf5(path, split)
    if idx.is_idx(path, head):
        return _open_idx(path)
    if head[:2] == idx.GZIP:
        raise DataError(f"{where}: a gzip file that is not named as IDX; unpack it first")
    if path.suffix == ".bin" or cifar.label_bytes(path) is not None:
        return _cifar(path, [path])
    if head[:1] == b"\x80" or head[:1] in b"(}":
        return _cifar(path, [path])
    raise DataError(f"{where}: not a data set refsim reads ({FORMATS})")


def _first_bytes(path: Path, n: int) -> bytes:
    with open_file(path, what=DATA_SET, most=ANY_SIZE, error=DataError) as file:
        return file.read(n)


def _data(path: Path, images: ImageSource, labels: Labels | None) -> ImageData:
    return ImageData(name=clean(path.name), images=images, labels=labels)


def _cifar(path: Path, batches: list[Path]) -> ImageData:
    def read(batch: Path) -> tuple[Rows, Labels]:
        pickled = _first_bytes(batch, 1) in (b"\x80", b"(", b"}") and cifar.label_bytes(batch) is None
        return cifar.read_pickled(batch) if pickled else cifar.read_binary(batch)

    planes, labels = zip(*map(read, batches), strict=True)
    pixels = planes[0] if len(batches) == 1 else np.concatenate([whole(each)[:, -cifar.PIXELS :] for each in planes])
    if not len(pixels):
        raise DataError(f"{clean(str(path), None)}: holds no images")
    source = PlanarSource(pixels, (3, 32, 32))
    return _data(path, source, np.concatenate(labels))


def _open_idx(path: Path) -> ImageData:
    source = ArraySource(idx.read_idx(path, 3), clean(str(path), None))
    beside = idx.labels_beside(path)
    if beside is None:
        return _data(path, source, None)
    return _data(path, source, whole(idx.read_idx(beside, 1)).astype(np.int64))


def _open_folder(
    path: Path, split: str, classes: Sequence[str], channels: int | None, preparation: Preparation
) -> ImageData:
    where = clean(str(path), None)
    batches = cifar.batches_in(path, split)
    if batches:
        return _cifar(path, batches)
    images = idx.images_in(path, split)
    if images is not None:
        return _open_idx(images)
    found = find_images(path, split, classes)
    if found is None:
        raise DataError(f"{where}: nothing refsim reads in this folder ({FORMATS})")
    paths = [file for file, _ in found.files]
    source = FileSource(paths, channels=channels, resize=preparation.resize, crop=preparation.crop)
    warnings: tuple[str, ...] = ()
    if found.guessed:
        warnings = (f"{clean(path.name)}: classes numbered by their names: {_numbering(found.classes)}",)
    jpegs = sum(file.suffix.lower() in (".jpg", ".jpeg") for file in paths)
    if jpegs and max(source.shape[:2]) <= SMALL:
        warnings += (
            f"{clean(path.name)}: {jpegs} JPEG images of {source.shape[0]} x {source.shape[1]} pixels; "
            "at this size compression costs accuracy, use PNG or the original archive",
        )
    return ImageData(
        name=clean(path.name),
        images=source,
        labels=np.array([label for _, label in found.files], np.int64),
        classes=tuple(clean(name, None) for name in found.classes),
        warnings=warnings,
    )


def _numbering(names: Sequence[str]) -> str:
    shown = [f"{number} = {clean(name, 40)}" for number, name in enumerate(names)]
    return ", ".join(shown if len(shown) <= 10 else [*shown[:5], "...", *shown[-2:]])


def _pick(names: list[str], split: str, where: str) -> tuple[str, str | None]:
    """The names of images and labels among the arrays of a file."""

    def first(stems: tuple[str, ...]) -> str | None:
        candidates = [form.format(stem, split) for form in ("{0}_{1}", "{1}_{0}", "{0}") for stem in stems]
        lower = {name.lower(): name for name in names}
        return next((lower[name] for name in candidates if name in lower), None)

    images = first(("images", "x", "data"))
    if images is None:
        shown = ", ".join(clean(name, 40) for name in names[:8]) or "nothing"
        raise DataError(f"{where}: no array of images (expected images, x or x_{split}; the file holds {shown})")
    return images, first(("labels", "y", "targets"))


def _open_hdf5(path: Path, split: str) -> ImageData:
    from refsim.formats.images.hdf5 import HDF5Images

    where = clean(str(path), None)
    file = HDF5Images(path)
    images, labels = _pick(file.names, split, where)
    source = ArraySource(file.array(images), f"{where}:{clean(images)}")
    return _data(path, source, as_labels(file.read(labels), f"{where}:{clean(labels)}") if labels else None)

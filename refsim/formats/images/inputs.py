"""open_images: the images that a weight file is run on, chosen, counted and described."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import DataError, UsageError
from refsim.formats.images.currents import InputCurrents, strided
from refsim.formats.images.preparation import Preparation
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.parts import WeightFile
from refsim.model import Network

if TYPE_CHECKING:
    from refsim.formats.images.datasets import ImageData

Array = NDArray[Any]
Indices = NDArray[np.int64]
Data = str | os.PathLike[str] | Array | tuple[Array, Array | None] | None
"""A data set: its path, an array of images, images with labels; None: the samples in the weight file."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Images:
    """The images chosen from a data set, seen through a network's preprocessing.

    Parameters
    ----------
    data
        The whole data set.
    indices : (n,) int64, the chosen images in increasing order
    description
        What they are, in one phrase, e.g. "500 samples from the file".
    sha256
        Of the images chosen and their labels (`ImageData.digest`); "" where the weight file's own digest covers them.
    path
        Where the data set is; None for samples and arrays.
    preparation
        What is done to the images before the network reads them.
    limit
        How many were asked for; None: all.
    warnings
        Lines for the user.

    Raises
    ------
    DataError
        None are chosen.
    """

    data: InputCurrents
    indices: Indices
    description: str
    sha256: str = ""
    path: str | None = None
    preparation: Preparation = field(default_factory=Preparation)
    limit: int | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.indices):
            raise DataError(f"no images are left: {self.description}")

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        known = "labelled" if self.has_labels else "without labels"
        return f"Images: {self.description}, {known}, {len(self.data)} in the data set"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(repr(self))}</pre>"

    def __getitem__(self, chosen: slice) -> Images:
        """Some of the chosen images, as a slice says."""
        indices = self.indices[chosen]
        return replace(self, indices=indices, description=f"{len(indices)} of {self.description}")

    @property
    def has_labels(self) -> bool:
        """Whether the classes of the images are known."""
        return self.data.labels_of(self.indices[:0]) is not None

    @property
    def labels(self) -> Indices | None:
        """Classes of the chosen images, (n,), or None."""
        return self.data.labels_of(self.indices)

    def currents(self) -> Array:
        """Input currents of the chosen images, (n, C, H, W) float64, as `refsim.simulate` takes them.

        Raises
        ------
        DataError
            A pixel that is not finite, or an image that cannot be read.
        """
        return self.data.currents(self.indices)


def open_images(
    file: WeightFile,
    data: Data = None,
    *,
    limit: int | None = None,
    pad: bool = False,
    scale: float | None = None,
    currents: bool = False,
    resize: int | None = None,
    crop: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Images:
    """Open the images that a network is to be run on.

    Parameters
    ----------
    file
        The weight file: its network says how raw images become input currents, and its samples are the default.
    data
        Path of a data set (CIFAR batches, IDX, npz, npy, HDF5, image folder); uint8 images (N, H, W, C) or (N, H, W),
        or floats, input currents (N, C, H, W) or, with `scale`, pixels; alone or as (images, labels); None: the samples
        in the file.
    limit
        Use so many, evenly strided, never a prefix: folders are sorted by class.
    pad, scale, currents, resize, crop
        What is done to the images, as in `Preparation`.
    progress
        Told how many of the images, of how many, have been read for their digest.

    Raises
    ------
    UsageError
        No data, and the file holds no samples; a limit below 1; data of another type.
    DataError
        Data that cannot be read, or does not fit the network.
    """
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | np.integer) or limit < 1):
        raise UsageError(f"limit must be a whole number of at least 1, got {limit!r}")
    preparation = Preparation(pad=pad, scale=scale, currents=currents, resize=resize, crop=crop)
    if data is None:
        if preparation != Preparation(pad=pad):
            raise UsageError("scale, currents, resize and crop are for other images than the samples in the file")
        return _samples(file, limit)
    from refsim.formats.images.datasets import check_against

    network = file.network
    path, opened = _opened(data, network, preparation)
    check_against(opened, network)
    indices = strided(len(opened), limit)
    return Images(
        data=InputCurrents(network.input, opened.images, opened.labels, opened.name),
        indices=indices,
        description=f"{len(indices)} images from {opened.name}",
        sha256=opened.digest(indices, progress),
        path=path,
        preparation=preparation,
        limit=limit,
        warnings=opened.warnings,
    )


def _opened(data: object, network: Network, preparation: Preparation) -> tuple[str | None, ImageData]:
    """The path of a data set, if it has one, and the data set."""
    from refsim.formats.images.datasets import open_arrays, open_data

    spec = network.input
    if isinstance(data, str | os.PathLike):
        path = os.fsdecode(data)
        return path, open_data(path, spec=spec, preparation=preparation, classes=network.classes)
    if isinstance(data, tuple):
        if len(data) != 2:
            raise UsageError(f"a tuple as data must be (images, labels), got {len(data)} parts")
        return None, open_arrays(*data, spec=spec, preparation=preparation)
    # Whatever says that it is an array: of NumPy, of PyTorch, a dataset of h5py.
    if not hasattr(data, "__array__"):
        kind = type(data).__name__
        raise UsageError(f"data must be a path, an array of images, or (images, labels), got {kind}")
    return None, open_arrays(np.asarray(data), spec=spec, preparation=preparation)


def _samples(file: WeightFile, limit: int | None) -> Images:
    if file.samples is None:
        raise UsageError(f"{clean(file.name)} holds no samples; name images with --data PATH (in Python, data=...)")
    data = InputCurrents(file.network.input, file.samples.images, file.samples.labels, file.name)
    indices = strided(len(data), limit)
    return Images(data=data, indices=indices, description=f"{len(indices)} samples from the file", limit=limit)

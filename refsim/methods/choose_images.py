"""Which images a method may learn from: never those it is tested on, unless the user says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import DataError, UsageError
from refsim.formats.images.currents import InputCurrents, strided
from refsim.formats.images.inputs import Images
from refsim.formats.images.preparation import Preparation
from refsim.formats.untrusted.text import clean
from refsim.model import Network

Indices = NDArray[np.int64]

BATCH = 32
"""Images that are compared at a time."""


def open_training(path: str, network: Network, preparation: Preparation, n: int) -> Images:
    """n images of the data set at `path`, evenly strided, of its training part if it has one.

    Raises
    ------
    DataError
        Data that cannot be read, or does not fit the network.
    """
    from refsim.formats.images.datasets import check_against, open_data

    data = open_data(path, split="train", spec=network.input, preparation=preparation, classes=network.classes)
    check_against(data, network)
    rows = data.strided(n)
    return Images(
        data=InputCurrents(network.input, data.images, data.labels, data.name),
        indices=rows,
        description=f"{len(rows)} of the {len(data)} images of {data.name}",
        path=path,
        preparation=preparation,
        limit=n,
    )


def choose(network: Network, tested: Images, named: str | None, n: int, on_test: bool) -> Images:
    """The calibration images for a comparison on the images `tested`.

    Those the user names; else the training part of the data, if it is another one than is tested on; else images of
    the same part that are not tested on.

    Raises
    ------
    UsageError
        There are none left, or some of them are tested on.
    """
    if on_test:
        rows = tested.indices[strided(len(tested), n)]
        return _of_the_same(tested, rows, f"{len(rows)} of the test images themselves")
    if named is not None:
        chosen = open_training(named, network, tested.preparation, n)
    else:
        chosen = _training_part(network, tested, n) or _left_over(tested, n)
    _refuse_tested(chosen, tested)
    return chosen


def _of_the_same(tested: Images, rows: Indices, description: str) -> Images:
    return replace(tested, indices=rows, description=description, warnings=())


def _training_part(network: Network, tested: Images, n: int) -> Images | None:
    """The training part of the data, unless there is none."""
    if tested.path is None:
        return None
    try:
        chosen = open_training(tested.path, network, tested.preparation, n)
    except DataError:
        return None
    if len(chosen.data) == len(tested.data):
        first = np.arange(min(8, len(chosen.data)))
        if np.array_equal(chosen.data.currents(first), tested.data.currents(first)):
            return None
    where = clean(PurePath(tested.path).name)
    return replace(chosen, description=f"{len(chosen)} of the {len(chosen.data)} training images of {where}")


def _left_over(tested: Images, n: int) -> Images:
    rest = np.setdiff1d(np.arange(len(tested.data)), tested.indices)
    if not len(rest):
        raise UsageError(
            f"all {len(tested.data)} images are tested on, so none are left for calibration; test on fewer "
            f"(--limit N), or name others (--calibrate DATA)"
        )
    rows = rest[strided(len(rest), n)]
    return _of_the_same(tested, rows, f"{len(rows)} images of the same data, not tested on")


def _refuse_tested(chosen: Images, tested: Images) -> None:
    # Pixels where both have them: an eighth of the bytes, and they tell the same images apart.
    raw = all(images.data.stored(images.indices[:1]).dtype == np.uint8 for images in (chosen, tested))
    known = set(_fingerprints(chosen, raw))
    shared = len({found for found in _fingerprints(tested, raw) if found in known})
    if shared:
        raise UsageError(
            f"{shared} of the calibration images are tested on, too; name others with --calibrate, or say "
            f"--calibrate-on-test if that is meant"
        )


def _fingerprints(images: Images, raw: bool) -> Iterator[bytes]:
    """A digest of every image, of its pixels or of its input currents; few images are in memory at a time."""
    read = images.data.stored if raw else images.data.currents
    for first in range(0, len(images), BATCH):
        for image in read(images.indices[first : first + BATCH]):
            yield blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()

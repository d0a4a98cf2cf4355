"""Which images a method may learn from: never those it is tested on, unless the user says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.cli.options import Inputs
from refsim.exceptions import DataError, UsageError
from refsim.formats.images.currents import InputCurrents, strided
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.parts import WeightFile
from refsim.model import Network

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """Calibration images, and how to call them in one phrase."""

    images: InputCurrents
    indices: Indices
    source: str


def open_training(path: str, network: Network, pad: bool, n: int) -> Chosen:
    """n images of the data set at `path`, evenly strided, of its training part if it has one."""
    from refsim.formats.images.datasets import check_against, open_data

    data = open_data(path, split="train", pad_to=network.input.shape[1:] if pad else None, classes=network.classes)
    check_against(data, network)
    rows = data.strided(n)
    images = InputCurrents(network.input, data.images, data.labels, data.name)
    return Chosen(images=images, indices=rows, source=f"{len(rows)} of the {len(data)} images of {data.name}")


def choose(
    file: WeightFile, inputs: Inputs, data: str | None, named: str | None, pad: bool, n: int, on_test: bool
) -> Chosen:
    """The calibration images for a comparison on `inputs`.

    Those the user names; else the training part of the data, if it is another one than is tested on; else images of
    the same part that are not tested on.

    Raises
    ------
    UsageError
        There are none left, or some of them are tested on.
    """
    if on_test:
        rows = inputs.indices[strided(len(inputs.indices), n)]
        return Chosen(images=inputs.images, indices=rows, source=f"{len(rows)} of the test images themselves")
    if named is not None:
        chosen = open_training(named, file.network, pad, n)
    else:
        chosen = _training_part(file, inputs, data, pad, n) or _left_over(inputs, n)
    _refuse_tested(chosen, inputs)
    return chosen


def _training_part(file: WeightFile, inputs: Inputs, data: str | None, pad: bool, n: int) -> Chosen | None:
    """The training part of the data, unless there is none."""
    if data is None:
        return None
    try:
        chosen = open_training(data, file.network, pad, n)
    except DataError:
        return None
    if len(chosen.images) == len(inputs.images):
        first = np.arange(min(8, len(chosen.images)))
        if np.array_equal(chosen.images.currents(first), inputs.images.currents(first)):
            return None
    where = clean(data.rstrip("/").rpartition("/")[2])
    return Chosen(
        images=chosen.images,
        indices=chosen.indices,
        source=f"{len(chosen.indices)} of the {len(chosen.images)} training images of {where}",
    )


def _left_over(inputs: Inputs, n: int) -> Chosen:
    rest = np.setdiff1d(np.arange(len(inputs.images)), inputs.indices)
    if not len(rest):
        raise UsageError(
            f"all {len(inputs.images)} images are tested on, so none are left for calibration; test on fewer "
            f"(--images N), or name others (--calibration DATA)"
        )
    rows = rest[strided(len(rest), n)]
    return Chosen(images=inputs.images, indices=rows, source=f"{len(rows)} images of the same data, not tested on")


def _refuse_tested(chosen: Chosen, inputs: Inputs) -> None:
    def keys(images: Any, rows: Indices) -> set[bytes]:
        return {images.currents(rows[i : i + 1]).tobytes() for i in range(len(rows))}

    shared = len(keys(chosen.images, chosen.indices) & keys(inputs.images, inputs.indices))
    if shared:
        raise UsageError(
            f"{shared} of the calibration images are tested on, too; name others with --calibration, or say "
            f"--calibrate-on-test if that is meant"
        )

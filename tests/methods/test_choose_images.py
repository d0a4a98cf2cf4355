"""Calibration images are never those that are tested on, whatever form they have, and however many there are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refsim.exceptions import UsageError
from refsim.formats.images.inputs import Images, open_images
from refsim.formats.weights.hdf5 import WeightFile, sealed
from refsim.methods.choose_images import BATCH, choose
from tests.simulation.networks import raw_images, small_network


@pytest.fixture(scope="module")
def file() -> WeightFile:
    return sealed(small_network())


def save(path, images, currents=None):
    np.savez(path, x=images if currents is None else currents.normalize(images))
    return str(path)


class Counted:
    """A data set that notes how many images are asked for at a time."""

    def __init__(self, data):
        self._data, self.asked = data, []

    def __len__(self):
        return len(self._data)

    def stored(self, indices):
        self.asked.append(len(indices))
        return self._data.stored(indices)

    def currents(self, indices):
        self.asked.append(len(indices))
        return self._data.currents(indices)


def counted(images: Images) -> tuple[Images, list[int]]:
    data = Counted(images.data)
    return replace(images, data=data), data.asked


def test_few_images_are_in_memory_at_a_time(file, tmp_path):
    images = raw_images(150)
    tested, asked = counted(open_images(file, save(tmp_path / "tested.npz", images[:100])))
    chosen = choose(file.network, tested, save(tmp_path / "others.npz", images[100:]), 50, on_test=False)
    assert len(chosen) == 50
    assert sum(asked) >= 100
    assert max(asked) <= BATCH < 100


@pytest.mark.parametrize("tested_floats", [False, True])
@pytest.mark.parametrize("chosen_floats", [False, True])
def test_an_image_is_known_again_in_either_form(file, tmp_path, tested_floats, chosen_floats):
    images = raw_images(60)
    spec = file.network.input
    tested = open_images(file, save(tmp_path / "a.npz", images[:40], spec if tested_floats else None))
    others = save(tmp_path / "b.npz", images[37:], spec if chosen_floats else None)
    with pytest.raises(UsageError, match=r"^3 of the calibration images are tested on, too; name others with"):
        choose(file.network, tested, others, 23, on_test=False)
    assert len(choose(file.network, tested, save(tmp_path / "c.npz", images[40:]), 20, on_test=False)) == 20

"""open_images: what it opens and what it says, and one clear line for everything that it cannot open."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from refsim.exceptions import DataError, FormatError, UsageError
from refsim.formats.images import datasets
from refsim.formats.images.inputs import open_images
from refsim.formats.weights.hdf5 import Samples, sealed
from tests.simulation.networks import raw_images, small_network

RAW = raw_images(12)
LABELS = np.arange(12) % 5
FLOATS = small_network().input.normalize(RAW)


@pytest.fixture(scope="module")
def file():
    return sealed(small_network(), samples=Samples(images=RAW, labels=LABELS))


class Tensor:
    """An array of another library."""

    def __init__(self, values):
        self._values = values

    def __array__(self, dtype=None, copy=None):
        return self._values


def test_samples_are_the_default(file):
    images = open_images(file)
    assert (len(images), images.sha256, images.path) == (12, "", None)
    assert images.description == "12 samples from the file"
    np.testing.assert_array_equal(images.labels, LABELS)
    np.testing.assert_array_equal(images.currents(), FLOATS)


@pytest.mark.parametrize("data", [RAW, FLOATS, (RAW, LABELS), (FLOATS, LABELS.tolist()), (RAW, None), Tensor(RAW)])
def test_arrays_are_images(file, data):
    images = open_images(file, data, limit=np.int64(5))
    assert images.indices.tolist() == [0, 2, 4, 7, 9]
    assert images.description == "5 images from arrays"
    np.testing.assert_array_equal(images.currents(), FLOATS[images.indices])
    assert images.has_labels == (isinstance(data, tuple) and data[1] is not None)
    assert len(images.sha256) == 64


def test_a_path_and_its_arrays_have_one_digest(file, tmp_path):
    np.savez(tmp_path / "a.npz", x=RAW, y=LABELS)
    opened = open_images(file, tmp_path / "a.npz")
    assert opened.path == str(tmp_path / "a.npz")
    assert opened.sha256 == open_images(file, (RAW, LABELS)).sha256 == open_images(file, str(tmp_path / "a.npz")).sha256
    assert opened.sha256 != open_images(file, tmp_path / "a.npz", limit=11).sha256
    header = b"refsim-images 1\nuint8 (H, W, C) (6, 6, 3), 12 images, labels\n"
    expected = hashlib.sha256(header + RAW.tobytes() + LABELS.astype("<i8").tobytes()).hexdigest()
    assert opened.sha256 == expected


def test_how_far_the_digest_is_can_be_watched(file, monkeypatch):
    monkeypatch.setattr(datasets, "DIGEST_BYTES", 5 * 6 * 6 * 3)
    told = []
    open_images(file, RAW, progress=lambda *done: told.append(done))
    assert told == [(5, 12), (10, 12), (12, 12)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (RAW[:0], r"arrays: holds no images \(shape \(0, 6, 6, 3\)\)"),
        (FLOATS[:0], r"arrays: holds no images \(shape \(0, 3, 6, 6\)\)"),
        (
            FLOATS.transpose(0, 2, 3, 1),
            r"arrays: images are \(6, 6, 3\) \(C, H, W\), the network expects \(3, 6, 6\); channels come first: "
            r"numpy\.moveaxis\(images, 3, 1\); and floats are input currents, which get no preprocessing, pixels are",
        ),
        (
            RAW.transpose(0, 3, 1, 2),
            r"arrays: uint8 images must be \(N, H, W\), \(N, H, W, 1\) or \(N, H, W, 3\), got \(12, 3, 6, 6\); "
            r"channels come last: numpy\.moveaxis\(images, 1, 3\)",
        ),
        (
            RAW[0],
            r"arrays: images are \(1, 6, 3\) \(C, H, W\), the network expects \(3, 6, 6\); "
            r"a single image is images\[None\]",
        ),
        (
            FLOATS[0],
            r"arrays: input currents \(float\) must be \(N, C, H, W\), got \(3, 6, 6\); a single one is images\[None\]",
        ),
        (
            FLOATS.reshape(12, -1),
            r"arrays: input currents \(float\) must be \(N, C, H, W\), got \(12, 108\)",
        ),
        (np.array(3.0), r"arrays: input currents \(float\) must be \(N, C, H, W\), got \(\)"),
        (
            RAW.astype(np.int64),
            r"arrays: images must be uint8, or float input currents; got int64; "
            r"pixels from 0 to 255 become uint8 by \.astype\(numpy\.uint8\)",
        ),
        (RAW > 9, r"arrays: images must be uint8, or float input currents; got bool"),
        (RAW.astype("S3"), r"arrays: images must be uint8, or float input currents; got \|S3"),
        (RAW.astype(object), r"arrays: images must be uint8, or float input currents; got object"),
        (RAW[:, :5], r"arrays: images are \(3, 5, 6\) \(C, H, W\), the network expects \(3, 6, 6\); --pad puts black"),
        (RAW[..., :1], r"arrays: images are \(1, 6, 6\) .* the network reads RGB images of 3 channel\(s\)"),
        (([[1, 2], [3]], None), r"arrays: not an array of numbers \(.*inhomogeneous"),
        ((RAW, LABELS[:5]), r"arrays: 5 labels for 12 images"),
        ((RAW, LABELS - 1), r"arrays: label -1 is negative"),
        ((RAW, LABELS + 1), r"arrays: label 5 is beyond the network's 5 classes"),
        ((RAW, LABELS / 2), r"arrays: labels: labels must be integers \(N,\), got float64 \(12,\) that are not whole"),
        ((RAW, 2 * np.eye(5)[LABELS]), r"arrays: labels: labels float64 \(12, 5\) are not one-hot"),
        ((RAW, np.ones((12, 5))), r"arrays: labels: labels float64 \(12, 5\) are not one-hot"),
        ("missing.npz", r"missing\.npz: no such file or folder"),
        ("", r"nothing refsim reads in this folder|no such file"),
    ],
)
def test_images_that_do_not_fit_are_one_line(file, data, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        open_images(file, data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, r"^data must be a path, an array of images, or \(images, labels\), got int$"),
        ([RAW], r"^data must be a path, an array of images, or \(images, labels\), got list$"),
        ({"x": RAW}, r"^data must be a path, .* got dict$"),
        ((RAW,), r"^a tuple as data must be \(images, labels\), got 1 parts$"),
        ((RAW, LABELS, 3), r"^a tuple as data must be \(images, labels\), got 3 parts$"),
    ],
)
def test_what_is_no_data_is_one_line(file, data, message):
    with pytest.raises(UsageError, match=message):
        open_images(file, data)


@pytest.mark.parametrize("limit", [0, -1, 2.5, True, "3"])
def test_a_limit_is_a_whole_number(file, limit):
    with pytest.raises(UsageError, match=rf"^limit must be a whole number of at least 1, got {limit!r}$"):
        open_images(file, limit=limit)


def test_no_images_are_one_line(file):
    images = open_images(file)
    with pytest.raises(DataError, match=r"^no images are left: 0 of 12 samples from the file$"):
        images[:0]
    with pytest.raises(UsageError, match=r"^small holds no samples; name images with --data PATH \(in Python, data="):
        open_images(replace(file, samples=None))
    with pytest.raises(FormatError, match=r"^small:/samples/images: holds no images$"):
        sealed(file.network, samples=Samples(images=RAW[:0], labels=LABELS[:0]))


def test_currents_that_are_not_finite_are_named(file):
    currents = FLOATS.copy()
    currents[7, 1, 2, 3] = np.nan
    with pytest.raises(DataError, match=r"^arrays: image 7 holds values that are not finite$"):
        open_images(file, currents).currents()

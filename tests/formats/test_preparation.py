"""What people have on their disks: floats that are pixels, ImageNet's folders, images of many sizes, odd labels."""

import numpy as np
import pytest
from PIL import Image

from refsim import open_images
from refsim.exceptions import DataError, UsageError
from refsim.formats.images import files as image_files
from refsim.formats.images.datasets import open_data
from refsim.formats.images.files import FileSource, resized
from refsim.formats.images.folders import in_order
from refsim.formats.images.labels import as_labels
from refsim.formats.images.preparation import Preparation
from refsim.formats.weights.hdf5 import sealed
from refsim.model import Flatten, InputSpec, Linear, Network

RNG = np.random.default_rng(8)
PIXELS = RNG.integers(0, 256, (6, 5, 4, 3), np.uint8)
SPEC = InputSpec(shape=(3, 5, 4), mean=np.array([0.5, 0.25, 0.125]), std=np.array([0.25, 0.5, 1]))


@pytest.fixture(scope="module")
def file():
    layers = (
        Flatten(name="flat", inputs="input"),
        Linear(name="fc", inputs="flat", weight=np.ones((9, 60)), bias=np.zeros(9)),
    )
    return sealed(Network(name="n", input=SPEC, layers=layers))


# -- floats ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("top", "scale", "kind"), [(1, "1", r"0\.\.1"), (255, "1/255", r"0\.\.255")])
@pytest.mark.parametrize("last", [False, True])
def test_floats_in_the_range_of_pixels_are_asked_about(file, top, scale, kind, last):
    pixels = PIXELS / 255 * top
    images = pixels if last else np.moveaxis(pixels, 3, 1)
    if not last:
        with pytest.raises(DataError, match=rf"pixels of {kind}, say --scale {scale} .* say --currents"):
            open_images(file, images)
        np.testing.assert_array_equal(open_images(file, images, currents=True).currents(), images)
    found = open_images(file, images, scale=1 / top).currents()
    np.testing.assert_allclose(found, SPEC.normalize(PIXELS), rtol=0, atol=1e-12)


@pytest.mark.parametrize("images", [np.moveaxis(PIXELS / 255, 3, 1) - 0.5, np.moveaxis(PIXELS * 2.0, 3, 1)])
def test_floats_that_cannot_be_pixels_are_input_currents(file, images):
    np.testing.assert_array_equal(open_images(file, images).currents(), images)


def test_what_cannot_be_said_of_images_is_refused(file, tmp_path):
    images = np.moveaxis(PIXELS / 255, 3, 1)
    for wrong in (0, -1, np.inf, np.nan):
        with pytest.raises(UsageError, match="scale must be positive and finite"):
            open_images(file, images, scale=wrong)
    with pytest.raises(UsageError, match="the data are one or the other"):
        open_images(file, images, scale=1, currents=True)
    with pytest.raises(DataError, match="scale and currents are for floats; these images are uint8"):
        open_images(file, PIXELS, scale=1)
    with pytest.raises(UsageError, match="crop must be a whole number of at least 1, got 0"):
        open_images(file, PIXELS, crop=0)
    with pytest.raises(DataError, match="resize and crop are for image files; these images are arrays"):
        open_images(file, PIXELS, resize=4)
    with pytest.raises(UsageError, match="are for other images than the samples in the file"):
        open_images(file, scale=1)
    with pytest.raises(DataError, match="pixels of 1 channels, the network reads 3"):
        open_images(file, images[:, :1], scale=1)


# -- labels ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values", [[2, 0, 1], [[2], [0], [1]], [2.0, 0.0, 1.0], np.eye(3)[[2, 0, 1]], np.eye(3, dtype=bool)[[2, 0, 1]]]
)
def test_labels_of_many_forms_are_the_same_classes(values):
    found = as_labels(np.asarray(values), "y")
    assert (found.dtype, found.tolist()) == (np.int64, [2, 0, 1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, 1], "that are not whole"),
        ([np.nan, 1], "that are not whole"),
        ([[0, 1], [1, 1]], "are not one-hot"),
        ([[0, 0], [1, 0]], "are not one-hot"),
        ([[0, 0.9], [1, 0]], "are not one-hot"),
        ([True, False], "labels must be integers"),
        (["a", "b"], "labels must be integers"),
        ([[[1]]], "labels must be integers"),
        ([], "labels must be integers"),
    ],
)
def test_labels_that_are_no_labels_are_refused(values, message):
    with pytest.raises(DataError, match=message):
        as_labels(np.asarray(values), "y")


# -- folders -----------------------------------------------------------------------------------------------


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def test_folders_named_by_numbers_are_in_numeric_order(tmp_path):
    for number in range(12):
        save(tmp_path / str(number) / "a.png", PIXELS[number % 6])
    data = open_data(tmp_path)
    assert data.classes == tuple(map(str, range(12)))
    assert data.warnings[0].endswith("0 = 0, 1 = 1, 2 = 2, 3 = 3, 4 = 4, ..., 10 = 10, 11 = 11")
    assert in_order(["10", "9", "a"]) == ["10", "9", "a"]


def test_tiny_imagenet_as_it_is_published(tmp_path):
    for number, name in enumerate(("n03", "n01", "n02")):
        save(tmp_path / "train" / name / "images" / "x.JPEG", PIXELS[number])
    for number in range(3):
        save(tmp_path / "val" / "images" / f"val_{number}.JPEG", PIXELS[number])
        save(tmp_path / "test" / "images" / f"test_{number}.JPEG", PIXELS[number])
    lines = ["val_0.JPEG\tn02\t0\t32\t44\t62", "val_1.JPEG\tn03\t1\t1\t1\t1", "val_2.JPEG\tn02\t1\t1\t1\t1"]
    (tmp_path / "val" / "val_annotations.txt").write_text("\n".join(lines))
    data = open_data(tmp_path)
    # n01 is in no line, and has its number all the same.
    assert (data.classes, data.labels.tolist()) == (("n01", "n02", "n03"), [1, 2, 1])
    assert open_data(tmp_path / "val").labels.tolist() == [1, 2, 1]
    assert open_data(tmp_path, split="train").labels.tolist() == [0, 1, 2]
    assert open_data(tmp_path, classes=("n03", "n02", "n01")).labels.tolist() == [1, 0, 1]
    with pytest.raises(DataError, match=r"test: images without labels; expected class folders, or a file of labels"):
        open_data(tmp_path / "test")
    (tmp_path / "val" / "val_annotations.txt").write_text(lines[0])
    with pytest.raises(DataError, match=r"val_annotations\.txt: val_1\.JPEG is not in it"):
        open_data(tmp_path)


def test_an_unlabelled_test_part_is_never_scored(tmp_path):
    for number in range(3):
        save(tmp_path / "test" / "images" / f"{number}.png", PIXELS[number])
    with pytest.raises(DataError, match="test: images without labels"):
        open_data(tmp_path)
    save(tmp_path / "val" / "cat" / "a.png", PIXELS[0])
    save(tmp_path / "val" / "dog" / "a.png", PIXELS[1])
    assert open_data(tmp_path).labels.tolist() == [0, 1]
    flat = tmp_path / "flat" / "test"
    save(flat / "1.png", PIXELS[0])
    with pytest.raises(DataError, match="images without labels"):
        open_data(tmp_path / "flat")


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("val.txt", "ILSVRC2012_val_1.JPEG 3\nILSVRC2012_val_2.JPEG 0\n", [3, 0]),
        ("val.txt", "ILSVRC2012_val_1.JPEG n02\nILSVRC2012_val_2.JPEG n01\n", [1, 0]),
        (
            "LOC_val_solution.csv",
            "ImageId,PredictionString\nILSVRC2012_val_2,n02 1 2 3 4 \nILSVRC2012_val_1,n01 9 9 9 9 n01 1 1 1 1\n",
            [0, 1],
        ),
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_imagenets_flat_validation_part(tmp_path, name, text, labels, beside):
    for number in (1, 2):
        save(tmp_path / "val" / f"ILSVRC2012_val_{number}.JPEG", PIXELS[number])
    ((tmp_path if beside else tmp_path / "val") / name).write_text(text)
    assert open_data(tmp_path).labels.tolist() == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"3\n0\n", "line 1 has no image and label; a list of labels alone numbers classes"),
        (b"", "lists no images"),
        (b"\xff\xfe", "not a text file"),
    ],
)
def test_files_of_labels_that_say_nothing_are_refused(tmp_path, text, message):
    save(tmp_path / "val" / "a.png", PIXELS[0])
    (tmp_path / "val" / "val.txt").write_bytes(text)
    with pytest.raises(DataError, match=message):
        open_data(tmp_path)


# -- resizing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(50, 37), (37, 50), (41, 41), (256, 40), (20, 20)])
def test_images_are_resized_and_cropped_as_torchvision_does_it(tmp_path, width, height):
    image = RNG.integers(0, 256, (height, width, 3), np.uint8)
    save(tmp_path / "a" / "1.png", image)
    found = open_data(tmp_path, preparation=Preparation(resize=32, crop=28)).images[np.array([0])][0]
    # torchvision.transforms.functional: resize, _compute_resized_output_size, center_crop; of Pillow images.
    short, long = min(width, height), max(width, height)
    new_long = int(32 * long / short)
    size = (32, new_long) if width <= height else (new_long, 32)
    expected = Image.fromarray(image).resize(size, Image.BILINEAR)
    left, top = round((size[0] - 28) / 2.0), round((size[1] - 28) / 2.0)
    np.testing.assert_array_equal(found, np.asarray(expected.crop((left, top, left + 28, top + 28))))


def test_sizes_are_those_of_torchvision():
    torchvision = pytest.importorskip("torchvision.transforms.functional")
    for width, height in ((500, 375), (375, 500), (333, 1000), (97, 113)):
        image = Image.new("RGB", (width, height))
        assert torchvision.resize(image, 256).size == resized(width, height, 256)


def test_images_of_many_sizes_become_one(tmp_path):
    for number, size in enumerate(((40, 30), (30, 40), (64, 64))):
        save(tmp_path / "a" / f"{number}.png", RNG.integers(0, 256, (*size, 3), np.uint8))
    with pytest.raises(DataError, match="--resize N --crop N makes one size of them"):
        open_data(tmp_path).images[np.arange(3)]
    with pytest.raises(DataError, match=r"image of 30 x 40, the others are 21 x 16|--crop does"):
        open_data(tmp_path, preparation=Preparation(resize=16)).images[np.arange(3)]
    assert open_data(tmp_path, preparation=Preparation(resize=16, crop=16)).images[np.arange(3)].shape == (3, 16, 16, 3)
    with pytest.raises(DataError, match="cannot be cropped to 48"):
        open_data(tmp_path, preparation=Preparation(crop=48)).images[np.arange(3)]


def test_grey_images_among_coloured_ones_become_coloured(tmp_path):
    save(tmp_path / "a" / "0.png", PIXELS[0, ..., 0])
    save(tmp_path / "a" / "1.png", PIXELS[1])
    images = open_data(tmp_path, spec=SPEC).images[np.arange(2)]
    np.testing.assert_array_equal(images[0], np.repeat(PIXELS[0, ..., :1], 3, 2))


# -- files of strangers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["png", "jpeg", "bmp", "ppm", "webp", "tiff"])
def test_formats_that_are_read_are_told_by_content(tmp_path, name):
    (tmp_path / "a").mkdir()
    Image.fromarray(PIXELS[0]).save(tmp_path / "a" / "1.png", format=name.upper())
    assert open_data(tmp_path).images[np.array([0])].shape == (1, 5, 4, 3)


def test_an_eps_file_never_reaches_its_decoder(tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments, **options: started.append(arguments))
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "1.png"
    Image.fromarray(PIXELS[0]).save(path, format="EPS")
    assert Image.open(path).format == "EPS"
    with pytest.raises(DataError, match="not a readable image"):
        open_data(tmp_path)
    assert not started


def test_truncated_pictures_are_refused_without_a_word_of_pillow(tmp_path, recwarn):
    save(tmp_path / "a" / "1.jpg", RNG.integers(0, 256, (64, 64, 3), np.uint8))
    data = open_data(tmp_path)
    path = tmp_path / "a" / "1.jpg"
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match=r"1\.jpg: damaged image \(image file is truncated"):
        data.images[np.array([0])]
    assert not recwarn.list


def test_the_limit_of_pixels_is_refsims_own(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(image_files.FileSource, "_MAX_PIXELS_RESIZED", 1000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    save(tmp_path / "a" / "1.png", np.zeros((30, 30), np.uint8))
    assert FileSource([tmp_path / "a" / "1.png"], resize=8).shape == (8, 8, 1)
    save(tmp_path / "a" / "1.png", np.zeros((40, 40), np.uint8))
    with pytest.raises(DataError, match=r"40 x 40 pixels is too large|DecompressionBombError"):
        FileSource([tmp_path / "a" / "1.png"], resize=8)
    assert not recwarn.list

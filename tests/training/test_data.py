import sys
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from refsim.exceptions import DataError, UsageError  # noqa: E402
from refsim.formats.images.idx import read_idx  # noqa: E402
from refsim.training.augment import augment, auto_augment, cutout, random_crop, random_flip  # noqa: E402
from refsim.training.data import load_data  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def test_images_are_padded_with_raw_black_before_normalisation(tiny_fashion):
    data = load_data("fashion-mnist", path=tiny_fashion, n_validation=100, size=32)
    assert data.input_shape == (1, 32, 32)
    x = data.normalise(data.test.images)
    assert x[:, :, :2].unique().tolist() == [pytest.approx(-0.2860 / 0.3530)]
    inner = data.test.images[0, 0, 2:-2, 2:-2].numpy()
    raw = read_idx(tiny_fashion / "t10k-images-idx3-ubyte.gz", 3)[0]
    np.testing.assert_array_equal(inner, raw)
    np.testing.assert_allclose(x[0, 0, 2:-2, 2:-2], (raw / 255 - 0.2860) / 0.3530, rtol=1e-5, atol=1e-6)


def test_validation_images_are_class_balanced_and_never_trained_on(tiny_fashion):
    data = load_data("fashion-mnist", path=tiny_fashion, n_validation=100, size=28)
    assert (len(data.train), len(data.validation), len(data.test)) == (500, 100, 100)
    assert torch.bincount(data.validation.labels).tolist() == [10] * 10
    trained_on = {image.numpy().tobytes() for image in data.train.images}
    assert not any(image.numpy().tobytes() in trained_on for image in data.validation.images)


def test_the_validation_split_does_not_depend_on_the_seed_of_the_run(tiny_fashion):
    torch.manual_seed(1)
    first = load_data("fashion-mnist", path=tiny_fashion, n_validation=100)
    torch.manual_seed(2)
    second = load_data("fashion-mnist", path=tiny_fashion, n_validation=100)
    assert torch.equal(first.validation.images, second.validation.images)


def test_cifar10_is_read_from_an_npz_with_channels_last(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"x_{part}": rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8) for part in ("train", "test")}
    labels = {f"y_{part}": np.arange(20) % 10 for part in ("train", "test")}
    np.savez(tmp_path / "cifar.npz", **arrays, **labels)
    data = load_data("cifar10", path=tmp_path / "cifar.npz", n_validation=10)
    assert data.input_shape == (3, 32, 32)
    np.testing.assert_array_equal(data.test.images[3].permute(1, 2, 0).numpy(), arrays["x_test"][3])


def test_a_data_set_without_a_usual_place_asks_for_its_path():
    with pytest.raises(UsageError, match="--data cifar10: say where the images are with --data-path"):
        load_data("cifar10")


def test_fashion_mnist_that_is_not_installed_is_named_with_its_package(monkeypatch, tmp_path):
    monkeypatch.setattr("refsim.training.data.FASHION_MNIST_FOLDER", tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"nowhere \(Debian package dataset-fashion-mnist\); give the IDX files"):
        load_data("fashion-mnist")


def test_an_unknown_data_set_is_refused():
    with pytest.raises(UsageError, match=r"unknown data set 'mnist': expected one of .*fashion-mnist"):
        load_data("mnist")


def test_images_without_labels_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", **{f"x_{part}": np.zeros((20, 32, 32, 3), np.uint8) for part in ("train", "test")})
    with pytest.raises(DataError, match=r"a\.npz: no labels to train with"):
        load_data("cifar10", path=tmp_path / "a.npz")


def test_input_currents_are_refused_because_they_cannot_be_augmented(tmp_path):
    labels = {f"y_{part}": np.arange(20) % 10 for part in ("train", "test")}
    np.savez(tmp_path / "a.npz", **labels, **{f"x_{part}": np.zeros((20, 3, 32, 32)) for part in ("train", "test")})
    with pytest.raises(DataError, match=r"a\.npz: training needs raw uint8 images"):
        load_data("cifar10", path=tmp_path / "a.npz")


def test_samples_are_class_balanced_test_images(tiny_fashion):
    data = load_data("fashion-mnist", path=tiny_fashion, n_validation=100)
    assert torch.bincount(data.samples.labels).tolist() == [10] * 10
    test_images = {image.numpy().tobytes() for image in data.test.images}
    assert all(image.numpy().tobytes() in test_images for image in data.samples.images)


def test_there_are_as_many_samples_as_the_rarest_class_allows(tmp_path):
    images = np.zeros((40, 32, 32, 3), np.uint8)
    even, uneven = np.arange(40) % 10, np.minimum(np.arange(40) % 13, 9)
    uneven[uneven == 4] = 5  # a class without any image asks for none
    np.savez(tmp_path / "cifar.npz", x_train=images, y_train=even, x_test=images, y_test=uneven)
    samples = load_data("cifar10", path=tmp_path / "cifar.npz", n_validation=10).samples
    _, per_class = np.unique(uneven, return_counts=True)
    assert np.unique(samples.labels, return_counts=True)[1].tolist() == [per_class.min()] * 9


def test_a_crop_is_a_window_of_the_padded_image():
    images = torch.arange(1, 2 * 3 * 6 * 5 + 1).reshape(2, 3, 6, 5)
    cropped = random_crop(images, 2, seeded())
    assert cropped.shape == images.shape
    padded = torch.nn.functional.pad(images, (2,) * 4)
    for image, window in zip(padded, cropped, strict=True):
        windows = [image[:, y : y + 6, x : x + 5] for y in range(5) for x in range(5)]
        assert any(torch.equal(window, candidate) for candidate in windows)


def test_a_flip_mirrors_about_half_of_the_images_left_to_right():
    images = torch.arange(400 * 2 * 3).reshape(400, 1, 2, 3)
    flipped = random_flip(images, seeded())
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(flipped, images, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(flipped, images, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 150 < sum(mirrored) < 250


def test_cutout_blackens_one_square_that_the_border_may_cut():
    images = torch.ones(50, 3, 16, 16, dtype=torch.uint8)
    cut = cutout(images, 8, seeded())
    areas = (cut[:, 0] == 0).sum((1, 2))
    assert int(areas.max()) <= 64
    assert int(areas.min()) >= 16
    assert torch.equal(cut[:, 0], cut[:, 2])


def test_augmentation_depends_on_its_generator_alone():
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    kinds = ("crop", "flip", "cutout")
    torch.manual_seed(1)
    first = augment(images, kinds, seeded(3))
    torch.manual_seed(2)
    assert torch.equal(first, augment(images, kinds, seeded(3)))
    assert not torch.equal(first, augment(images, kinds, seeded(4)))
    assert first.dtype == torch.uint8


def test_no_augmentation_leaves_the_images_alone():
    images = torch.randint(0, 256, (8, 1, 28, 28), dtype=torch.uint8)
    assert torch.equal(augment(images, (), seeded()), images)


def test_auto_augment_without_torchvision_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.transforms", None)
    with pytest.raises(UsageError, match="autoaugment needs torchvision"):
        auto_augment(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), seeded())


def test_auto_augment_draws_from_its_generator_and_leaves_the_global_one_alone(monkeypatch):
    """torchvision stands in as a policy that adds a number drawn, as its own does, from the global generator."""

    class AutoAugment:
        def __init__(self, policy):
            assert policy == "cifar10"

        def __call__(self, image):
            return image + torch.randint(0, 100, (), dtype=torch.uint8)

    v2 = SimpleNamespace(AutoAugment=AutoAugment, AutoAugmentPolicy=SimpleNamespace(CIFAR10="cifar10"))
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torchvision.transforms", SimpleNamespace(v2=v2))
    images = torch.zeros(5, 3, 4, 4, dtype=torch.uint8)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = augment(images, ("autoaugment",), seeded(3))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(first, augment(images, ("autoaugment",), seeded(3)))
    assert len(first[:, 0, 0, 0].unique()) > 1

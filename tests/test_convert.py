"""`refsim.runs.convert.convert` as a function: what it returns, what it tells, and what it refuses."""

import numpy as np
import pytest

from refsim.exceptions import CheckFailedError, DataError, FormatError, RefsimError, UsageError
from refsim.formats.weights.hdf5 import load
from refsim.runs.convert import convert
from tests.importers import pickles, sources


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    state = sources.random_vgg(np.random.default_rng(1), [[4], [6]], side=8, head=[10])
    return pickles.write_pth(tmp_path_factory.mktemp("convert") / "small.pth", state)


@pytest.fixture(scope="module")
def samples(checkpoint):
    images = np.random.default_rng(2).integers(0, 256, (40, 8, 8, 3), np.uint8)
    np.savez(checkpoint.parent / "test.npz", images=images, labels=np.arange(40) % 10)
    return checkpoint.parent / "test.npz"


def converted(source, **changes):
    options = {"L": 4, "preset": "cifar10", "input_shape": (3, 8, 8), "pool": "avg"}
    return convert(source, **(options | changes))


def test_nothing_is_written_until_it_is_saved(tmp_path, checkpoint, samples):
    before = sorted(checkpoint.parent.iterdir())
    file = converted(checkpoint, samples=samples, n_samples=10, golden=3)
    assert sorted(checkpoint.parent.iterdir()) == before
    assert (file.path, file.name, file.warnings) == ("", "small", ())
    assert file.save(tmp_path / "a.h5") == file.sha256
    stored = load(tmp_path / "a.h5")
    assert stored.sha256 == file.sha256
    assert stored.network.metadata == file.network.metadata
    np.testing.assert_array_equal(stored.golden[1].logits, file.golden[1].logits)


def test_a_path_may_be_text_and_numbers_any_sequence(checkpoint, samples):
    numbers = {"mean": np.array([0.5, 0.25, 0.125]), "std": [1, 2, 4], "preset": None, "classes": list("abcdefghij")}
    file = converted(str(checkpoint), samples=str(samples), n_samples=10, golden=0, **numbers)
    np.testing.assert_array_equal(file.network.input.mean, [0.5, 0.25, 0.125])
    assert file.network.classes == tuple("abcdefghij")
    assert file.golden == ()


def test_lines_for_the_user_are_told_at_once_and_kept(checkpoint):
    told = []
    file = converted(checkpoint, L=None, notes=told.append)
    assert told == list(file.warnings)
    assert told[0].startswith("without L the file says L=0 (unknown)")
    assert "ann_accuracy_samples" not in file.network.metadata


def test_without_L_the_samples_say_which_L_fits(checkpoint, samples):
    options = {"samples": samples, "n_samples": 40, "golden": 0}
    line = converted(checkpoint, L=None, **options).warnings[-1]
    for L in (2, 4, 8, 16, 32):
        measured = converted(checkpoint, L=L, **options).network.metadata["ann_accuracy_samples"].split(" ")[0]
        assert f"{measured} % with L = {L}" in line
    assert "of 40 samples right; L = " in line


def test_the_accuracy_expected_is_that_of_the_samples(checkpoint, samples):
    file = converted(checkpoint, samples=samples, n_samples=40, golden=0)
    measured = float(file.network.metadata["ann_accuracy_samples"].split(" ")[0])
    assert converted(checkpoint, samples=samples, n_samples=40, golden=0, expect=measured).sha256 == file.sha256
    with pytest.raises(CheckFailedError, match=rf"small\.pth: the ANN gets {measured} % of 40 samples .* 99\.5 % was"):
        converted(checkpoint, samples=samples, n_samples=40, golden=0, expect=99.5)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"L": 0}, UsageError, "L must be a whole number of at least 1, got 0"),
        ({"L": 2.5}, UsageError, r"L must be a whole number of at least 1, got 2\.5"),
        ({"L": True}, UsageError, "L must be a whole number of at least 1, got True"),
        ({"threads": 0}, UsageError, "threads must be a whole number of at least 1, got 0"),
        ({"golden": -1}, UsageError, "golden must be a whole number of at least 0, got -1"),
        ({"preset": "cifar"}, UsageError, "no preset 'cifar'; there are cifar10, cifar10-qcfs"),
        ({"mean": 0.5}, UsageError, r"mean must be numbers, one per channel, or the name of a preset, got 0\.5"),
        ({"std": (1, np.inf, 1)}, UsageError, "std: the numbers must be finite"),
        ({"classes": "mnist"}, UsageError, "no preset 'mnist'"),
        ({"neuron": "signed"}, UsageError, "neuron must be if or dual, got 'signed'"),
        (
            {"arch": "alexnet"},
            UsageError,
            "arch must be auto, vgg, resnet, resnet-cifar, vgg-features, vgg-slimming, sequential, got 'alexnet'",
        ),
        ({"bn_eps": -1}, UsageError, "bn_eps must be finite and not negative, got -1"),
        ({"pool": "max"}, UsageError, "pool must be one of none, avg, max-cumulative, max-or, got 'max'"),
        ({"expect": 150}, UsageError, "expect must be a percentage from 0 to 100, got 150"),
        ({"expect": 50}, UsageError, r"the ANN's accuracy on the samples; name some \(samples\)"),
        ({"expect": 50, "L": None, "samples": "x"}, UsageError, "which cannot be computed without L"),
        ({"samples": "missing.npz"}, DataError, "missing.npz: no such file or folder"),
    ],
)
def test_what_cannot_be_meant_is_one_line(checkpoint, options, kind, message):
    with pytest.raises(kind, match=message) as caught:
        converted(checkpoint, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["missing.pth", "a\0b.pth", "/"])
def test_a_source_that_cannot_be_read_is_one_line(source):
    with pytest.raises(FormatError, match=r"cannot be opened|not a checkpoint"):
        converted(source)


def test_damage_is_named_with_the_file(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(RefsimError, match=r"a\.pth: damaged zip archive"):
        converted(tmp_path / "a.pth")

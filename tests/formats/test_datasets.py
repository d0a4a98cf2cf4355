"""Every data format gives the same images and labels, and every fault is one line that names the file."""

import gzip
import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image

from refsim.exceptions import DataError, FormatError
from refsim.formats.images import datasets
from refsim.formats.images.currents import InputCurrents
from refsim.formats.images.datasets import check_against, open_arrays, open_data
from refsim.model import Flatten, InputSpec, Linear, Network

N = 30
RNG = np.random.default_rng(5)
COLOR = RNG.integers(0, 256, (N, 32, 32, 3), np.uint8)
GREY = RNG.integers(0, 256, (N, 28, 28, 1), np.uint8)
LABELS = np.arange(N) * 7 % 10


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder, images=GREY, labels=LABELS, packed=True, prefix="t10k"):
    pack, end = (gzip.compress, ".gz") if packed else (bytes, "")
    path = folder / f"{prefix}-images-idx3-ubyte{end}"
    path.write_bytes(pack(idx(images[..., 0])))
    (folder / f"{prefix}-labels-idx1-ubyte{end}").write_bytes(pack(idx(labels.astype(np.uint8))))
    return path


def write_cifar10(path, images=COLOR, labels=LABELS):
    planes = np.moveaxis(images, 3, 1).reshape(len(images), -1)
    path.write_bytes(b"".join(bytes([label]) + plane.tobytes() for label, plane in zip(labels, planes)))
    return path


def write_pickled(path, images=COLOR, labels=LABELS, key="labels", protocol=2):
    planes = np.moveaxis(images, 3, 1).reshape(len(images), -1)
    path.write_bytes(
        pickle.dumps({b"data": planes, key.encode(): list(map(int, labels)), b"filenames": ["a"]}, protocol)
    )
    return path


def write_folder(root, images=COLOR, labels=LABELS, suffix=".png", names="abcdefghij"):
    for number, (image, label) in enumerate(zip(images, labels)):
        folder = root / names[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(folder / f"{number:03}{suffix}")
    return root


def everything(data):
    return data.images[np.arange(len(data))], data.labels


def assert_holds(data, images, labels=LABELS):
    actual, actual_labels = everything(data)
    assert data.is_raw
    assert actual.dtype == np.uint8
    np.testing.assert_array_equal(actual, images)
    np.testing.assert_array_equal(actual_labels, labels)
    assert actual_labels.dtype == np.int64
    some = np.array([7, 2, 2, 29])
    np.testing.assert_array_equal(data.images[some], images[some])


# -- formats -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("folder", [True, False])
def test_idx(tmp_path, packed, folder):
    path = write_idx(tmp_path, packed=packed)
    write_idx(tmp_path, images=GREY[::-1], packed=packed, prefix="train")
    assert_holds(open_data(tmp_path if folder else path), GREY)
    np.testing.assert_array_equal(everything(open_data(tmp_path, split="train"))[0], GREY[::-1])


def test_idx_without_its_labels_has_none(tmp_path):
    path = write_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    assert open_data(path).labels is None


def test_cifar10_binary(tmp_path):
    write_cifar10(tmp_path / "test_batch.bin")
    assert_holds(open_data(tmp_path), COLOR)
    assert_holds(open_data(tmp_path / "test_batch.bin"), COLOR)
    for number in (1, 2):
        write_cifar10(tmp_path / f"data_batch_{number}.bin", COLOR + np.uint8(number))
    images, labels = everything(open_data(tmp_path, split="train"))
    np.testing.assert_array_equal(images, np.concatenate([COLOR + np.uint8(1), COLOR + np.uint8(2)]))
    np.testing.assert_array_equal(labels, np.concatenate([LABELS, LABELS]))


def test_cifar100_binary_gives_the_fine_labels(tmp_path):
    planes = np.moveaxis(COLOR, 3, 1).reshape(N, -1)
    path = tmp_path / "test.bin"
    path.write_bytes(b"".join(bytes([99, label]) + plane.tobytes() for label, plane in zip(LABELS, planes)))
    assert_holds(open_data(path), COLOR)
    assert_holds(open_data(tmp_path), COLOR)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(("name", "key"), [("test_batch", "labels"), ("test", "fine_labels")])
def test_cifar_python_batches(tmp_path, protocol, name, key):
    path = write_pickled(tmp_path / name, key=key, protocol=protocol)
    assert_holds(open_data(path), COLOR)
    assert_holds(open_data(tmp_path), COLOR)


def test_cifar_python_batches_as_python_2_wrote_them(tmp_path):
    raw = np.moveaxis(COLOR, 3, 1).tobytes()
    data = (
        b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(" + b"".join(b"K" + bytes([label]) for label in LABELS)
        + b"eU\x04dataq\x04"
        b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01K"
        + bytes([N]) + b"M\x00\x0c\x86cnumpy\ndtype\nq\x08U\x02u1K\x00K\x01\x87Rq\t(K\x03U\x01|NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<I", len(raw)) + raw + b"tbu."
    )  # fmt: skip
    (tmp_path / "test_batch").write_bytes(data)
    assert_holds(open_data(tmp_path), COLOR)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "names", [("x_test", "y_test"), ("images", "labels"), ("X", "Y"), ("test_images", "test_labels")]
)
def test_npz(tmp_path, save, names):
    other = {"x_train": COLOR[:3], "y_train": LABELS[:3]} if names[0] == "x_test" else {}
    save(tmp_path / "a.npz", **{names[0]: COLOR, names[1]: LABELS[:, None]}, **other)
    assert_holds(open_data(tmp_path / "a.npz"), COLOR)
    if other:
        assert len(open_data(tmp_path / "a.npz", split="train")) == 3


def test_npz_of_grey_images_without_their_channel(tmp_path):
    np.savez(tmp_path / "a.npz", images=GREY[..., 0], labels=LABELS)
    assert_holds(open_data(tmp_path / "a.npz"), GREY)


@pytest.mark.parametrize("chunks", [None, True])
def test_hdf5(tmp_path, chunks):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", data=COLOR, chunks=chunks, compression="gzip" if chunks else None)
        file["labels"] = LABELS
    assert_holds(open_data(tmp_path / "a.h5"), COLOR)


def test_npy_has_no_labels_and_is_mapped(tmp_path):
    np.save(tmp_path / "a.npy", COLOR)
    data = open_data(tmp_path / "a.npy")
    assert data.labels is None
    np.testing.assert_array_equal(data.images[np.array([4, 1])], COLOR[[4, 1]])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_arrays_are_input_currents_as_they_are(tmp_path, dtype):
    x = RNG.normal(size=(N, 3, 8, 8)).astype(dtype)
    np.savez(tmp_path / "a.npz", x=x, y=LABELS)
    np.save(tmp_path / "a.npy", x)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = x
    for name in ("a.npz", "a.npy", "a.h5"):
        data = open_data(tmp_path / name)
        assert not data.is_raw
        assert data.images[np.array([3, 0])].dtype == np.float64
        np.testing.assert_array_equal(data.images[np.array([3, 0])], x[[3, 0]].astype(np.float64))


@pytest.mark.parametrize("split", ["", "test"])
def test_image_folders_are_numbered_by_name(tmp_path, split):
    order = np.argsort(LABELS, kind="stable")
    data = open_data(write_folder(tmp_path / split).parent if split else write_folder(tmp_path))
    assert_holds(data, COLOR[order], LABELS[order])
    assert data.classes == tuple("abcdefghij")
    (line,) = data.warnings
    assert "classes numbered by their names: 0 = a, 1 = b, 2 = c," in line


def test_image_folders_take_the_order_of_the_networks_classes(tmp_path):
    names = ("truck", "car", "ship", "cat", "dog", "bird", "deer", "frog", "plane", "horse")
    write_folder(tmp_path, names=names)
    order = np.argsort(LABELS, kind="stable")
    data = open_data(tmp_path, classes=names)
    np.testing.assert_array_equal(data.labels, LABELS[order])
    assert data.classes == names
    alphabetical = open_data(tmp_path)
    assert alphabetical.classes == tuple(sorted(names))
    network = network_for((3, 32, 32), classes=names)
    check_against(data, network)
    with pytest.raises(DataError, match="class folders are not numbered in the order of the network's classes"):
        check_against(alphabetical, network)


def test_grey_image_folders_have_one_channel(tmp_path):
    order = np.argsort(LABELS, kind="stable")
    assert_holds(open_data(write_folder(tmp_path, GREY)), GREY[order], LABELS[order])


def test_small_jpegs_draw_one_warning_and_large_ones_none(tmp_path):
    small = open_data(write_folder(tmp_path / "small", suffix=".jpg"))
    assert len(small.warnings) == 2
    assert "30 JPEG images of 32 x 32 pixels; at this size compression costs accuracy" in small.warnings[1]
    large = RNG.integers(0, 256, (2, 80, 80, 3), np.uint8)
    assert len(open_data(write_folder(tmp_path / "large", large, [0, 1], suffix=".jpg")).warnings) == 1


# -- what the object offers --------------------------------------------------------------------------------


ALL = np.arange(N)


def test_the_digest_is_that_of_the_header_the_stored_rows_and_the_labels(tmp_path):
    np.savez(tmp_path / "a.npz", images=COLOR, labels=LABELS.astype(np.uint8))
    some = np.array([2, 7, 29])
    for stored, path in (
        (COLOR[some], tmp_path / "a.npz"),
        (np.moveaxis(COLOR[some], 3, 1), write_cifar10(tmp_path / "test_batch.bin")),
    ):
        axes, shape = ("H, W, C", "(32, 32, 3)") if path.suffix == ".npz" else ("C, H, W", "(3, 32, 32)")
        header = f"refsim-images 1\nuint8 ({axes}) {shape}, 3 images, labels\n".encode()
        expected = hashlib.sha256(header + stored.tobytes() + LABELS[some].astype("<i8").tobytes()).hexdigest()
        assert open_data(path).digest(some) == expected


def test_the_digest_of_class_folders_is_that_of_the_files(tmp_path):
    data = open_data(write_folder(tmp_path))
    files = [path.read_bytes() for path in sorted(tmp_path.rglob("*.png"))]
    stored = b"".join(hashlib.sha256(file).digest() for file in files)
    header = f"refsim-images 1\nfiles (H, W, C) (32, 32, 3), {N} images, labels\n".encode()
    assert data.digest(ALL) == hashlib.sha256(header + stored + np.sort(LABELS).astype("<i8").tobytes()).hexdigest()


def test_the_same_rows_have_one_digest_in_every_format(tmp_path):
    write_idx(tmp_path)
    np.savez(tmp_path / "a.npz", x_test=GREY, y_test=LABELS)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", data=GREY, chunks=(7, 28, 28, 1), compression="gzip")
        file["labels"] = LABELS
    opened = [
        *map(open_data, (tmp_path, tmp_path / "a.npz", tmp_path / "a.h5")),
        open_data(tmp_path, pad_to=(32, 32)),
        open_arrays(GREY, LABELS),
        open_arrays(GREY[..., 0], LABELS),
    ]
    assert len({data.digest(ALL) for data in opened}) == 1
    write_pickled(tmp_path / "test_batch")
    write_cifar10(tmp_path / "test.bin")
    assert open_data(tmp_path / "test_batch").digest(ALL) == open_data(tmp_path / "test.bin").digest(ALL)
    floats = GREY.transpose(0, 3, 1, 2).astype(">f4")
    np.savez(tmp_path / "f.npz", x=np.asfortranarray(floats))
    assert open_data(tmp_path / "f.npz").digest(ALL) == open_arrays(floats.astype("<f4")).digest(ALL)


def test_the_digest_tells_apart_what_the_network_would(tmp_path):
    before = open_arrays(COLOR, LABELS).digest(ALL)
    changed = COLOR.copy()
    changed[29, 31, 31, 2] ^= 1
    others = [
        open_arrays(changed, LABELS).digest(ALL),
        open_arrays(COLOR, np.roll(LABELS, 1)).digest(ALL),
        open_arrays(COLOR).digest(ALL),
        open_arrays(COLOR, LABELS).digest(ALL[::-1]),
        open_arrays(COLOR, LABELS).digest(ALL[:-1]),
        open_arrays(COLOR.reshape(N, 16, 64, 3), LABELS).digest(ALL),
    ]
    assert len({before, *others}) == 7
    assert open_arrays(changed, LABELS).digest(ALL[:29]) == open_arrays(COLOR, LABELS).digest(ALL[:29])
    classes = write_folder(tmp_path)
    before = open_data(classes).digest(ALL)
    sorted(classes.rglob("*.png"))[11].write_bytes(b"changed")
    assert open_data(classes).digest(ALL) != before


def test_the_digest_reads_only_the_images_asked_for_and_says_how_far_it_is(monkeypatch):
    monkeypatch.setattr(datasets, "DIGEST_BYTES", 4 * 32 * 32 * 3)
    data = open_arrays(COLOR, LABELS)
    read, stored = [], data.images.stored
    monkeypatch.setattr(data.images, "stored", lambda indices: read.append(indices.tolist()) or stored(indices))
    told = []
    digest = data.digest(ALL[::3], lambda done, total: told.append((done, total)))
    assert read == [[0, 3, 6, 9], [12, 15, 18, 21], [24, 27]]
    assert told == [(4, 10), (8, 10), (10, 10)]
    monkeypatch.undo()
    assert data.digest(ALL[::3]) == digest


def test_a_limit_strides_evenly_and_is_never_a_prefix(tmp_path):
    data = open_data(write_cifar10(tmp_path / "test_batch.bin"))
    np.testing.assert_array_equal(data.strided(10), np.arange(0, 30, 3))
    np.testing.assert_array_equal(data.strided(7), [0, 4, 8, 12, 17, 21, 25])
    for limit in (None, 30, 99):
        np.testing.assert_array_equal(data.strided(limit), np.arange(30))


def test_a_balanced_choice_has_equal_shares_from_all_over_each_class(tmp_path):
    labels = np.repeat([0, 1, 2], [15, 9, 6])
    data = open_data(write_cifar10(tmp_path / "test_batch.bin", labels=labels))
    rows = data.balanced(10)
    np.testing.assert_array_equal(np.bincount(labels[rows]), [4, 3, 3])
    np.testing.assert_array_equal(rows, [0, 3, 7, 11, 15, 18, 21, 24, 26, 28])
    with pytest.raises(DataError, match="class 2 has 6 images, 7 wanted; ask for fewer"):
        data.balanced(21)


def test_padding_puts_black_around_centred_images(tmp_path):
    path = write_idx(tmp_path)
    padded = open_data(path, pad_to=(32, 33))
    assert padded.images.shape == (32, 33, 1)
    images = padded.images[np.arange(N)]
    np.testing.assert_array_equal(images[:, 2:30, 2:30], GREY)
    images[:, 2:30, 2:30] = 0
    assert not images.any()
    assert open_data(path, pad_to=(28, 28)).images.shape == (28, 28, 1)
    with pytest.raises(DataError, match="images of 28 x 28 cannot be padded to 24 x 24"):
        open_data(path, pad_to=(24, 24))
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 1, 28, 28)))
    with pytest.raises(DataError, match="input currents cannot be padded; black is not zero"):
        open_data(tmp_path / "x.npz", pad_to=(32, 32))


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the peak memory of a process from /proc")
def test_a_data_set_larger_than_memory_streams(tmp_path):
    """4 GiB of images (holes in the file), opened and sampled by a process of less than 300 MB."""
    shape = (1_400_000, 32, 32, 3)
    np.lib.format.open_memmap(tmp_path / "big.npy", "w+", np.uint8, shape)
    with h5py.File(tmp_path / "big.h5", "w") as file:
        # Chunks that have their place in the file and were never written there.
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk((64, 32, 32, 3))
        settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        h5py.h5d.create(file.id, b"images", h5py.h5t.STD_U8LE, h5py.h5s.create_simple(shape), settings)
    code = """
import sys
import numpy as np
from refsim.formats.images.currents import InputCurrents
from refsim.formats.images.datasets import open_data
data = open_data(sys.argv[1])
assert len(data) == 1_400_000
assert not data.images[data.strided(50)].any()
# Not getrusage: its maximum counts what the parent held before exec.
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
    for name in ("big.npy", "big.h5"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / name)], capture_output=True, text=True, check=True
        )
        assert int(done.stdout) < 300_000, f"{name}: {done.stdout} kB"


# -- faults ------------------------------------------------------------------------------------------------


def network_for(shape, n_classes=10, classes=()):
    weight = np.ones((n_classes, int(np.prod(shape))), np.float32)
    layers = (
        Flatten(name="flat", inputs=("input",)),
        Linear(name="out", inputs=("flat",), weight=weight, bias=np.zeros(n_classes)),
    )
    return Network(name="net", input=InputSpec(shape=shape), layers=layers, classes=classes)


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((1, 32, 32), "--pad puts black around them"),
        ((1, 24, 24), "resize them as for training"),
        ((3, 28, 28), r"the network reads RGB images of 3 channel\(s\)"),
    ],
)
def test_images_of_another_shape_are_refused_with_both_shapes(tmp_path, shape, hint):
    data = open_data(write_idx(tmp_path))
    with pytest.raises(DataError, match=r"images are \(1, 28, 28\) \(C, H, W\), the network expects .*" + hint):
        check_against(data, network_for(shape))
    check_against(data, network_for((1, 28, 28)))


def test_input_currents_are_checked_too(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 3, 8, 9)))
    check_against(open_data(tmp_path / "a.npz"), network_for((3, 8, 9)))
    with pytest.raises(DataError, match=r"images are \(3, 8, 9\) .* expects \(3, 9, 8\)"):
        check_against(open_data(tmp_path / "a.npz"), network_for((3, 9, 8)))


def test_a_pixel_that_is_not_a_number_is_named_with_its_image(tmp_path):
    x = np.zeros((4, 3, 8, 9))
    x[2, 1, 0, 0] = np.nan
    np.savez(tmp_path / "a.npz", x=x)
    data = open_data(tmp_path / "a.npz")
    currents = InputCurrents(InputSpec(shape=(3, 8, 9)), data.images, data.labels, data.name)
    assert currents.currents(np.array([0, 1, 3])).shape == (3, 3, 8, 9)
    with pytest.raises(DataError, match=r"a\.npz: image 2 holds values that are not finite"):
        currents.currents(np.array([3, 2]))


def test_labels_beyond_the_classes_are_refused(tmp_path):
    data = open_data(write_idx(tmp_path))
    with pytest.raises(DataError, match="label 9 is beyond the network's 9 classes"):
        check_against(data, network_for((1, 28, 28), 9))


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npz_with_header(shape, dtype="|u1"):
    """An .npz whose npy header says one thing and whose member holds 100 bytes."""
    buffer = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(100))
    return buffer.getvalue()


def hdf5(build):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        build(file)
    return buffer.getvalue()


def link_outside(file):
    file["images"] = h5py.ExternalLink("/etc/passwd", "/x")


def store_outside(file):
    file.create_dataset("images", (4, 2, 2, 3), "u1", external=[("/etc/passwd", 0, 48)])


IDX = idx(GREY[..., 0])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npz", b"", "the file is empty"),
        ("a.txt", b"hello, world", "not a data set refsim reads .CIFAR binary or python batches, IDX"),
        ("a.npz", npz(x=COLOR, y=LABELS[:9]), "9 labels for 30 images"),
        ("a.npz", npz(x=COLOR, y=LABELS - 3), "label -3 is negative"),
        ("a.npz", npz(x=COLOR, y=LABELS / 2), r":y: labels must be integers \(N,\), got float64 \(30,\)"),
        ("a.npz", npz(x=COLOR, y=2 * np.eye(30, dtype=int)), r"labels int64 \(30, 30\) are not one-hot: a row"),
        ("a.npz", npz(x=COLOR, y=np.array(5)), "labels must be integers"),
        ("a.npz", npz(x=COLOR.astype(int)), ":x: images must be uint8, or float input currents; got int64"),
        ("a.npz", npz(x=COLOR[:0]), r":x: holds no images \(shape \(0, 32, 32, 3\)\)"),
        ("a.npz", npz(x=np.moveaxis(COLOR, 3, 1)), r"uint8 images must be \(N, H, W\)"),
        ("a.npz", npz(x=COLOR[0, 0]), "uint8 images must be"),
        ("a.npz", npz(x=np.zeros((3, 4))), r"input currents \(float\) must be \(N, C, H, W\), got \(3, 4\)"),
        ("a.npz", npz(foo=COLOR, bar=LABELS), "no array of images .expected images, x or x_test; the file holds foo"),
        ("a.npz", npz(x=np.array([{}])), "holds object, not numbers; refsim loads no pickled objects"),
        ("a.npz", npz(x=COLOR)[:2000], "damaged .npz file"),
        ("a.npz", npz_with_header((1 << 50, 2, 2, 3)), r":x: 100 bytes do not fit the shape \(1125899906842624, 2"),
        ("a.npz", npz_with_header((5, 5, 3)), "100 bytes do not fit the shape"),
        ("a.npy", b"\x93NUMPY\x09\x00aaaaaaa", "not an array of NumPy's format"),
        ("a.npy", b"\x93NUMPY\x01\x00", "not an array of NumPy's format"),
        ("a.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '|u1', 'f\xb2", "not an array of NumPy's format"),
        ("a.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"(" * 20_000, "not an array of NumPy's format"),
        ("a.npy", b"\x93NUMPY\x01\x00\x00\x20" + b"(" * 0x2000, "not an array of NumPy's format"),
        ("t10k-images-idx3-ubyte.gz", gzip.compress(IDX)[:500], "truncated or damaged gzip file"),
        ("t10k-images-idx3-ubyte.gz", gzip.compress(IDX[:-1]), "fewer bytes than the 23520 its header promises"),
        ("t10k-images-idx3-ubyte.gz", gzip.compress(IDX + b"1"), "more bytes than the 23520 its header promises"),
        ("t10k-images-idx3-ubyte", IDX[:-1], "fewer bytes than the 23520 its header promises"),
        ("t10k-images-idx3-ubyte", IDX[:9], "not an IDX file of unsigned bytes with 3 axes"),
        ("t10k-images-idx3-ubyte", b"\0\0\x08\x03" + b"\xff" * 12, "fewer bytes than the"),
        ("t10k-images-idx3-ubyte.gz", gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12), "more than the file can hold"),
        ("t10k-images-idx3-ubyte.gz", gzip.compress(b"\0\0\x08\x03" + b"\0\0\1\0" * 3), "more than the file can hold"),
        ("t10k-images-idx3-ubyte", idx(GREY[:0, ..., 0]), "holds no images"),
        ("labels-idx1", idx(LABELS.astype(np.uint8)), "not an IDX file of unsigned bytes with 3 axes"),
        ("a.tar.gz", gzip.compress(b"a"), "a gzip file that is not named as IDX; unpack it first"),
        ("test_batch.bin", bytes(3072), "not a CIFAR binary batch .3072 bytes are no whole number of records of"),
        ("test_batch", pickle.dumps([1]), "not a CIFAR batch .expected a dictionary, got list"),
        ("test_batch", pickle.dumps({"data": [1]}), "not a CIFAR batch .no uint8 'data' of shape"),
        ("test_batch", pickle.dumps({"data": np.zeros((2, 3072), "u1"), "labels": ["a"]}), "no list of integers"),
        ("test_batch", pickle.dumps({"data": np.zeros((2, 3072), "u1"), "labels": [1]}), "1 labels for 2 images"),
        ("test_batch", pickle.dumps({"data": np.zeros((2, 3072)), "labels": [1, 2]}), "no uint8 'data'"),
        ("a.h5", hdf5(lambda file: None), "no array of images .* the file holds nothing"),
        ("a.h5", hdf5(link_outside), "no array of images"),
        ("a.h5", hdf5(store_outside), "a.h5:images: has external storage, in other files"),
        ("a.h5", hdf5(lambda file: file.create_group("images")), "no array of images"),
        ("a.h5", hdf5(lambda file: file.create_dataset("x", data=["a", "b"])), "a.h5:x: is a variable-length string"),
        ("a.h5", hdf5(lambda file: file.create_dataset("x", data=COLOR))[:5000], "damaged HDF5 file"),
    ],
)  # fmt: skip
def test_every_fault_is_one_line_that_names_the_file(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        open_data(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_code_in_a_batch_is_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    path = tmp_path / "test_batch"
    path.write_bytes(pickle.dumps({"data": Evil()}))
    with pytest.raises(FormatError, match=r"holds 'posix\.mkdir', which refsim does not load"):
        open_data(path)
    assert not (tmp_path / "made").exists()


def test_things_that_are_no_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        open_data(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        open_data(tmp_path / "pipe")
    with pytest.raises(DataError, match="nothing refsim reads in this folder"):
        open_data(tmp_path)
    with pytest.raises(DataError, match="split must be test or train, got 'validation'"):
        open_data(tmp_path, split="validation")


def test_damaged_and_odd_images_are_named(tmp_path):
    write_folder(tmp_path)
    data = open_data(tmp_path)
    paths = sorted(tmp_path.rglob("*.png"))
    index = np.array([5])
    Image.new("RGB", (20, 32)).save(paths[5])
    with pytest.raises(DataError, match=rf"{paths[5].name}: image of 32 x 20, the others are 32 x 32; --resize"):
        data.images[index]
    Image.new("I;16", (32, 32)).save(paths[5])
    with pytest.raises(DataError, match="image of mode I;16; only 8 bits per channel are read"):
        data.images[index]
    paths[5].write_bytes(b"junk")
    with pytest.raises(DataError, match="not a readable image"):
        data.images[index]
    Image.fromarray(COLOR[0]).save(paths[5])
    paths[5].write_bytes(paths[5].read_bytes()[:200])
    with pytest.raises(DataError, match=rf"{paths[5].name}: damaged image"):
        data.images[index]


def test_an_image_that_claims_to_be_huge_is_not_decoded(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("1", (5000, 5000)).save(tmp_path / "a" / "bomb.png")
    with pytest.raises(DataError, match=r"bomb\.png: an image of 5000 x 5000 pixels is too large"):
        open_data(tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_members_compressed_in_ways_that_nobody_writes_are_refused(tmp_path, method):
    """Their decoders take as much memory as the data asks for, and raise errors of their own."""
    np.savez(tmp_path / "a.npz", images=COLOR)
    with zipfile.ZipFile(tmp_path / "a.npz") as good, zipfile.ZipFile(tmp_path / "b.npz", "w", method) as other:
        other.writestr("images.npy", good.read("images.npy"))
    with pytest.raises(DataError, match=f"member compressed by method {method}; deflate is read"):
        open_data(tmp_path / "b.npz")


def test_a_list_of_members_that_claims_gigabytes_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez(path, images=COLOR)
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    # Where the list begins is reckoned from its length; so the file has to be as long.
    with path.open("wb") as file:
        file.write(data[:end])
        file.seek(1 << 30)
        data[end + 12 : end + 20] = (512 << 20).to_bytes(4, "little") + ((1 << 30) - (512 << 20)).to_bytes(4, "little")
        file.write(data[end:])
    with pytest.raises(DataError, match="the list of members has 536870912 bytes, at most 4194304 are read"):
        open_data(path)

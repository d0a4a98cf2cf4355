"""What large networks and large data need: resident memory of whole runs, measured from outside."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from refsim.formats.weights.hdf5 import save
from refsim.model import Activation, AvgPool2d, Conv2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking
from tests.large.networks import write

pytestmark = pytest.mark.heavy

MIB = 2**20


class Peak(NamedTuple):
    """Most of a process's memory at any time, in bytes: all of it, and without the pages of mapped files."""

    resident: int
    own: int


def run(*arguments: object) -> Peak:
    """Run the command line; what it needed."""
    command = [sys.executable, "-m", "refsim", "run", "-q", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        peak = [0, 0]

        def watch() -> None:
            while child.poll() is None:
                try:
                    lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
                except OSError:
                    break
                facts = dict(line.split(":", 1) for line in lines)
                for i, key in enumerate(("VmHWM", "RssAnon")):
                    if key in facts:
                        peak[i] = max(peak[i], int(facts[key].split()[0]) * 1024)
                time.sleep(0.02)

        watcher = threading.Thread(target=watch)
        watcher.start()
        watcher.join()
    assert child.returncode == 0
    print(f"{arguments}: {peak[0] / MIB:.0f} MiB resident, {peak[1] / MIB:.0f} MiB of its own")
    return Peak(*peak)


@pytest.mark.parametrize(("name", "dtype"), [("resnet34", "exact"), ("resnet34", "float64"), ("vgg16", "float64")])
def test_an_imagenet_sized_network_runs_32_steps_in_less_than_4_gigabytes(
    tmp_path: Path, name: str, dtype: str
) -> None:
    write(name, tmp_path / "large.h5")
    assert 300 * MIB < run("-w", tmp_path / "large.h5", "-T", 32, "--threads", 1, "--dtype", dtype).resident < 4e9


def tiny_network() -> Network:
    """A network that reads large images quickly: one value per patch of 32 x 32 pixels."""
    rng = np.random.default_rng(1)
    neuron = Neuron(theta=1.0, v0=0.5, activation=Activation(lambda_=1.0, L=4))
    return Network(
        name="tiny",
        input=InputSpec(shape=(3, 224, 224), mean=np.full(3, 0.5), std=np.full(3, 0.25)),
        layers=(
            AvgPool2d(name="patches", inputs=("input",), kernel=(32, 32), stride=(32, 32)),
            Conv2d(name="conv", inputs=("patches",), weight=rng.standard_normal((4, 3, 1, 1)), bias=np.zeros(4)),
            Spiking(name="if", inputs=("conv",), neuron=neuron),
            Flatten(name="flatten", inputs=("if",)),
            Linear(name="fc", inputs=("flatten",), weight=rng.standard_normal((10, 196)), bias=np.zeros(10)),
        ),
    )


def write_npy(path: Path, n: int) -> None:
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (n, 224, 224, 3))
    for i in range(0, n, 100):
        images[i : i + 100] = np.random.default_rng(i).integers(0, 256, (1, 224, 224, 3), np.uint8)


def write_hdf5(path: Path, n: int) -> None:
    with h5py.File(path, "w") as file:
        images = file.create_dataset("images", (n, 224, 224, 3), np.uint8, chunks=(1, 224, 224, 3))
        for i in range(0, n, 100):
            images[i : i + 100] = np.broadcast_to(
                np.random.default_rng(i).integers(0, 256, (1, 224, 224, 3), np.uint8), (100, 224, 224, 3)
            )


@pytest.mark.parametrize(("suffix", "write_images"), [(".npy", write_npy), (".hdf5", write_hdf5)])
@pytest.mark.parametrize("target", [".run", ".json"])
def test_memory_does_not_grow_with_the_data(tmp_path: Path, suffix: str, write_images: object, target: str) -> None:
    save(tmp_path / "tiny.h5", tiny_network())
    needed = {}
    for n in (300, 3000):
        data = tmp_path / f"{n}{suffix}"
        write_images(data, n)  # type: ignore[operator]
        output = tmp_path / f"{n}{target}"
        needed[n] = run("-w", tmp_path / "tiny.h5", "--data", data, "-T", 2, "--batch", 8, "--threads", 1, "-o", output)
    # 45 MB and 450 MB of images.
    assert needed[3000].resident < needed[300].resident + 40 * MIB

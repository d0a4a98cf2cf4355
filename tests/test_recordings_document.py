"""docs/recordings.md: its scripts run on what refsim writes, and it names every array."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import refsim

DOCUMENT = (Path(__file__).parents[1] / "docs" / "recordings.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def script(name: str) -> str:
    return next(text for text in blocks("python") if text.startswith(f"# {name}\n"))


def printed(text: str, folder: Path) -> list[str]:
    """What a script prints that knows nothing of refsim."""
    done = subprocess.run([sys.executable, "-I", "-c", text], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording, a run directory and golden vectors of the same images."""
    path = tmp_path_factory.mktemp("written")
    file = refsim.load("fashion-small")
    refsim.run(file, limit=3, T=4, neuron="if", recording=path / "r.h5", record=("spikes", "n", "v"))
    refsim.run(file, limit=3, T=4, neuron="if", keep=path / "r.run")
    refsim.export_golden(file, path / "vectors", limit=3, T=4)
    return path


def test_the_script_for_recordings_says_who_fired_first(folder: Path) -> None:
    head, *lines = printed(script("recording"), folder)
    file = refsim.load("fashion-small")
    images = refsim.open_images(file, limit=3)
    trace = refsim.simulate(refsim.compile_network(file.network, "exact"), images.currents(), 4, record=("spikes",))
    spikes = trace.populations["layer1.2"].spikes
    assert head.split()[0] == "layer1.2"
    assert head.split()[-1] == "exact"
    for row, line in enumerate(lines):
        t, *place = (int(i) for i in np.argwhere(spikes[:, row])[0])
        words = line.split()
        assert [int(words[i]) for i in (1, 3, 5, 6, 7, 9)] == [int(images.indices[row]), t + 1, *place, 1]
    assert len(lines) == 3


def test_the_script_for_run_directories_reads_the_rows(folder: Path) -> None:
    lines = printed(script("run"), folder)
    file = refsim.load("fashion-small")
    images = refsim.open_images(file, limit=3)
    trace = refsim.simulate(refsim.compile_network(file.network, "exact"), images.currents(), 4)
    classes = refsim.predictions(trace.logits)
    for row, line in enumerate(lines):
        words = line.split()
        assert int(words[1]) == images.indices[row]
        assert int(words[3]) == images.labels[row]
        assert list(map(int, words[5:9])) == classes[:, row].tolist()
        assert list(map(int, words[-4:])) == trace.populations["layer1.2"].n_pos[:, row].tolist()


def test_the_script_for_golden_vectors_finds_them_right(folder: Path) -> None:
    (line,) = printed(script("golden"), folder)
    assert line.endswith("right")
    assert int(line.split()[5]) > 100


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_c_program_for_golden_vectors_prints_the_events(folder: Path) -> None:
    text = next(each for each in blocks("c") if "hdf5" not in each)
    (folder / "events.c").write_text(text)
    subprocess.run(["cc", "-Wall", "-Werror", "-o", "events", "events.c"], cwd=folder, check=True)
    done = subprocess.run(["./events"], cwd=folder, check=True, capture_output=True, text=True)
    with np.load(folder / "vectors" / "vectors.npz") as data:
        columns = [data[f"01_layer1.2/spikes/{key}"] for key in ("image", "t", "neuron", "sign")]
    assert [tuple(map(int, line.split())) for line in done.stdout.splitlines()] == list(
        zip(*(c.tolist() for c in columns))
    )


def test_every_script_is_there_in_three_languages() -> None:
    assert [text.split("\n")[0] for text in blocks("python")] == ["# recording", "# run", "# golden"]
    assert len(blocks("c")) == len(blocks("matlab")) == 2


def test_the_document_names_everything_that_is_written(folder: Path) -> None:
    names = set(re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", DOCUMENT, flags=re.DOTALL)))
    words = {part for name in names for part in re.split(r"[ /]", name)}
    with h5py.File(folder / "r.h5") as file:
        group, wire = file["layers/layer1.2"], next(iter(file["sops"].values()))
        written = {*file.attrs, *group.attrs, *group, *wire, *(key for key in file if key not in ("layers", "sops"))}
    assert written - words == set()
    facts = json.loads((folder / "vectors" / "manifest.json").read_text())
    arrays = {name.split("/")[0] for each in facts["populations"] for name in each["arrays"]}
    assert arrays - words == set()

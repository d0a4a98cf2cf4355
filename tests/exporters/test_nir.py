"""What is exported to NIR computes what the network does: in a simulator of the tests, and in four tools (heavy)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import refsim
from refsim.exceptions import UsageError
from refsim.exporters.nir_graph import TOOLS
from refsim.formats.weights.parts import WeightFile
from refsim.model import Conv2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking
from refsim.reference.network import simulate

from ..cli.conftest import refsim as command  # noqa: F401  # a fixture
from ..kernels.test_exact import residual
from ..simulation.networks import small_network
from .dense import run

DOCUMENT = Path(__file__).parents[2] / "docs" / "nir.md"


def file_of(network: Network) -> WeightFile:
    return WeightFile(network=network, samples=None, golden=(), sha256="0" * 64)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("name", ["fashion-small", "resnet20"])
def test_the_graph_has_the_spikes_and_logits_of_the_network(tmp_path: Path, name: str, tool: str) -> None:
    file = refsim.load(name)
    refsim.export_nir(file, tmp_path / "net.nir", tool=tool)
    x = refsim.open_images(file, limit=1).currents()
    spikes, outputs = run(tmp_path / "net.nir", x, 3)
    trace = refsim.simulate(refsim.compile_network(file.network), x, 3, record=("spikes",))
    assert spikes.keys() == trace.populations.keys()
    for layer, each in trace.populations.items():
        np.testing.assert_array_equal(spikes[layer], each.spikes, err_msg=layer)
    np.testing.assert_allclose(outputs, trace.logits, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("tool", TOOLS)
def test_on_dyadic_numbers_ties_are_decided_alike(tmp_path: Path, tool: str) -> None:
    network = small_network()
    x = np.random.default_rng(3).integers(-8, 9, (4, 3, 6, 6)) / 4
    refsim.export_nir(file_of(network), tmp_path / "net.nir", tool=tool)
    spikes, outputs = run(tmp_path / "net.nir", x, 6)
    expected = simulate(network, x, 6)
    for layer, each in expected.spikes.items():
        np.testing.assert_array_equal(spikes[layer], each)
    np.testing.assert_array_equal(outputs, expected.logits)


def test_groups_strides_and_thresholds_of_channels_are_kept(tmp_path: Path) -> None:
    network = residual(np.linspace(0.5, 2, 130), np.linspace(0.3, 0.9, 130))
    network = network.with_kind("if")
    x = np.random.default_rng(1).normal(size=(2, 3, 8, 8))
    refsim.export_nir(file_of(network), tmp_path / "net.nir", tool="norse")
    spikes, outputs = run(tmp_path / "net.nir", x, 4)
    expected = simulate(network, x, 4)
    for layer, each in expected.spikes.items():
        np.testing.assert_array_equal(spikes[layer].reshape(each.shape), each)
    np.testing.assert_allclose(outputs, expected.logits, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("tool", ["generic", "sinabs"])
@pytest.mark.parametrize("name", ["fashion-small", "resnet20"])
def test_imported_exported_and_imported_again_it_is_the_same_network(tmp_path: Path, name: str, tool: str) -> None:
    file = refsim.load(name)
    images = refsim.open_images(file, limit=2)
    spec = file.network.input
    before = file
    for number in (1, 2):
        path = tmp_path / f"{number}.nir"
        refsim.export_nir(before, path, tool=tool)
        after = refsim.convert(path, nir_dialect="qcfs", mean=spec.mean.tolist(), std=spec.std.tolist())
        assert refsim.diff(file, after, images=images, T=4).equal
        assert refsim.diff(before, after, images=images, T=4).equal
        before = after


def test_pools_are_those_that_the_tool_reads(tmp_path: Path) -> None:
    kinds = {}
    for tool in TOOLS:
        refsim.export_nir(refsim.load("fashion-small"), tmp_path / "net.nir", tool=tool)
        with h5py.File(tmp_path / "net.nir") as file:
            kinds[tool] = {each["type"][()].decode() for each in file["node/nodes"].values()}
            metadata = file["node/metadata"]
            assert metadata["weights_sha256"][()].decode() == refsim.load("fashion-small").sha256
            assert ("v_reset" in file["node/nodes/layer1_2"]) == (tool != "sinabs")
    common = {"Input", "Conv2d", "IF", "Output"}
    assert kinds["sinabs"] == kinds["norse"] == common | {"SumPool2d"}
    assert kinds["spikingjelly"] == kinds["snntorch"] == kinds["generic"] == common | {"AvgPool2d"}


def test_names_that_pytorch_cannot_have_stay_apart(tmp_path: Path) -> None:
    neuron = Neuron(theta=1.0, v0=0.5)
    layers = (
        Conv2d(name="a.b", inputs=("input",), weight=np.ones((1, 1, 1, 1)), bias=np.zeros(1)),
        Spiking(name="a_b", inputs=("a.b",), neuron=neuron),
        Linear(name="output", inputs=("a_b",), weight=np.ones((2, 4)), bias=np.zeros(2)),
    )
    network = Network(name="names", input=InputSpec(shape=(1, 2, 2)), layers=layers)
    refsim.export_nir(file_of(network), tmp_path / "net.nir")
    x = np.array([0.3, 0.6, 0.9, 1.2]).reshape(1, 1, 2, 2)
    spikes, outputs = run(tmp_path / "net.nir", x, 3)
    np.testing.assert_array_equal(spikes["a_b"], simulate(network, x, 3).spikes["a_b"])
    np.testing.assert_array_equal(outputs, simulate(network, x, 3).logits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theta_neg": -0.1}, "NIR's IF has no negative threshold"),
        ({"leak": 0.5}, r"leaks \(factor 0.5\)"),
        ({"theta": np.full((2, 2, 2), 0.5)}, "theta differs within a channel"),
    ],
)
def test_what_nir_has_no_word_for_is_refused_in_one_line(tmp_path: Path, change: dict, message: str) -> None:
    neuron = replace(Neuron(theta=1.0, v0=0.5), **change)
    layers = (
        Conv2d(name="c", inputs=("input",), weight=np.ones((2, 1, 1, 1)), bias=np.zeros(2)),
        Spiking(name="s", inputs=("c",), neuron=neuron),
        Flatten(name="f", inputs=("s",)),
        Linear(name="fc", inputs=("f",), weight=np.ones((2, 8)), bias=np.zeros(2)),
    )
    network = Network(name="odd", input=InputSpec(shape=(1, 2, 2)), layers=layers)
    with pytest.raises(UsageError, match=f"layer 's': {message}"):
        refsim.export_nir(file_of(network), tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())


def test_max_pools_and_unknown_tools_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layer 'pool1': NIR has no max pool"):
        refsim.export_nir(refsim.load("fashion-maxpool"), tmp_path / "net.nir")
    with pytest.raises(UsageError, match="tool must be one of generic, sinabs"):
        refsim.export_nir(refsim.load(), tmp_path / "net.nir", tool="lava")


def test_the_command_says_what_its_reader_has_to_know(command, tmp_path: Path) -> None:  # noqa: F811
    done = command("export", "nir", "fashion-small", "-o", tmp_path / "net.nir", "--for", "sinabs")
    assert done.code == 0
    assert "three lines" in done.out
    assert "cannot run it: Rockpool" in done.out
    assert command("export", "nir", "fashion-small", "-o", tmp_path / "net.h5").code == 2
    assert command("export", "nir", "fashion-maxpool", "-o", tmp_path / "b.nir").code == 2


INSTALLED = {
    "sinabs": [["sinabs==3.1.3"], ["--no-deps", "nirtorch==2.6"]],
    "spikingjelly": [["spikingjelly==2.0.0", "nir==1.0.8", "nirtorch==2.6"]],
    "norse": [["norse==1.1.0", "nir==1.0.8", "nirtorch==2.6"]],
    "snntorch": [["snntorch==1.0.0", "nir==1.0.8", "nirtorch==2.6"]],
}


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where virtual environments are: REFSIM_NIR_ENVIRONMENTS keeps them from one time to the next."""
    kept = os.environ.get("REFSIM_NIR_ENVIRONMENTS")
    return Path(kept) if kept else tmp_path_factory.mktemp("environments")


def python_of(environments: Path, tool: str) -> Path:
    """The interpreter of a tool's environment, which is made if it is not there."""
    folder = environments / tool
    if not folder.exists():
        venv.create(folder, with_pip=True)
        for packages in [["torch==2.13.0"], *INSTALLED[tool]]:
            subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", *packages], check=True)
    return folder / "bin" / "python"


def scripts() -> dict[str, str]:
    """The document's blocks of Python by the word in their first line."""
    blocks = re.findall(r"```python\n# (\w+)\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return dict(blocks)


def test_the_document_has_a_script_for_every_tool() -> None:
    assert scripts().keys() == {"begin", "end", *INSTALLED}
    for text in scripts().values():
        compile(text, str(DOCUMENT), "exec")


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["fashion-small", "resnet20"])
@pytest.mark.parametrize("tool", sorted(INSTALLED))
def test_the_documents_script_has_the_spikes_of_refsim(
    tmp_path: Path, environments: Path, tool: str, name: str
) -> None:
    """An environment for each tool is made with pip; minutes, and 1 GB each."""
    file = refsim.load(name)
    refsim.export_nir(file, tmp_path / "net.nir", tool=tool, neuron="if")
    np.save(tmp_path / "x.npy", refsim.open_images(file, limit=8).currents())
    parts = scripts()
    (tmp_path / "script.py").write_text(parts["begin"] + parts[tool] + parts["end"])
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [python_of(environments, tool), "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = refsim.diff(file, tmp_path / "spikes.npz", T=8, limit=8, neuron="if", dtype="float64")
    differing = sum(int(each.differing.sum()) for each in found.layers)
    n_spikes = sum(each.n_a for each in found.layers)
    print(f"{tool}, {name}: {differing} of {n_spikes} spikes differ", file=sys.stderr)
    assert found.equal, found

"""NIR graphs become the network that they describe, or are refused by the name of the node."""

from itertools import pairwise

import h5py
import numpy as np
import pytest

from refsim import load, run, save
from refsim.exceptions import FormatError, UsageError
from refsim.model import Network
from refsim.reference.network import simulate
from refsim.runs.convert import convert

GENTLE = {"mean": [0.0], "std": [1.0]}
LINEAR = np.array([[0.5, -0.25, 1, 0.75], [0.25, 0.5, -1, 0.5], [1, 0.125, 0.5, -0.5]])


def write(path, nodes, edges):
    """A NIR file as the package writes it: strings of variable length, arrays compressed."""
    with h5py.File(path, "w") as file:
        file["version"] = "1.0.8"
        graph = file.create_group("node")
        graph["type"] = "NIRGraph"
        graph["edges"] = np.array(edges, dtype=h5py.string_dtype())
        for name, (kind, fields) in nodes.items():
            node = graph.create_group(f"nodes/{name}")
            node["type"] = kind
            for key, value in fields.items():
                array = np.asarray(value)
                packed = {"compression": "gzip"} if array.ndim else {}
                node.create_dataset(key, data=array, **packed)
    return path


def neurons(n, r=1.0, theta=1.0, **more):
    return "IF", {"r": np.full(n, r), "v_threshold": np.full(n, theta), **more}


def chain(path, middle, n=4, out=3):
    """input, the nodes of `middle` one after the other, output."""
    nodes = {"input": ("Input", {"shape": np.array([n])}), **middle, "output": ("Output", {"shape": np.array([out])})}
    names = list(nodes)
    return write(path, nodes, list(pairwise(names)))


def layers(**changes):
    fields = {"fc1": ("Linear", {"weight": LINEAR}), "if1": neurons(3), "fc2": ("Linear", {"weight": LINEAR[:, :3]})}
    return fields | changes


def converted(path, **options):
    return convert(path, **(GENTLE | options)).network


def literal(x, T, *, r=1.0, theta=1.0, strict=True, soft=False, v0=0.0):
    """Spikes of if1 and currents of fc2 (T, ...), as NIR's IF says, written out."""
    v, spikes, out = np.full(3, v0), [], []
    for _ in range(T):
        v = v + r * (LINEAR @ x)
        s = v > theta if strict else v >= theta
        v = np.where(s, v - theta if soft else 0, v)
        spikes.append(s.astype(int))
        out.append(LINEAR[:, :3] @ s)
    return np.array(spikes), np.array(out)


X = np.array([0.5, 0.25, 0.5, 1.0])
RULES = {
    None: {}, "norse": {}, "spikingjelly": {"strict": False}, "qcfs": {"strict": False, "soft": True, "v0": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("dialect", RULES)
def test_a_dialect_says_what_neurons_do(tmp_path, dialect):
    network = converted(chain(tmp_path / "a.nir", layers()), nir_dialect=dialect)
    spikes, out = literal(X, 9, **RULES[dialect])
    found = simulate(network, X.reshape(1, 1, 1, 4), 9)
    np.testing.assert_array_equal(found.spikes["if1"][:, 0], spikes)
    np.testing.assert_array_equal(found.logits[:, 0], out)
    # The rules differ on this input, or nothing would be told apart.
    assert (literal(X, 9)[0] != literal(X, 9, strict=False)[0]).any()


def test_thresholds_are_what_spikes_are_worth_and_weights_are_divided_by_them(tmp_path):
    network = converted(chain(tmp_path / "a.nir", layers(if1=neurons(3, theta=0.5))))
    spikes, out = literal(X, 9, theta=0.5)
    found = simulate(network, X.reshape(1, 1, 1, 4), 9)
    np.testing.assert_array_equal(found.spikes["if1"][:, 0], spikes)
    np.testing.assert_array_equal(found.logits[:, 0], out)


def test_a_uniform_r_is_a_step_and_another_needs_dt(tmp_path):
    path = chain(tmp_path / "a.nir", layers(if1=neurons(3, r=1e4)))
    told = []
    network = convert(path, **GENTLE, notes=told.append).network
    assert "r = 10000 everywhere: a step of dt = 1 / r = 0.0001" in told[0]
    np.testing.assert_array_equal(simulate(network, X.reshape(1, 1, 1, 4), 9).spikes["if1"][:, 0], literal(X, 9)[0])
    network = converted(path, dt=0.5e-4)
    np.testing.assert_array_equal(
        simulate(network, X.reshape(1, 1, 1, 4), 9).spikes["if1"][:, 0], literal(X, 9, r=0.5)[0]
    )
    path = chain(tmp_path / "b.nir", layers(if1=("IF", {"r": [1, 2, 4.0], "v_threshold": np.ones(3)})))
    with pytest.raises(UsageError, match=r"b\.nir: r differs, 1 to 4; say the time of a step, --dt"):
        converted(path)
    expected = literal(X, 9, r=0.25 * np.array([1, 2, 4]))[0]
    np.testing.assert_array_equal(
        simulate(converted(path, dt=0.25), X.reshape(1, 1, 1, 4), 9).spikes["if1"][:, 0], expected
    )


def test_a_last_population_gets_an_identity_as_readout(tmp_path):
    middle = {"fc1": ("Affine", {"weight": LINEAR, "bias": [0.125, 0, -0.125]}), "if1": neurons(3)}
    network = converted(chain(tmp_path / "a.nir", middle))
    found = simulate(network, X.reshape(1, 1, 1, 4), 9)
    assert found.spikes["if1"].any()
    np.testing.assert_array_equal(found.logits, found.spikes["if1"])


def test_neurons_may_read_neurons(tmp_path):
    middle = layers() | {"if2": neurons(3, theta=2.0)}
    nodes = {"input": ("Input", {"shape": [4]}), **middle, "output": ("Output", {"shape": [3]})}
    edges = [("input", "fc1"), ("fc1", "if1"), ("if1", "if2"), ("if2", "fc2"), ("fc2", "output")]
    network = converted(write(tmp_path / "a.nir", nodes, edges))
    spikes = literal(X, 12)[0]
    v, expected = np.zeros(3), []
    for s in spikes:
        v = v + s
        expected.append(v > 2)
        v = np.where(v > 2, 0, v)
    np.testing.assert_array_equal(simulate(network, X.reshape(1, 1, 1, 4), 12).spikes["if2"][:, 0], expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"if1": ("LIF", {"tau": np.full(3, 0.02)})}, r"LIF 'if1' \(tau 0\.02\): its potential leaks"),
        ({"if1": ("CubaLIF", {})}, "CubaLIF 'if1': its potential leaks"),
        ({"if1": ("NIRGraph", {})}, "NIRGraph 'if1': subgraphs are not read"),
        ({"if1": ("Delay", {})}, "Delay 'if1': spikes arrive in the step"),
        ({"if1": ("Quux", {})}, "Quux 'if1': no counterpart here"),
        ({"if1": neurons(3, v_reset=np.full(3, -1.0))}, "IF 'if1' resets to -1; only v_reset = 0"),
        ({"if1": ("IF", {"r": np.ones(3)})}, "IF 'if1' has no v_threshold"),
        ({"if1": neurons(3, theta=-1.0)}, "IF 'if1': v_threshold must be positive and finite, got -1"),
        ({"if1": neurons(3, theta=np.nan)}, "IF 'if1': v_threshold must be finite numbers"),
        (
            {"fc1": ("Linear", {"weight": LINEAR[:, :3]})},
            r"Linear 'fc1': weight \(3, 3\) and bias \(3,\) do not fit \(1, 1, 4\)",
        ),
        ({"fc2": ("Threshold", {})}, "Threshold 'fc2': neurons are IF"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_the_node(tmp_path, changes, message):
    path = chain(tmp_path / "a.nir", layers(**changes))
    with pytest.raises(Exception, match=message) as caught:
        converted(path)
    assert caught.value.exit_code in (2, 3)
    assert "a.nir" in str(caught.value)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("if1", "fc1")], "a cycle through 'fc1': recurrent networks have no counterpart"),
        ([("fc1", "nobody")], "/node/edges names 'nobody', which is no node"),
        ([("fc1", "if1")], "the same edge twice"),
        ([("input", "fc2")], "Linear 'fc2' reads 2 nodes; sums stand before neurons only"),
    ],
)
def test_edges_that_make_no_feed_forward_network_are_refused(tmp_path, edges, message):
    nodes = {"input": ("Input", {"shape": [4]}), **layers(), "output": ("Output", {"shape": [3]})}
    names = list(nodes)
    with pytest.raises(FormatError, match=message):
        converted(write(tmp_path / "a.nir", nodes, [*pairwise(names), *edges]))


def test_dialects_without_a_neuron_and_options_of_others_are_refused(tmp_path):
    path = chain(tmp_path / "a.nir", layers())
    with pytest.raises(UsageError, match="dialect sinabs: its IF fires several times in one step and clamps"):
        converted(path, nir_dialect="sinabs")
    with pytest.raises(UsageError, match="dialect snntorch: it makes a leaky neuron"):
        converted(path, nir_dialect="snntorch")
    with pytest.raises(UsageError, match="nir_dialect must be one of spec, qcfs"):
        converted(path, nir_dialect="nengo")


def test_another_hdf5_file_is_no_nir_graph(tmp_path):
    with h5py.File(tmp_path / "a.nir", "w") as file:
        file["x"] = np.ones(3)
    with pytest.raises(FormatError, match=r"a\.nir: is an HDF5 file but not a NIR graph"):
        converted(tmp_path / "a.nir")


def test_the_strict_comparison_is_kept_in_a_weight_file_of_version_1_1(tmp_path):
    network = converted(chain(tmp_path / "a.nir", layers()))
    save(tmp_path / "a.h5", network)
    file = load(tmp_path / "a.h5")
    assert file.network.by_name["if1"].neuron.strict
    with h5py.File(tmp_path / "a.h5") as stored:
        assert stored.attrs["format_version"] == b"1.1"
        assert stored["layers/if1"].attrs["comparison"] == b">"
    x = np.repeat(X.reshape(1, 1, 1, 4) - 0.3, 2, 0)
    done = run(file, (x, np.array([0, 1])), T=4, ann=False)
    assert done.accuracy.shape == (4,)
    with pytest.raises(UsageError, match="its potential has to exceed theta, which rounding to int8"):
        run(file, (x, np.array([0, 1])), T=4, ann=False, dtype="int8")
    plain = converted(chain(tmp_path / "a.nir", layers()), nir_dialect="qcfs")
    save(tmp_path / "b.h5", plain)
    with h5py.File(tmp_path / "b.h5") as stored:
        assert "comparison" not in stored["layers/if1"].attrs
    assert isinstance(plain, Network)


# -- foreign files given to `run` --------------------------------------------------------------------------


def keras(file):
    file.attrs["keras_version"] = "3.15.1"
    file.attrs["model_config"] = "{}"
    file.create_group("model_weights")


def lava(file):
    file["layer/0/shape"] = np.array([1, 2, 3])
    file["layer/0/type"] = "input"


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (keras, r"is not a weight file but a Keras model, which refsim does not read; export it to ONNX"),
        (lava, r"is not a weight file but a network of lava-dl"),
        (lambda file: file.create_group("x"), r"attribute format is missing"),
    ],
)
def test_hdf5_files_of_other_tools_are_told_from_damaged_ones(tmp_path, fill, message):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        fill(file)
    with pytest.raises(FormatError, match=message):
        load(tmp_path / "a.h5")
    path = chain(tmp_path / "a.nir", layers())
    with pytest.raises(FormatError, match="is not a weight file but a NIR graph; `refsim convert` makes a weight file"):
        load(path)

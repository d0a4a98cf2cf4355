"""`refsim.run`: what `refsim run` prints, as numbers."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest

import refsim
from refsim.exceptions import DataError, InterruptedRunError, UsageError
from refsim.reference.network import simulate
from refsim.reports.files import as_csv
from refsim.runs.settings import Settings
from tests.cli.conftest import Call
from tests.simulation.networks import raw_images, small_network


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Call:
    """The command line's JSON."""
    from refsim.cli import main

    def call(*arguments: object) -> dict:
        capsys.readouterr()
        main([str(each) for each in (*arguments, "--json", "-q")])
        return json.loads(capsys.readouterr().out)

    return call


@pytest.mark.parametrize("options", [{}, {"neuron": "both", "T": 3}, {"dtype": "int8"}, {"energy": "qcfs2022"}])
def test_a_run_is_what_the_command_prints(file: refsim.WeightFile, path: Path, command: Call, options: dict) -> None:
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    ours, theirs = refsim.run(file, **options).to_json(), command("run", "-w", path, *words)
    assert json.loads(json.dumps(ours)) == theirs


def test_defaults_are_those_of_the_command_line() -> None:
    from refsim.cli.compare import compare
    from refsim.cli.errors import errors
    from refsim.cli.run import run
    from refsim.cli.verify import verify

    pairs = ((run, refsim.run), (errors, refsim.layer_errors), (compare, refsim.compare), (verify, refsim.verify))
    for command, function in pairs:
        defaults = command.make_context(command.name, []).params
        for name, parameter in inspect.signature(function).parameters.items():
            theirs, ours = defaults.get(name), parameter.default
            # What a command leaves open, or words otherwise, has a default of its own in words.
            if theirs is None or name == "neuron":
                continue
            if name == "record":
                ours = (frozenset(ours), ())
            if name == "T" and not isinstance(ours, tuple):
                theirs = theirs[-1]
            assert ours == theirs, (command.name, name)


def test_numbers_of_a_run_are_those_of_the_specification(file: refsim.WeightFile) -> None:
    run = refsim.run(file, T=3, neuron="dual", record=("spikes", "n", "v", "current"))
    network = small_network().with_kind("dual")
    expected = simulate(network, network.input.normalize(raw_images(20)), 3)
    for layer in network.spiking:
        recorded = run.recorded[layer.name]
        np.testing.assert_array_equal(recorded.spikes, expected.spikes[layer.name])
        np.testing.assert_array_equal(recorded.n, expected.spikes[layer.name].sum(axis=0))
        np.testing.assert_array_equal(recorded.v, expected.v[layer.name])
        assert run.layers[layer.name].n_pos.sum() == (expected.spikes[layer.name] > 0).sum()
    np.testing.assert_array_equal(run.only.logits, expected.logits)
    right = np.cumsum(expected.logits, axis=0).argmax(axis=2) == np.arange(20) % 5
    assert run.accuracy.tolist() == right.mean(axis=1).tolist()
    low, high = run.interval(2)
    assert low < run.accuracy[1] < high


def test_costs(file: refsim.WeightFile) -> None:
    run = refsim.run(file, T=2)
    assert (np.diff(run.sops_per_image) > 0).all()
    assert run.energy().tolist() == run.energy("horowitz45").tolist()
    assert run.energy("qcfs2022")[1] == pytest.approx(run.sops_per_image[1] * 0.077e-12, rel=0.5)
    dear = run.with_model("ecl2025")
    assert dear.energy().tolist() == run.energy("ecl2025").tolist()
    assert dear.ann.joules != run.ann.joules


def test_two_snns_are_asked_by_name(file: refsim.WeightFile) -> None:
    run = refsim.run(file, T=2, neuron="both", limit=6)
    assert [run[kind].neuron for kind in ("if", "dual")] == ["if", "dual"]
    with pytest.raises(UsageError, match=r"this run has 2 SNNs: say run\['if'\] or run\['dual'\]"):
        run.accuracy  # noqa: B018
    with pytest.raises(UsageError, match="no 'signed' neurons; it has if, dual"):
        run["signed"]


def test_images_come_from_arrays_too(file: refsim.WeightFile) -> None:
    raw, labels = raw_images(20)[:5], np.arange(5)
    expected = refsim.run(file, T=2, ann=False)
    run = refsim.run(file, (raw, labels), T=2)
    assert run.only.result.n_images == 5
    assert run.ann.accuracy is not None
    images = refsim.open_images(file)[:5]
    assert len(images) == 5
    same = refsim.run(file, images, T=2, ann=False)
    assert same.sops_per_image.tolist() == run.sops_per_image.tolist()
    assert same.sops_per_image.tolist() != expected.sops_per_image.tolist()
    unlabelled = refsim.run(file, raw, T=2)
    assert np.isnan(unlabelled.accuracy).all()
    assert unlabelled.ann.accuracy is None
    with pytest.raises(UsageError, match="no labels, so there is no accuracy"):
        unlabelled.interval()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"T": 0}, "T must be a whole number from 1 to 1,048,576, got 0"),
        ({"T": 1.5}, "T must be a whole number from 1 to 1,048,576, got 1.5"),
        ({"T": True}, "T must be a whole number from 1 to 1,048,576, got True"),
        ({"T": 10**12}, "T must be a whole number from 1 to 1,048,576, got 1000000000000"),
        ({"neuron": "lif"}, "neuron must be one of if, dual, signed, both, file, got 'lif'"),
        ({"dtype": "float16"}, "dtype must be one of exact, float64, float32, int16, int8, got 'float16'"),
        ({"v0": float("inf")}, "v0 must be a finite number, got inf"),
        ({"v0": 10**400}, "v0 must be a finite number, got 1000"),
        ({"v0": 1 << 20_000}, "v0 must be a finite number, got more digits"),
        ({"theta_neg": "small"}, "theta_neg must be a finite number, got 'small'"),
        ({"T": 1 << 20_000}, "T must be a whole number from 1 to 1,048,576, got more digits"),
        ({"theta_neg": -0.1, "neuron": "if"}, "theta_neg belongs to dual neurons; choose neuron dual"),
        ({"theta_neg_mode": "relative", "neuron": "dual"}, "theta_neg_mode says what theta_neg means; give both"),
        ({"record": "spikes"}, r"record takes a tuple of spikes, n, v, current, got 'spikes'"),
        ({"record": ("u",)}, r"record takes a tuple of spikes, n, v, current, got 'u'"),
        ({"resume": True}, "in a run directory: name one"),
        ({"shard": "1/2"}, "in a run directory: name one"),
        ({"energy": "free"}, "no energy model 'free'"),
        ({"limit": 0}, "limit must be a whole number of at least 1, got 0"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_run_is_one_line(file: refsim.WeightFile, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        refsim.run(file, **options)


def test_options_of_data_that_is_open_already_are_refused(file: refsim.WeightFile) -> None:
    with pytest.raises(UsageError, match="these images are open already"):
        refsim.run(file, refsim.open_images(file), limit=3)


def test_data_that_does_not_fit_is_one_line(file: refsim.WeightFile) -> None:
    with pytest.raises(DataError, match=r"images are \(3, 5, 5\) \(C, H, W\), the network expects \(3, 6, 6\)"):
        refsim.run(file, np.zeros((2, 5, 5, 3), np.uint8))


def test_a_kept_run_is_the_same_and_goes_on_with_every_kind_of_neuron(file: refsim.WeightFile, tmp_path: Path) -> None:
    for neuron in ("if", "signed", "both"):
        expected = refsim.run(file, T=2, neuron=neuron).to_json()
        kept = refsim.run(file, T=2, neuron=neuron, keep=tmp_path / f"{neuron}.run")
        again = refsim.run(file, T=2, neuron=neuron, keep=tmp_path / f"{neuron}.run", resume=True)
        merged = refsim.merge([tmp_path / f"{neuron}.run"])
        assert kept.to_json() == again.to_json() == merged.to_json() == expected


def test_progress_hears_of_every_image_and_may_stop_the_run(file: refsim.WeightFile) -> None:
    from contextlib import contextmanager

    seen: dict[str, list[int]] = {}

    @contextmanager
    def count(label: str, n_images: int):
        yield seen.setdefault(f"{label} {n_images}", []).append

    refsim.run(file, T=1, neuron="both", batch=7, progress=count)
    assert seen == {"ANN 20": [7, 7, 6], "IF 20": [7, 7, 6], "dual 20": [7, 7, 6]}

    @contextmanager
    def stop(label: str, n_images: int):
        def done(n: int) -> None:
            raise KeyboardInterrupt

        yield done

    with pytest.raises(InterruptedRunError, match="interrupted; nothing was kept"):
        refsim.run(file, T=1, progress=stop)


def test_tables(file: refsim.WeightFile) -> None:
    pytest.importorskip("pandas")
    run = refsim.run(file, T=3, neuron="both")
    frame = run.to_pandas()
    assert frame.shape[0] == 6
    assert frame.query("neuron == 'dual' and t == 3").sop.item() == run["dual"].operations.sop[2]
    layers = run["if"].layers_to_pandas()
    assert layers.query("layer == 'if1'").spikes_pos.tolist() == run["if"].layers["if1"].n_pos.tolist()
    projections = run["dual"].projections_to_pandas()
    total = projections[["unit_pos", "unit_neg"]].to_numpy().sum()
    assert total == run["dual"].operations.sop[-1] + run["dual"].operations.residual[-1]
    assert as_csv(run).splitlines()[0].startswith("neuron,images,t,sop")


def test_datasets(file: refsim.WeightFile) -> None:
    pytest.importorskip("xarray")
    run = refsim.run(file, T=3, neuron="both")
    data = run.to_xarray()
    assert data.sizes == {"neuron": 2, "t": 3, "layer": 3}
    assert data.spikes_neg.sel(neuron="if").sum() == 0
    assert data.sop.sel(neuron="dual", t=2).item() == run["dual"].operations.sop[1]


def test_a_network_without_spiking_layers_runs(tmp_path: Path, command: Call) -> None:
    layers = (
        refsim.Flatten(name="flat", inputs=("input",)),
        refsim.Linear(name="out", inputs=("flat",), weight=np.eye(3, 12), bias=np.zeros(3)),
    )
    network = refsim.Network(name="linear", input=refsim.InputSpec(shape=(3, 2, 2)), layers=layers)
    images = np.random.default_rng(1).integers(0, 256, (4, 2, 2, 3), dtype=np.uint8)
    path = tmp_path / "linear.h5"
    refsim.save(path, network, samples=refsim.Samples(images=images, labels=np.zeros(4, np.int64)))
    run = refsim.run(refsim.load(path), T=2)
    assert run.layers == {}
    assert run.sops_per_image.tolist() == [0, 0]
    assert command("run", "-w", path)["runs"][0]["layers"] == []
    with pytest.raises(UsageError, match="'linear' has no spiking layers"):
        refsim.layer_errors(refsim.load(path))


def test_settings_are_checked_whoever_makes_them() -> None:
    with pytest.raises(UsageError, match="T must be"):
        Settings(T=-1)

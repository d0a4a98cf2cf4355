"""accuracy_if: a layer without its own error, on the same images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import refsim
from refsim.exceptions import UsageError
from refsim.runs.accuracy_if import accuracy_if
from tests.simulation.networks import raw_images, small_network


def one_layer() -> refsim.WeightFile:
    """An image, neurons, a pool and a readout: without the neurons' error this is the ANN."""
    rng = np.random.default_rng(2)
    neuron = refsim.Neuron(theta=1.0, v0=0.1, activation=refsim.Activation(lambda_=1.0, L=3))
    layers = (
        refsim.Conv2d(name="conv", inputs="input", weight=rng.normal(size=(4, 3, 3, 3)), bias=rng.normal(size=4)),
        refsim.Spiking(name="spikes", inputs="conv", neuron=neuron),
        refsim.AvgPool2d(name="pool", inputs="spikes", kernel=2, stride=2),
        refsim.Flatten(name="flatten", inputs="pool"),
        refsim.Linear(name="readout", inputs="flatten", weight=rng.normal(size=(5, 16)), bias=np.zeros(5)),
    )
    network = refsim.Network(name="one", input=refsim.InputSpec(shape=(3, 6, 6)), layers=layers)
    samples = refsim.Samples(images=raw_images(40), labels=np.arange(40) % 5)
    return refsim.WeightFile(network=network, samples=samples, golden=(), sha256="")


def test_the_only_layer_as_in_the_ann_is_the_ann() -> None:
    file = one_layer()
    run = refsim.run(file, T=3)
    found = accuracy_if(file.network, refsim.open_images(file), "spikes", 3)
    assert found.after == run.ann.correct
    assert found.before == run.only.result.correct[-1]
    assert found.gain == pytest.approx(100 * (found.after - found.before) / 40)
    assert found.before != found.after


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_before_is_the_network_as_it_is(file: refsim.WeightFile, layer: int) -> None:
    network = file.network.with_kind("dual")
    found = accuracy_if(network, refsim.open_images(file), layer, 2)
    assert found.before == refsim.run(file, T=2, neuron="dual").only.result.correct[-1]
    assert (found.number, found.layer) == (layer, network.spiking[layer - 1].name)


def test_what_cannot_be_measured_is_refused(file: refsim.WeightFile) -> None:
    with pytest.raises(UsageError, match="no labels"):
        accuracy_if(file.network, refsim.open_images(file, raw_images(3)), 1, 2)
    unknown = replace(file, network=small_network(L=0))
    with pytest.raises(UsageError, match="does not say L"):
        accuracy_if(unknown.network, refsim.open_images(unknown), 1, 2)
    with pytest.raises(UsageError, match="no spiking layer"):
        accuracy_if(file.network, refsim.open_images(file), 9, 2)


def test_a_report_of_errors_measures_its_worst_layer(file: refsim.WeightFile) -> None:
    report = refsim.layer_errors(file, T=(1, 3), neuron="dual")
    worst = max(report.layers, key=lambda layer: max(layer.quantization.rms, layer.unevenness.rms))
    found = report.accuracy_if()
    assert (found.number, found.T) == (worst.number, 3)
    again = accuracy_if(file.network.with_kind("dual"), refsim.open_images(file), worst.name, 3)
    assert found == again == report.accuracy_if(layer=worst.name)
    assert report.verdict.startswith(f"most is lost in layer {worst.number} '{worst.name}': ")
    assert replace(report, as_ann=(found,)).verdict.endswith(f"{found.gain:+.1f} points on 20 images")

"""walk: what some neurons of every layer do on a few images, step by step, for people to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.engine.plan import compile_network
from refsim.engine.simulator import forward
from refsim.engine.wiring import as_chw
from refsim.formats.images.inputs import Images
from refsim.formats.untrusted.text import clean
from refsim.methods.layerwise import Currents, Spikes, Wiring, run_neurons, spread
from refsim.model import Network, Shape, Spiking
from refsim.reports.page.png import as_photographed, png_url
from refsim.reports.page.walk import (
    MOST_IMAGES,
    MOST_NEURONS,
    MOST_STEPS,
    Scene,
    Walk,
    WalkImage,
    WalkLayer,
    n_channels,
)

Array = NDArray[Any]
Activations = Mapping[str, Array]


def walk(kinds: Mapping[str, Network], images: Images, T: int, chosen: Sequence[int]) -> Walk:
    """Run a few images again, in float64, and keep what is looked at.

    Parameters
    ----------
    kinds
        The SNNs by their neurons: one network with different neurons.
    chosen
        Positions among the images, the most wanted first.
    """
    T, chosen = min(T, MOST_STEPS), list(chosen)[:MOST_IMAGES]
    network = next(iter(kinds.values()))
    x = np.concatenate([images[i : i + 1].currents() for i in chosen])
    ann = _activations(network, x)
    shapes = [as_chw(network.shapes[layer.name]) for layer in network.spiking]
    counts = n_channels(shapes, T, len(chosen) * len(kinds))
    layers = tuple(
        _layer(layer, list(kinds.values()), shape, count, ann)
        for layer, shape, count in zip(network.spiking, shapes, counts)
    )
    return Walk(
        T=T,
        kinds=tuple("dual threshold" if each.dual else "IF" for each in kinds.values()),
        images=tuple(_image(network, images, i, x[j]) for j, i in enumerate(chosen)),
        layers=layers,
        scenes=tuple(_scenes(each, x, T, layers, ann) for each in kinds.values()),
    )


def _activations(network: Network, x: Array) -> Activations:
    """The ANN's activations in units of theta, by layer; none where the file does not say what it computes."""
    if network.unknown_L is not None:
        return {}
    a = forward(compile_network(network, "float64", fold=False), x, record=True).a
    return {
        layer.name: a[layer.name] / spread(layer.neuron.theta, network.shapes[layer.name]) for layer in network.spiking
    }


def _image(network: Network, images: Images, i: int, x: Array) -> WalkImage:
    title = f"image {images.indices[i]}"
    labels = images.labels
    if labels is not None:
        k = int(labels[i])
        title += f", {clean(network.classes[k], 40) if network.classes else f'class {k}'}"
    return WalkImage(title=title, pixels=png_url(as_photographed(x, network.input)))


def _layer(
    layer: Spiking, networks: Sequence[Network], shape: tuple[int, int, int], n: int, ann: Activations
) -> WalkLayer:
    """The channels that are most active in the ANN, and neurons of them from the most active to the silent."""
    size = int(np.prod(shape))
    mean = ann[layer.name].mean(axis=0).reshape(shape) if layer.name in ann else np.zeros(shape)
    channels = np.sort(np.argsort(-mean.reshape(shape[0], -1).sum(axis=1), kind="stable")[:n])
    order = np.argsort(-mean.ravel(), kind="stable")
    active = order[: max(int((mean > 0).sum()), min(MOST_NEURONS, size))]
    picked = active[np.linspace(0, len(active) - 1, min(MOST_NEURONS, len(active))).astype(np.intp)]
    neurons = np.stack(np.unravel_index(picked, shape), axis=1)
    theta = _at(layer.neuron.theta, shape, neurons)
    theta_neg = []
    for network in networks:
        neuron = network.find_spiking(layer.name).neuron
        theta_neg.append(tuple(_at(neuron.negative_threshold, shape, neurons) / theta) if neuron.dual else None)
    return WalkLayer(
        name=clean(layer.name, 40),
        number=networks[0].spiking.index(layer) + 1,
        shape=shape,
        channels=tuple(map(int, channels)),
        neurons=tuple((int(c), int(h), int(w)) for c, h, w in neurons),
        theta=tuple(theta),
        v0=tuple(_at(layer.neuron.v0, shape, neurons) / theta),
        theta_neg=tuple(theta_neg),
        resets=layer.neuron.reset,
    )


def _at(value: Array, shape: Shape, neurons: Array) -> Array:
    """A parameter of these neurons."""
    return np.asarray(np.broadcast_to(spread(value, shape), shape)[tuple(neurons.T)])


def _scenes(
    network: Network, x: Array, T: int, layers: Sequence[WalkLayer], ann: Activations
) -> tuple[tuple[Scene, ...], ...]:
    """By image and layer."""
    by_name = {layer.name: shown for layer, shown in zip(network.spiking, layers)}
    found: list[list[Scene]] = []

    def run(layer: Spiking, currents: Currents) -> Spikes:
        shown = by_name[layer.name]
        potentials: list[Array] = []

        def keep(m: Array) -> None:
            flat = m.reshape(*m.shape[:2], *shown.shape)
            potentials.append(flat[(slice(None), slice(None), *np.array(shown.neurons).T)])

        done = run_neurons(layer, currents, keep)
        s = done.s.reshape(*done.s.shape[:2], *shown.shape)
        m = np.concatenate(potentials, axis=1) / np.array(shown.theta)
        a = ann.get(layer.name)
        channels = list(shown.channels)
        found.append(
            [
                Scene(
                    maps=s[:, i, channels],
                    spikes=s[(slice(None), i, *np.array(shown.neurons).T)].T,
                    m=m[:, i].T,
                    activation=None if a is None else a[i].reshape(shown.shape)[channels],
                )
                for i in range(len(x))
            ]
        )
        return done

    Wiring(network).run(x, T, run)
    return tuple(zip(*found)) if found else tuple(() for _ in x)

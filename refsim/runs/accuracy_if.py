"""accuracy_if: what would be gained if one spiking layer made no error of its own, measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refsim.engine.batches import default_batch, map_batches
from refsim.engine.plan import compile_network
from refsim.engine.results import predictions
from refsim.engine.simulator import simulate
from refsim.exceptions import UsageError
from refsim.formats.images.inputs import Images
from refsim.formats.untrusted.text import clean
from refsim.methods.layerwise import Currents, Graded, Sent, Wiring, run_neurons
from refsim.model import Network, Spiking
from refsim.reference.activations import qcfs, relu
from refsim.reports.accuracy_if import AccuracyIf
from refsim.runs.settings import Effort, Progress, silent

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


def accuracy_if(
    network: Network,
    images: Images,
    layer: str | int,
    T: int,
    *,
    effort: Effort | None = None,
    progress: Progress = silent,
) -> AccuracyIf:
    """Run an SNN as it is, and once more with one layer that sends the ANN's activation of its mean input current.

    Its own clipping, quantization (against the ANN) and unevenness are gone then; what earlier layers propagate into it
    stays, and so do the errors of the layers behind it. Both are computed in float64.

    Parameters
    ----------
    network
        With the neurons that are meant (`Network.with_kind`).
    images
        With labels.
    layer
        Name or number (from 1) of a spiking layer.

    Raises
    ------
    UsageError
        No such layer; images without labels; the file does not say what the ANN computes there.
    """
    chosen = network.find_spiking(str(layer))
    if not images.has_labels:
        raise UsageError(f"{images.description}: no labels, so no accuracy to compare")
    if chosen.neuron.activation is None or chosen.neuron.activation.L == 0:
        raise UsageError(f"layer '{clean(chosen.name)}': the file does not say L, which the ANN's activation needs")
    effort = effort or Effort()
    wiring, plan = Wiring(network), compile_network(network, "float64")

    def work(part: Indices) -> tuple[int, int]:
        x, labels = images.data.currents(part), images.data.labels_of(part)
        changed = wiring.run(x, T, lambda each, currents: _send(each, currents, chosen))
        found = (predictions(logits)[-1] for logits in (simulate(plan, x, T).logits, changed.logits))
        before, after = (int((each == labels).sum()) for each in found)
        return before, after

    before = after = 0
    most = effort.batch or min(8, default_batch(plan, T, ("spikes",)))
    with progress(f"layer {network.spiking.index(chosen) + 1} as ANN", len(images)) as done:
        for part, (ours, theirs) in map_batches(work, images.indices, most, effort.n_threads):
            before, after = before + ours, after + theirs
            done(len(part))
    return AccuracyIf(
        number=network.spiking.index(chosen) + 1,
        layer=chosen.name,
        T=T,
        n_images=len(images),
        before=before,
        after=after,
    )


def _send(layer: Spiking, currents: Currents, chosen: Spiking) -> Sent:
    if layer is not chosen:
        return run_neurons(layer, currents)
    return Graded(a=np.concatenate([activation_of(layer, u.mean(axis=0)) for u in currents]))


def activation_of(layer: Spiking, z: Array) -> Array:
    """What the source ANN makes of a weighted input z (B, *shape) in this layer; its L has to be known."""
    activation = layer.neuron.activation
    assert activation is not None
    if activation.L is None:
        return np.asarray(relu(z))
    return qcfs(z, activation.lambda_, activation.L, activation.shift)

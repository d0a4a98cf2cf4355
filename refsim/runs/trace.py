"""trace: one neuron's life on one image."""

from __future__ import annotations

from typing import Literal

import numpy as np

from refsim.analysis.life import BITS, LifeMode, life_of, place_of
from refsim.exceptions import UsageError
from refsim.formats.images.inputs import Data, Images, open_images
from refsim.formats.weights.parts import WeightFile
from refsim.model import NeuronKind
from refsim.reports.origin import Origin
from refsim.reports.trace import NeuronTrace
from refsim.runs.settings import Settings


def trace(
    file: WeightFile,
    images: Images | Data = None,
    *,
    layer: str | int,
    at: int | tuple[int, ...],
    image: int = 0,
    T: int = 4,
    neuron: NeuronKind = "file",
    dtype: LifeMode = "float64",
    theta_neg: float | None = None,
    theta_neg_mode: Literal["absolute", "relative"] | None = None,
    v0: float | None = None,
    pad: bool = False,
) -> NeuronTrace:
    """Follow one neuron on one image: who spiked into it, current, potential before and after, decision, margin.

    Parameters
    ----------
    file
        From `refsim.load`.
    images, pad
        As in `refsim.run`.
    layer
        A spiking layer, by name or by number from 1.
    at
        Its neuron: (c, y, x), (n,), or the flat index in row-major order.
    image
        Which of the images, from 0.
    T, neuron, theta_neg, theta_neg_mode, v0
        As in `refsim.run`.
    dtype
        "float64", or the quantised network: "int16", "int8", in whole numbers of the neuron's unit.

    Raises
    ------
    UsageError
        No such layer, neuron or image; a value that cannot be.
    DataError, FormatError, NetworkError
        Images or files that cannot be used.

    Examples
    --------
    >>> import refsim
    >>> done = refsim.trace(refsim.load(), layer=2, at=(3, 14, 14), T=4)
    >>> [step.s for step in done.life.steps] == done.spikes
    True
    """
    Settings(T=T)
    if dtype not in BITS:
        raise UsageError(f"a trace is made in {', '.join(BITS)}, got {dtype!r}; exact has the spikes of float64")
    if not isinstance(images, Images):
        images = open_images(file, images, pad=pad)
    if isinstance(image, bool) or not 0 <= image < len(images):
        raise UsageError(f"there is no image {image}; the images are 0 to {len(images) - 1} ({images.description})")
    network = file.network.with_kind(neuron, theta_neg=theta_neg, theta_neg_mode=theta_neg_mode, v0=v0)
    found = network.find_spiking(str(layer))
    place = place_of(found, network.shapes[found.name], (at,) if isinstance(at, int | np.integer) else tuple(at))
    chosen = images[image : image + 1]
    labels = chosen.labels
    return NeuronTrace(
        origin=Origin.of(file, chosen),
        image=int(chosen.indices[0]),
        label=None if labels is None else int(labels[0]),
        life=life_of(network, chosen.currents(), T, found, place, dtype),
    )

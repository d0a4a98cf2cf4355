"""QCFS Alg. 1 (lines 5-7) trains with average pools in place of max pools. What of a network trained with max pools?

Runs the network of a weight file with its max pools following the maximum, with the OR of spikes, and with average
pools in their place, on the same images; prints accuracy and how often it agrees with the ANN of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
from common import Study, options, table

import refsim
from refsim.engine.batches import run_ann, run_snn
from refsim.model import AnyLayer, AvgPool2d, MaxMode, MaxPool2d

STEPS = (8, 32)


def averaged(network: refsim.Network) -> refsim.Network:
    """The network with average pools of the same windows; only where none reaches into padding."""

    def replaced(layer: AnyLayer) -> AnyLayer:
        if not isinstance(layer, MaxPool2d):
            return layer
        if layer.padding != (0, 0) or layer.dilation != (1, 1):
            raise SystemExit(f"layer '{layer.name}': average pools have no padding and no dilation")
        return AvgPool2d(name=layer.name, inputs=layer.inputs, kernel=layer.kernel, stride=layer.stride)

    return replace(network, layers=tuple(replaced(each) for each in network.layers))


def ann_classes(study: Study) -> np.ndarray:
    """What the ANN says of every image."""
    found: list[np.ndarray] = []
    plan = refsim.compile_network(study.network, fold=False)
    run_ann(
        plan, study.images.data, study.images.indices, on_batch=lambda _, out: found.append(out.logits.argmax(axis=1))
    )
    return np.concatenate(found)


def snn_classes(study: Study, network: refsim.Network) -> np.ndarray:
    """(T, N), what the SNN says of every image after each step."""
    found: list[np.ndarray] = []
    run_snn(
        refsim.compile_network(network, "exact"),
        study.images.data,
        study.images.indices,
        max(STEPS),
        threads=study.threads,
        on_batch=lambda _, trace, __: found.append(refsim.predictions(trace.logits)),
    )
    return np.concatenate(found, axis=1)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    args = options(__doc__, argv, T=max(STEPS))
    study = Study.load(args)
    if not any(isinstance(layer, MaxPool2d) for layer in study.network.layers):
        raise SystemExit(f"{study.network.name}: has no max pools; name a weight file that has with -w")
    labels, ann = study.images.labels, ann_classes(study)
    assert labels is not None
    contenders = {mode: study.network.with_max_pools(mode) for mode in get_args(MaxMode)}
    contenders["average instead"] = averaged(study.network)
    print(f"{study.title}: ANN {100 * np.mean(ann == labels):.1f} %")
    rows: list[list[object]] = [["pools", *(f"{what}, T={t}" for what in ("accuracy", "agrees") for t in STEPS)]]
    for name, network in contenders.items():
        classes = snn_classes(study, network)
        shares = [np.mean(classes[t - 1] == expected) for expected in (labels, ann) for t in STEPS]
        rows.append([name, *(f"{100 * share:.1f} %" for share in shares)])
    table(rows)


if __name__ == "__main__":
    main()

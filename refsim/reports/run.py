"""The report of `run` and `merge`: every number that is printed or written, from a `Result`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from refsim.cli.quantised import describe_quantised
from refsim.version import __version__

SCHEMA = "refsim-run 1"
SOP = "one nonzero spike x one existing synapse, borders exact, both signs; behind a pool every spike passes through"


def build_report(
    *,
    network: Any,
    weights: dict[str, Any],
    data: dict[str, Any],
    T: int,
    dtype: str,
    model: Any,
    ann: Any,
    runs: list[Any],
) -> dict[str, Any]:
    """The whole report: where it comes from, what the words mean, the ANN and the SNNs."""
    return {
        "schema": SCHEMA,
        "refsim": __version__,
        "weights": weights,
        "data": data,
        "T": T,
        "dtype": dtype,
        "quantised": describe_quantised(network, dtype),
        "definitions": {"sop": SOP, "energy": model.describe(), "interval": "Wilson 95 %"},
        "ann": ann,
        "runs": runs,
    }


def unknown_L(network: Any) -> str | None:
    """The first spiking layer of which the file does not say L, which the ANN needs."""
    for layer in network.spiking:
        if layer.neuron.activation is None or layer.neuron.activation.L == 0:
            return str(layer.name)
    return None


def summarize_ann(network: Any, model: Any, result: Any) -> dict[str, Any]:
    """What the source ANN costs, and its accuracy if it ran (otherwise `result` is None)."""
    from refsim.analysis.operations import ann_operations
    from refsim.analysis.statistics import wilson_interval

    operations = ann_operations(network)
    facts: dict[str, Any] = {"operations": asdict(operations), "joules": model.ann(operations), "accuracy": None}
    if result is None:
        return facts
    correct, n = int(result.correct[0]), result.n_labelled
    return facts | {"correct": correct, "accuracy": correct / n, "interval": wilson_interval(correct, n)}


def kind_of(network: Any) -> str:
    """Whether any of its neurons fires negative spikes."""
    return "dual" if any(layer.neuron.dual for layer in network.spiking) else "if"


def summarize(network: Any, result: Any, model: Any, kind: str, dtype: str) -> dict[str, Any]:
    """Every number of one run that is printed or written, from its `Result`."""
    from refsim.analysis.margin import margins
    from refsim.analysis.operations import snn_operations
    from refsim.analysis.statistics import wilson_interval

    operations = snn_operations(network, result)
    energies = model.snn(operations)
    n = result.n_images
    steps = []
    for t in range(result.T):
        step: dict[str, Any] = {
            "t": t + 1,
            **{key: int(values[t]) for key, values in vars(operations).items() if key != "n_images"},
            "joules_per_image": float(energies[t]),
        }
        if result.n_labelled:
            correct = int(result.correct[t])
            step |= {
                "correct": correct,
                "accuracy": correct / result.n_labelled,
                "interval": wilson_interval(correct, result.n_labelled),
            }
        steps.append(step)
    return {
        "neuron": kind,
        "images": n,
        "steps": steps,
        "layers": [
            {
                "name": each.name,
                "spikes_pos": result.populations[each.name].n_pos.tolist(),
                "spikes_neg": result.populations[each.name].n_neg.tolist(),
                "reached": result.populations[each.name].reached.tolist(),
                "recomputed": result.populations[each.name].recomputed.tolist(),
                "margin": each.positive if each.positive != float("inf") else None,
                "margin_neg": each.negative if each.negative != float("inf") else None,
                "rounding_bound": each.bound,
                "certified": each.certified,
            }
            for each in margins(network, result, dtype)
        ],
        "projections": [
            {
                "source": source,
                "target": target,
                **{key: getattr(ops, key).tolist() for key in vars(ops)},
            }
            for (source, target), ops in result.ops.items()
        ],
        "nonzero_first_layer_macs": result.nonzero_macs,
    }

"""`refsim info`: what a weight file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from refsim.analysis.macs import Macs, network_macs
from refsim.cli.options import json_option, load_weights, weights_option
from refsim.engine.modes import MODES
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.parts import WeightFile
from refsim.model import Activation, AvgPool2d, Conv2d, Floats, Layer, Linear, Network, Spiking
from refsim.version import __version__

SCHEMA = "refsim-info 1"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@weights_option
@click.option("--plan", "with_plan", is_flag=True, help="How the engine would run it: tiles, tables, numbers.")
@click.option(
    "--dtype",
    type=click.Choice(MODES),
    default="exact",
    show_default=True,
    help="Numbers that --plan is about.",
)
@json_option
def info(weights: str | None, with_plan: bool, dtype: str, as_json: bool) -> None:
    """What a weight file holds: layers, shapes, thresholds, MACs, provenance, checksum."""
    path, file = load_weights(weights)
    facts = describe(path, file)
    if with_plan:
        from refsim.cli.plan_table import describe_plan, render_plan

        facts["plan"] = describe_plan(file.network, dtype)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        click.echo(f"{render(facts)}\n\n{render_plan(facts['plan'])}" if with_plan else render(facts))


def describe(path: Path, file: WeightFile) -> dict[str, Any]:
    """Everything `info` says, as one JSON object.

    `macs_dense` counts every kernel tap, `macs_existing` only those inside the plane; `parameters` are the
    numbers in weight and bias. Thresholds are in the unit of the ANN's activations.
    """
    network = file.network
    macs = network_macs(network)
    layers = [_layer(network, layer, macs.get(layer.name)) for layer in network.layers]
    spec = network.input
    return {
        "schema": SCHEMA,
        "refsim": __version__,
        "file": clean(str(path), None),
        "sha256": file.sha256,
        "name": network.name,
        "input": {
            "shape": spec.shape,
            "scale": spec.scale,
            "mean": spec.mean.tolist(),
            "std": spec.std.tolist(),
            "color": spec.color,
            "dataset": spec.dataset,
        },
        "classes": network.classes,
        "n_classes": network.n_classes,
        "layers": layers,
        "n_spiking": len(network.spiking),
        "n_neurons": sum(layer["neurons"] for layer in layers if "neurons" in layer),
        "parameters": sum(layer.get("parameters", 0) for layer in layers),
        "macs_dense": sum(each.dense for each in macs.values()),
        "macs_existing": sum(each.existing for each in macs.values()),
        "samples": 0 if file.samples is None else len(file.samples.labels),
        "golden": [{"T": each.T, "neuron": each.neuron, "images": each.logits.shape[1]} for each in file.golden],
        "provenance": dict(sorted(network.metadata.items())),
    }


def _layer(network: Network, layer: Layer, macs: Macs | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": layer.name,
        "kind": layer.kind,
        "inputs": layer.inputs,
        "shape": network.shapes[layer.name],
    }
    if isinstance(layer, Conv2d | Linear) and macs is not None:
        facts |= {
            "weight": layer.weight.shape,
            "dtype": layer.weight.dtype.name,
            "parameters": layer.weight.size + layer.bias.size,
            "macs_dense": macs.dense,
            "macs_existing": macs.existing,
        }
    if isinstance(layer, Conv2d):
        facts |= {key: getattr(layer, key) for key in ("stride", "padding", "dilation", "groups")}
    if isinstance(layer, AvgPool2d):
        facts |= {"kernel": layer.kernel, "stride": layer.stride}
    if isinstance(layer, Spiking):
        neuron = layer.neuron
        facts |= {
            "number": network.spiking.index(layer) + 1,
            "neurons": int(np.prod(network.shapes[layer.name])),
            "neuron": "dual" if neuron.dual else "if",
            "theta": _range(neuron.theta),
            "theta_neg": _range(neuron.theta_neg) if neuron.dual else None,
            "theta_neg_mode": neuron.theta_neg_mode,
            "v0": _range(neuron.v0),
            "gate": neuron.gate,
            "reset": neuron.reset,
            "leak": neuron.leak,
            "activation": _activation(neuron.activation),
        }
    return facts


def _range(value: Floats) -> dict[str, Any]:
    return {"shape": value.shape, "min": float(value.min()), "max": float(value.max())}


def _activation(source: Activation | None) -> dict[str, Any] | None:
    if source is None:
        return None
    return {"lambda_": source.lambda_, "L": source.L, "shift": source.shift, "delta": source.delta}


def render(facts: dict[str, Any]) -> str:
    """The facts as text for people."""
    spec = facts["input"]
    mean, std = (", ".join(f"{value:.4g}" for value in spec[key]) for key in ("mean", "std"))
    rows = [
        ("file", facts["file"]),
        ("sha256", facts["sha256"]),
        ("input", f"{_times(spec['shape'])} {spec['color']}  {clean(spec['dataset'])}".rstrip()),
        ("", f"x = (raw * {spec['scale']:.6g} - mean) / std   mean {mean}   std {std}"),
        ("classes", _classes(facts)),
        ("samples", _samples(facts)),
        ("MAC", f"{facts['macs_dense']:,} dense   {facts['macs_existing']:,} existing taps"),
        *((clean(key, 20), clean(value)) for key, value in facts["provenance"].items()),
    ]
    width = max(len(key) for key, _ in rows)
    return "\n".join(
        [
            f"{clean(facts['name'], 60)}  {facts['n_spiking']} spiking layers, {facts['n_neurons']:,} neurons, "
            f"{facts['parameters']:,} parameters",
            *(f"  {key:<{width}}  {value}" for key, value in rows),
            "",
            *_table([_row(layer) for layer in facts["layers"]]),
        ]
    )


def _row(layer: dict[str, Any]) -> tuple[str, ...]:
    number = f"{layer['number']}" if "number" in layer else ""
    macs = [f"{layer[key]:,}" if key in layer else "" for key in ("macs_dense", "macs_existing")]
    reads = ", ".join(layer["inputs"])
    return number, layer["name"], layer["kind"], reads, _times(layer["shape"]), *macs, _detail(layer)


def _detail(layer: dict[str, Any]) -> str:
    if layer["kind"] == "spiking":
        text = f"{layer['neuron']}  theta {_span(layer['theta'])}  v0 {_span(layer['v0'])}"
        if layer["theta_neg"] is not None:
            text += f"  theta_neg {_span(layer['theta_neg'])} ({layer['theta_neg_mode']}, {layer['gate']} gate)"
        if layer["reset"] != "subtract":
            text += "  reset to zero"
        if layer["leak"] != 1:
            text += f"  leak {layer['leak']:.4g}"
        source = layer["activation"]
        if source is not None:
            text += {None: "  ReLU", 0: "  L unknown"}.get(source["L"], f"  L={source['L']}")
        return text
    if layer["kind"] == "conv2d":
        text = f"{_times(layer['weight'][2:])}"
        for key, usual in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
            if layer[key] != usual:
                text += f"  {key} {layer[key] if key == 'groups' else _times(layer[key])}"
        return f"{text}  {layer['dtype']}"
    if layer["kind"] == "avg_pool2d":
        return f"{_times(layer['kernel'])}  stride {_times(layer['stride'])}"
    return str(layer.get("dtype", ""))


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    head = ("#", "layer", "kind", "reads", "shape", "MAC dense", "existing", "")
    rows = [head, *(tuple(clean(cell, 60) for cell in row[:-1]) + row[-1:] for row in rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)]
    right = (0, 5, 6)
    return [
        "  ".join(
            [*(cell.rjust(n) if i in right else cell.ljust(n) for i, (cell, n) in enumerate(zip(row, widths))), row[-1]]
        ).rstrip()
        for row in rows
    ]


def _span(value: dict[str, Any]) -> str:
    if not value["shape"]:
        return f"{value['min']:.4g}"
    return f"{value['min']:.4g}..{value['max']:.4g} per {'channel' if len(value['shape']) == 1 else 'neuron'}"


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _classes(facts: dict[str, Any]) -> str:
    names = ", ".join(facts["classes"])
    return f"{facts['n_classes']}" + (f"  {clean(names, 90)}" if names else "")


def _samples(facts: dict[str, Any]) -> str:
    text = f"{facts['samples']} images" if facts["samples"] else "none"
    golden = [f"{each['neuron']} T={each['T']} on {each['images']} images" for each in facts["golden"]]
    return f"{text}; expected results: {', '.join(golden)}" if golden else text

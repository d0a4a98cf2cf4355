"""The end of training: a checkpoint in the official key layout, a summary, and the weight file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from refsim.exceptions import UsageError
from refsim.formats.atomic import write_atomically
from refsim.formats.untrusted.opening import open_file
from refsim.formats.weights.hdf5 import Samples, save
from refsim.importers.architectures import to_network
from refsim.importers.checkpoint import MAX_BYTES, load_checkpoint
from refsim.importers.options import ImportOptions
from refsim.importers.parameters import NeuronChoice
from refsim.model import Network
from refsim.training import checkpoint
from refsim.training.activations import QCF
from refsim.training.data import Data
from refsim.training.loop import Training
from refsim.training.recipe import Recipe
from refsim.verification.golden import record_goldens
from refsim.version import __version__

N_GOLDEN = 10
"""Samples whose simulation is stored in the weight file, for `refsim verify` to replay."""

LARGE = 2**20
"""Weights of a layer from which `mixed` rounds it to int8, and to float16 below."""


def finish(training: Training, command: str, *, round_to: str = "float32") -> dict[str, Any]:
    """Score the test set; write `weights.pth` and `summary.json` into the folder of the run.

    Parameters
    ----------
    command
        The command line of the run, for its provenance.
    round_to
        "float16", "int8", or "mixed": round the weights of convolutions and linear layers before anything is scored:
        what is written is then the network that was scored, in fewer bytes.
    """
    state = {key: _rounded(value, round_to) for key, value in training.model.state_dict().items()}
    training.model.load_state_dict(state)
    checkpoint.save_atomically(state, training.folder / "weights.pth")
    recipe = training.recipe
    summary = {
        "command": command,
        "recipe": {**recipe.plain(), "init": Path(recipe.init).name},
        "init_sha256": _sha256(recipe.init) if recipe.init else "",
        "torch": torch.__version__,
        # Of the very network that is written: the last epoch was trained with the delta measured one epoch before.
        "delta": training.measure_delta() if recipe.activation == "nq" else {},
        "test": training.score_test(),
        "history": training.history,
    }
    write_atomically(training.folder / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())
    return summary


def _sha256(path: str) -> str:
    with open_file(path, what="checkpoint", most=MAX_BYTES) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rounded(value: Tensor, to: str) -> Tensor:
    """A parameter as it is written; vectors (biases, batch normalisation, thresholds) stay as they are."""
    if to == "float32" or value.ndim < 2:
        return value
    if to == "int8" or (to == "mixed" and value.numel() >= LARGE):
        return to_int8_steps(value)
    return value.half()


def to_int8_steps(weight: Tensor) -> Tensor:
    """A weight (C_out, ...) rounded to int8 times one step for each output channel; float32.

    The steps have 16 significant bits, so that every product is exact:
    `refsim.importers.parameters.as_int8` takes it apart again.
    """
    largest = weight.double().abs().flatten(1).amax(1)
    mantissa, exponent = torch.frexp(torch.where(largest > 0, largest, 127.0) / 127)
    step = torch.ldexp(torch.ceil(torch.ldexp(mantissa, torch.tensor(16))), exponent - 16)
    step = step.reshape(-1, *[1] * (weight.ndim - 1))
    return (torch.round(weight.double() / step) * step).float()


def write_weight_file(path: Path, weights: Path, recipe: Recipe, data: Data, summary: dict[str, Any]) -> str:
    """Convert `weights.pth` of a run as `refsim convert` would; add samples and provenance.

    Returns
    -------
    The content digest of the file.

    Raises
    ------
    UsageError
        Plain ReLU networks have no thresholds to convert with.
    """
    if recipe.activation == "relu":
        raise UsageError("a ReLU network has no trained thresholds; calibrate them when converting weights.pth")
    quantized = recipe.activation != "tcl"
    shift = QCF.shift if recipe.activation == "qcf" else 0.5
    network = to_network(
        load_checkpoint(weights),
        ImportOptions(
            choice=NeuronChoice(L=recipe.L if quantized else 0, shift=shift),
            shape=data.input_shape,
            mean=data.mean,
            std=data.std,
            dataset=data.name,
            pool=None if recipe.arch.startswith("resnet") else "avg",
        ),
        name=path.stem,
        classes=data.classes,
    )
    network = replace(
        _with_delta(network, summary["delta"]), metadata={**network.metadata, **_provenance(recipe, data, summary)}
    )
    samples = Samples(images=data.samples.images.permute(0, 2, 3, 1).numpy(), labels=data.samples.labels.numpy())
    return save(path, network, samples=samples, golden=record_goldens(network, samples, N_GOLDEN))


def _with_delta(network: Network, delta: dict[str, float]) -> Network:
    """The network with the noise intensity of each layer (NQ) noted beside its activation."""
    change = {}
    for layer in network.spiking:
        activation = layer.neuron.activation
        if activation is not None and layer.name in delta:
            change[layer.name] = replace(layer.neuron, activation=replace(activation, delta=delta[layer.name]))
    return network.with_neurons(change)


def _provenance(recipe: Recipe, data: Data, summary: dict[str, Any]) -> dict[str, str]:
    test = summary["test"]
    entries = {
        "created_by": f"refsim {__version__}",
        "training_command": summary["command"],
        "training_epochs": str(recipe.epochs),
        "training_seed": str(recipe.seed),
        "training_data": f"{data.name}, {len(data.train)} training and {len(data.validation)} validation images",
        "training_torch": summary["torch"],
        "ann_accuracy_test": f"{test['ann']:.2f} % of {len(data.test)} test images",
    }
    if recipe.activation == "nq":
        entries["method"] = "nq"
    if recipe.init:
        entries["training_started_from"] = f"{Path(recipe.init).name} sha256 {summary['init_sha256']}"
    return entries

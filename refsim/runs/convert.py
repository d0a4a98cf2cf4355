"""convert: a checkpoint of an ANN becomes a weight file, in memory (`refsim convert` saves it)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any, Literal

import numpy as np

from refsim.analysis.statistics import wilson_interval
from refsim.engine.batches import run_ann
from refsim.engine.plan import compile_network
from refsim.exceptions import CheckFailedError, NetworkError, UsageError
from refsim.formats.images.currents import InputCurrents
from refsim.formats.images.preparation import Preparation
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.hdf5 import sealed
from refsim.formats.weights.parts import Samples, WeightFile
from refsim.importers.architectures import to_network
from refsim.importers.checkpoint import load_checkpoint
from refsim.importers.graphs import GraphOptions, read_file
from refsim.importers.graphs import to_network as graph_to_network
from refsim.importers.keys import KeyMap, read_key_map
from refsim.importers.kinds import kind_of
from refsim.importers.live import is_model, read_model
from refsim.importers.nir import Dialect, read_nir
from refsim.importers.options import ActivationKind, ImageShape, ImportOptions, Pool
from refsim.importers.parameters import NeuronChoice
from refsim.importers.presets import Preprocessing, Preset, find_preset, preprocessing
from refsim.methods.base import Calibration, Method
from refsim.methods.choose_images import open_training
from refsim.methods.registry import find_method
from refsim.model import DUAL_THETA_NEG, InputSpec, MaxMode, Network, Spiking
from refsim.runs.settings import Effort
from refsim.verification.golden import record_goldens

RELU_METHOD = "opi:99.9"
"""theta = the 99.9th percentile of positive activations, v0 = theta / 2."""

ACCURACY_KEY = "ann_accuracy_samples"
"""Metadata of the network: how many of its samples the ANN gets right."""

USUAL_L = (2, 4, 8, 16, 32)
"""Quantization steps that are tried where nobody says how many there are."""

UNKNOWN_L = (
    "without L the file says L=0 (unknown): it simulates, but the ANN itself and the errors against it cannot be "
    "computed"
)

BN_EPS = 1e-5
"""PyTorch's default."""

Path = str | os.PathLike[str]


def convert(
    source: Any,
    example: Any = None,
    *,
    L: int | None = None,
    preset: str | None = None,
    mean: str | Sequence[float] | None = None,
    std: str | Sequence[float] | None = None,
    classes: str | Sequence[str] = (),
    input_shape: ImageShape | None = None,
    arch: str = "auto",
    samples: Path | None = None,
    n_samples: int = 500,
    golden: int = 10,
    pad: bool = False,
    scale: float | None = None,
    currents: bool = False,
    resize: int | None = None,
    crop: int | None = None,
    name: str | None = None,
    neuron: Literal["if", "dual"] = "if",
    theta_neg: float | None = None,
    bn_eps: float = BN_EPS,
    pool: Pool | None = None,
    max_pool: MaxMode | None = None,
    calibrate: Path | None = None,
    method: str | None = None,
    n_calibrate: int = 512,
    expect: float | None = None,
    nir_dialect: Dialect | None = None,
    dt: float | None = None,
    keys: Path | None = None,
    activation: ActivationKind | None = None,
    threads: int | None = None,
    notes: Callable[[str], object] | None = None,
) -> WeightFile:
    """Convert an ANN with QCFS, ReLU or clipped ReLU activations: a PyTorch model, or a file; no file is executed.

    `refsim.convert(model, torch.zeros(1, 3, 32, 32), preset="cifar10").save("mine.h5")` takes any architecture whose
    operators have a counterpart. `refsim.convert("mine.pth", L=4, preset="cifar10", samples="cifar-10")` and
    `.save("mine.h5")` do what `refsim convert mine.pth --L 4 --preset cifar10 --samples cifar-10 -o mine.h5` does.

    Parameters
    ----------
    source
        A `torch.nn.Module`, which is exported in this process (extra `torch`); an archive of torch.export.save
        (`.pt2`); an ONNX file (extra `onnx`); or a state dict (`.pth`, `.th`, `.ckpt`, `.safetensors`) in one of the
        key layouts of docs/layouts.md. Files are told by their content.
    example
        For a model: an input (B, C, H, W) as it takes it.
    L
        Quantization steps that the ANN was trained with; they are in no state dict. None: unknown, ReLU (`calibrate`),
        or said by the graph, which it must not contradict.
    preset
        Preprocessing, image size and classes of a data set: a key of `refsim.importers.presets.PRESETS`.
    mean, std
        Preprocessing x = (raw / 255 - mean) / std, numbers per channel, or the name of a preset.
    classes
        Names of the outputs in their order, or the name of a preset; empty: those of the preset.
    input_shape : (C, H, W) of an image, where the weights leave it open
    arch
        Layout of the keys, a key of `refsim.importers.architectures.ARCHITECTURES`, or "auto".
    samples, n_samples
        Data set of which so many test images are embedded, equally many of each class.
    pad, scale, currents, resize, crop
        What is done to images of data sets, as in `refsim.open_images`; `scale` and `currents` to those of `calibrate`.
    golden
        Simulate so many of the samples, with IF and with dual-threshold neurons, T = 4, and store the results for
        `refsim verify`.
    name
        Of the network; the file's by default.
    neuron, theta_neg
        Neurons that the file asks for; the negative threshold of dual ones, in units of the membrane potential.
    bn_eps
        eps of every batch normalisation; it is in no checkpoint.
    pool
        How a network pools whose keys do not show it: "avg", "max-cumulative", "max-or", or "none".
    max_pool
        What max pools do over spikes: "cumulative" follows the maximum, "or" is what dense simulators do
        (`refsim.MaxPool2d`).
    calibrate, n_calibrate
        Data set of which so many training images, evenly strided, give the thresholds of ReLU networks and of
        methods that learn from activations.
    method
        Conversion method (`refsim.methods`); None: that of QCFS, or for ReLU networks "opi:99.9".
    expect
        Accuracy in percent that the ANN was measured to have, e.g. in PyTorch: it must lie in the 95 % Wilson interval
        of the accuracy on the samples.
    nir_dialect, dt
        For NIR graphs: whose meaning the neurons have ("spec", "qcfs", "spikingjelly", "norse", "sinabs", "snntorch"),
        and the time of a step in the unit of r.
    keys
        A TOML file that renames keys nobody knows and says what they do not show (docs/layouts.md).
    activation
        What the ANN computes, "qcfs", "clip" or "relu"; None: QCFS if there are thresholds, else ReLU.
    threads
        None: all cores that this process may use.
    notes
        Called with each line for the user; `WeightFile.warnings` holds them too.

    Returns
    -------
    The weight file, not yet on a disk. Its metadata says how many of the samples the ANN gets right
    ("ann_accuracy_samples"), if there are samples and L is known or the activations are ReLU.

    Raises
    ------
    UsageError
        Something that only the user knows is missing or contradicts itself, e.g. mean and std, or pool of a VGG.
    FormatError
        The file is damaged, holds more than tensors and plain data, or follows no layout refsim knows; or all that in
        the graph has no counterpart.
    NetworkError
        Parameters that do not fit together.
    DataError
        Samples or calibration images that cannot be read or do not fit.
    CheckFailedError
        The ANN does not have the accuracy expected.
    """
    _check_whole(1, L=L, n_samples=n_samples, n_calibrate=n_calibrate, threads=threads)
    _check_whole(0, golden=golden)
    preparation = Preparation(pad=pad, scale=scale, currents=currents, resize=resize, crop=crop)
    calibrated = calibrate is not None
    if calibrated and L is not None and method is None:
        raise UsageError("L belongs to QCFS activations, calibrate to ReLU; with both, say which method")
    kind = "model" if is_model(source) else kind_of(source)
    _check_expected(expect, samples, L is not None or calibrated or kind != "state dict")
    choice = _neurons(L, calibrated, neuron, theta_neg)
    maker = _find_method(method, calibrated)
    warnings: list[str] = []

    def warn(text: str) -> None:
        warnings.append(text)
        if notes is not None:
            notes(text)

    n_threads = Effort(threads=threads).n_threads
    if kind == "state dict":
        if example is not None:
            raise UsageError("example is for PyTorch models; a file says itself what it reads")
        found = preprocessing(preset, mean, std)
        options = ImportOptions(
            choice=choice,
            bn_eps=bn_eps,
            shape=input_shape,
            usual_shape=found.usual.shape if found.usual else None,
            mean=found.mean,
            std=found.std,
            dataset=found.usual.dataset if found.usual else "",
            pool=_pool(pool, max_pool),
            activation=activation,
            keys=KeyMap() if keys is None else read_key_map(keys),
        )
        _check_only_nir(nir_dialect, dt)
        names = _class_names(classes, found.usual)
        network = to_network(load_checkpoint(source), options, arch=arch, name=name, classes=names)
    elif kind == "nir":
        network = _from_nir(source, nir_dialect, dt, input_shape, preprocessing(preset, mean, std), name, classes, warn)
    else:
        _check_only_nir(nir_dialect, dt)
        _check_state_dict_options(
            arch=arch != "auto",
            pool=pool is not None,
            bn_eps=bn_eps != BN_EPS,
            keys=keys is not None,
            activation=activation is not None,
        )
        graph, origin = read_model(source, example) if kind == "model" else read_file(source, kind, input_shape)
        graph_options = GraphOptions(
            choice=choice,
            L=L,
            calibrated=calibrated,
            max_pool=max_pool,
            preset=preset,
            mean=mean,
            std=std,
        )
        usual = preset if preset is not None else mean if isinstance(mean, str) else None
        names = _class_names(classes, None if usual is None else find_preset(usual))
        network, lines = graph_to_network(graph, origin, graph_options, name=name, classes=names)
        for line in lines:
            warn(line)
        if calibrated and method is None and all(_trained(layer) for layer in network.spiking):
            raise UsageError(
                f"{origin.where}: the thresholds of this network are trained; --calibrate (in Python, calibrate=) is "
                "for ReLU networks"
            )
    if maker is not None:
        images = None if calibrate is None else open_training(os.fspath(calibrate), network, preparation, n_calibrate)
        calibration = None
        if images is not None:
            calibration = Calibration(network=network, images=images.data, indices=images.indices, threads=n_threads)
        trained = {layer.name: layer.neuron for layer in network.spiking if _trained(layer)} if method is None else {}
        network = _with_method(network, maker, choice, calibration).with_neurons(trained)
    raw = replace(preparation, scale=None, currents=False)
    embedded = None if samples is None else _embedded(samples, n_samples, raw, network, warn)
    if kind == "nir":
        pass  # there is no ANN
    elif network.unknown_L is not None:
        warn(UNKNOWN_L)
        if embedded is not None:
            warn(_accuracies(network, embedded, n_threads))
    elif embedded is not None:
        network = _with_accuracy(network, embedded, expect, n_threads, _name_of(source))
    goldens = [] if embedded is None or golden == 0 else record_goldens(network, embedded, golden)
    return sealed(network, samples=embedded, golden=goldens, warnings=warnings)


def _name_of(source: Any) -> str:
    return type(source).__name__ if is_model(source) else clean(os.fspath(source), None)


def _trained(layer: Spiking) -> bool:
    return layer.neuron.activation is not None and layer.neuron.activation.trained


def _pool(pool: Pool | None, max_pool: MaxMode | None) -> Pool | None:
    """How a VGG pools, said by either option."""
    if max_pool is None:
        return pool
    said: Pool = "max-cumulative" if max_pool == "cumulative" else "max-or"
    if pool not in (None, said):
        raise UsageError(f"pool {pool} and max_pool {max_pool} contradict each other; say one of them")
    return said


def _from_nir(
    source: Any,
    dialect: Dialect | None,
    dt: float | None,
    input_shape: ImageShape | None,
    found: Preprocessing,
    name: str | None,
    classes: str | Sequence[str],
    warn: Callable[[str], None],
) -> Network:
    """The network of a NIR graph, whose neurons it holds itself."""
    where = clean(os.fspath(source), None)
    graph = read_nir(source, where, dialect, dt, input_shape)
    for line in graph.notes:
        warn(f"{where}: {line}")
    spec = InputSpec(
        shape=graph.shape,
        mean=np.array(found.mean),
        std=np.array(found.std),
        dataset=found.usual.dataset if found.usual else "",
    )
    metadata = {"method": f"nir {dialect or 'spec'}", "architecture": "NIR graph", "source": PurePath(source).name}
    try:
        return Network(
            name=name or PurePath(source).stem,
            input=spec,
            layers=graph.layers,
            classes=_class_names(classes, found.usual),
            metadata=metadata,
        )
    except NetworkError as error:
        error.add_note(where)
        raise


def _check_only_nir(dialect: Dialect | None, dt: float | None) -> None:
    if dialect is not None or dt is not None:
        raise UsageError("nir_dialect and dt are for NIR graphs")


def _check_state_dict_options(**given: bool) -> None:
    for key, said in given.items():
        if said:
            raise UsageError(f"{key} is for state dicts; a graph says that itself, leave it out")


def _check_whole(least: int, **numbers: int | None) -> None:
    for key, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least):
            raise UsageError(f"{key} must be a whole number of at least {least}, got {value!r}")


def _check_expected(expect: float | None, samples: Path | None, has_ann: bool) -> None:
    if expect is None:
        return
    if not 0 <= expect <= 100:
        raise UsageError(f"expect must be a percentage from 0 to 100, got {expect}")
    if samples is None:
        raise UsageError("expect is compared with the ANN's accuracy on the samples; name some (samples)")
    if not has_ann:
        raise UsageError("expect is compared with the ANN's accuracy, which cannot be computed without L")


def _neurons(L: int | None, calibrated: bool, neuron: Literal["if", "dual"], theta_neg: float | None) -> NeuronChoice:
    """What replaces the activations."""
    if neuron not in ("if", "dual"):
        raise UsageError(f"neuron must be if or dual, got {neuron!r}")
    if theta_neg is not None and neuron == "if":
        raise UsageError("theta_neg belongs to dual neurons; choose neuron dual")
    relu = calibrated and L is None
    threshold = DUAL_THETA_NEG if theta_neg is None else theta_neg
    return NeuronChoice(L=None if relu else L or 0, kind=neuron, theta_neg=threshold)


def _find_method(name: str | None, calibrated: bool) -> Method | None:
    """The method asked for, or that of ReLU networks; None leaves the neurons as the importer makes them."""
    if name is None:
        return find_method(RELU_METHOD) if calibrated else None
    method = find_method(name)
    if method.per_image:
        raise UsageError(f"method {name} finds its parameters anew for every image, so no file can hold them")
    if method.changes_bias:
        raise UsageError(
            f"method {name} changes biases, and for one T only; a file of it would not hold the ANN any more "
            f"(`refsim compare` runs it)"
        )
    return method


def _class_names(classes: str | Sequence[str], usual: Preset | None) -> tuple[str, ...]:
    """Names from a preset or a list; by default the preset's."""
    if isinstance(classes, str):
        return find_preset(classes).classes
    return tuple(map(str, classes)) or (usual.classes if usual else ())


def _with_method(network: Network, method: Method, choice: NeuronChoice, calibration: Calibration | None) -> Network:
    """The network with the neurons that a method makes."""
    if choice.kind == "dual" and method.signed:
        raise UsageError(f"method {method.name} has negative thresholds of its own; choose neuron if")
    method.check(network)
    converted = method.calibrate(network, calibration)
    network = converted.network
    if choice.kind == "dual":
        network = network.with_kind("dual", theta_neg=choice.theta_neg)
    metadata = {**network.metadata, "method": method.name, "thresholds": converted.origin}
    return replace(network, metadata=metadata)


def _embedded(path: Path, n: int, preparation: Preparation, network: Network, warn: Callable[[str], None]) -> Samples:
    """n raw images of a data set with their labels."""
    from refsim.formats.images.datasets import check_against, open_data

    data = open_data(path, spec=network.input, preparation=preparation, classes=network.classes)
    for line in data.warnings:
        warn(line)
    check_against(data, network)
    if not data.is_raw or data.labels is None:
        raise UsageError(f"{clean(os.fspath(path), None)}: samples must be uint8 images with labels")
    rows = data.balanced(n)
    return Samples(images=data.images[rows], labels=data.labels[rows])


def _with_accuracy(network: Network, samples: Samples, expect: float | None, threads: int, where: str) -> Network:
    """The network with a note of how many of the samples its ANN gets right.

    Raises
    ------
    CheckFailedError
        That is not compatible with what was expected.
    """
    n = len(samples.labels)
    correct = _correct(network, samples, threads)
    low, high = wilson_interval(correct, n)
    found = f"{100 * correct / n:.1f} % of {n} samples (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    if expect is not None and not low <= expect / 100 <= high:
        raise CheckFailedError(
            f"{where}: the ANN gets {found} right, {expect:g} % was expected; usual causes: the kind of pools (pool), "
            "mean and std, L, the order of the color channels, images that were resized or compressed"
        )
    return replace(network, metadata={**network.metadata, ACCURACY_KEY: found})


def _accuracies(network: Network, samples: Samples, threads: int) -> str:
    """How many of the samples the ANN gets right with each of the usual L, and which of them fit."""
    n = len(samples.labels)
    correct = {L: _correct(_with_L(network, L), samples, threads) for L in USUAL_L}
    low, _ = wilson_interval(max(correct.values()), n)
    fitting = [str(L) for L, found in correct.items() if found >= low * n]
    shown = ", ".join(f"{100 * found / n:.1f} % with L = {L}" for L, found in correct.items())
    said = "is within the error of the best" if len(fitting) == 1 else "are within the error of the best"
    return f"the ANN gets {shown} of {n} samples right; L = {', '.join(fitting)} {said}; give --L (in Python, L=)"


def _with_L(network: Network, L: int) -> Network:
    change = {}
    for layer in network.spiking:
        if layer.neuron.activation is not None:
            change[layer.name] = replace(layer.neuron, activation=replace(layer.neuron.activation, L=L))
    return network.with_neurons(change)


def _correct(network: Network, samples: Samples, threads: int) -> int:
    """How many of the samples the ANN gets right."""
    images = InputCurrents(network.input, samples.images, samples.labels, network.name)
    return run_ann(compile_network(network, fold=False), images, np.arange(len(samples.labels)), threads=threads)

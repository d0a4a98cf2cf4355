"""`refsim convert`: a checkpoint becomes a weight file."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from refsim.exceptions import UsageError
from refsim.importers.presets import PRESETS, Preset, describe
from refsim.runs.settings import Effort

RELU_METHOD = "opi:99.9"
"""theta = the 99.9th percentile of positive activations, v0 = theta / 2."""

_PRESET_HELP = "\b\nPresets:\n  " + "\n  ".join(describe(name) for name in PRESETS)


def _floats(context: click.Context, option: click.Parameter, value: str | None) -> tuple[float, ...] | Preset | None:
    """Numbers, or the name of a preset."""
    if value is None or value in PRESETS:
        return None if value is None else PRESETS[value]
    try:
        numbers = tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither numbers (m,m,m) nor one of {', '.join(PRESETS)}") from None
    if not all(map(math.isfinite, numbers)):
        raise click.BadParameter("the numbers must be finite")
    return numbers


def _shape(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    parts = value.replace("x", ",").split(",")
    if len(parts) != 3 or not all(part.isdecimal() and 0 < int(part) < 1 << 16 for part in parts):
        raise click.BadParameter(f"{value!r} is not C,H,W")
    return tuple(map(int, parts))


def _classes(value: str | None, preset: Preset | None) -> tuple[str, ...]:
    """Class names from a preset, a file with one per line, or a list a,b,c; by default the preset's."""
    if value is None:
        return preset.classes if preset else ()
    if value in PRESETS:
        return PRESETS[value].classes
    if Path(value).is_file():
        lines = Path(value).read_text(encoding="utf-8").splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    if "," not in value:
        raise UsageError(f"--classes: no file {value!r}, and not a list a,b,c")
    return tuple(part.strip() for part in value.split(","))


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog=_PRESET_HELP,
)
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Weight file to write (.h5)."
)
@click.option(
    "--arch", type=click.Choice(["auto", "vgg", "resnet", "resnet-cifar"]), default="auto", help="Layout of the keys."
)
@click.option("-L", "--L", "L", type=click.IntRange(1), help="Quantization steps the ANN was trained with.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Preprocessing, image size and classes of a data set.")
@click.option("--mean", callback=_floats, metavar="M,M,M|PRESET", help="Mean per channel, of pixels in 0..1.")
@click.option("--std", callback=_floats, metavar="S,S,S|PRESET", help="Standard deviation per channel.")
@click.option("--classes", metavar="FILE|A,B,C|PRESET", help="Class names in the order of the outputs.")
@click.option("--input-shape", callback=_shape, metavar="C,H,W", help="Image, where the weights leave it open.")
@click.option(
    "--samples",
    type=click.Path(path_type=Path, exists=True),
    metavar="DATA",
    help="Embed test images of this data set.",
)
@click.option("--n-samples", type=click.IntRange(1), default=500, help="How many, equally many of each class.")
@click.option(
    "--golden",
    type=click.IntRange(0),
    default=10,
    metavar="N",
    help="Simulate N of the samples, IF and dual, T=4, and store the results for `refsim verify`.",
)
@click.option("--pad", is_flag=True, help="Put black around samples smaller than the network's input.")
@click.option("--name", help="Name of the network.  [default: the file's]")
@click.option("--neuron", type=click.Choice(["if", "dual"]), default="if", help="Neuron the file asks for.")
@click.option("--theta-neg", type=float, help="Negative threshold of dual neurons.  [default: -0.001]")
@click.option("--bn-eps", type=click.FloatRange(0), default=1e-5, help="eps of every batch normalisation.")
@click.option("--pool", type=click.Choice(["avg"]), help="Needed for VGG without batch normalisation: see the message.")
@click.option(
    "--calibrate",
    type=click.Path(path_type=Path, exists=True),
    metavar="DATA",
    help="Training images for methods that learn from activations; ReLU networks need them.",
)
@click.option(
    "--method",
    metavar="NAME",
    help="Conversion method, see `refsim compare --list`.  [default: qcfs, or for ReLU networks opi:99.9]",
)
@click.option("--n-calibrate", type=click.IntRange(1), default=512, help="Images for calibration, strided evenly.")
@click.option("--force", is_flag=True, help="Overwrite the output.")
def convert(source: Path, output: Path, preset: str | None, **options: Any) -> None:
    """Convert SOURCE, a checkpoint (.pth, .th, .safetensors) of an ANN with QCFS activations, into a weight file.

    A network with ReLU gets its thresholds from training images (--calibrate). --method makes neurons as one of the
    papers does, if a file can hold what it makes.

    PyTorch is not needed, and nothing in SOURCE is executed.
    """
    from refsim.formats.untrusted.text import clean
    from refsim.formats.weights.hdf5 import save
    from refsim.importers.architectures import to_network
    from refsim.importers.checkpoint import load_checkpoint
    from refsim.model import Conv2d, Linear

    if output.exists() and not options["force"]:
        raise UsageError(f"{output} exists; --force overwrites it")
    method = _method(options["method"], options["calibrate"] is not None)
    settings, usual = _settings(preset, options)
    loaded = load_checkpoint(source)
    network = to_network(
        loaded,
        settings,
        arch=options["arch"],
        name=options["name"],
        classes=_classes(options["classes"], usual),
    )
    if method is not None:
        network = _converted(network, method, settings.choice, options)
    samples = None
    if options["samples"] is not None:
        samples = _samples(options["samples"], options["n_samples"], options["pad"], network)
    digest = save(output, network, samples=samples, golden=_golden(network, samples, options["golden"]))
    if options["L"] is None and options["calibrate"] is None:
        click.echo(
            "refsim: warning: without --L the file says L=0 (unknown): it simulates, but the ANN itself and the errors "
            "against it cannot be computed",
            err=True,
        )
    weighted = [layer for layer in network.layers if isinstance(layer, Conv2d | Linear)]
    n_parameters = sum(layer.weight.size + layer.bias.size for layer in weighted)
    click.echo(
        f"{clean(str(output))}: {clean(network.name)}, {network.metadata['architecture']}, "
        f"input {'x'.join(map(str, network.input.shape))}, {len(network.spiking)} spiking layers, "
        f"{n_parameters:,} parameters, {network.n_classes} classes, "
        f"{0 if samples is None else len(samples.labels)} samples"
    )
    click.echo(f"sha256 {digest}")


def _settings(preset: str | None, options: dict[str, Any]) -> tuple[Any, Preset | None]:
    """The importer's options, and the data set they name."""
    from refsim.importers.options import ImportOptions
    from refsim.importers.parameters import NeuronChoice

    named = [given for given in (options["mean"], options["std"]) if isinstance(given, Preset)]
    if len({given.dataset for given in named}) > 1:
        raise UsageError(f"--mean and --std name different data sets: {', '.join(given.dataset for given in named)}")
    usual = PRESETS[preset] if preset else named[0] if named else None
    mean, std = (
        getattr(given, key) if isinstance(given, Preset) else given or (getattr(usual, key) if usual else None)
        for key, given in (("mean", options["mean"]), ("std", options["std"]))
    )
    if mean is None or std is None:
        raise UsageError(
            f"{'--mean' if mean is None else '--std'} is missing: preprocessing is not in a checkpoint, and without "
            f"the right one accuracy is lost in silence; give --mean and --std, or --preset ({', '.join(PRESETS)})"
        )
    if options["theta_neg"] is not None and options["neuron"] == "if":
        raise UsageError("--theta-neg belongs to --neuron dual")
    relu = options["calibrate"] is not None and options["L"] is None
    if options["calibrate"] is not None and options["L"] is not None and options["method"] is None:
        raise UsageError("--L belongs to QCFS activations, --calibrate to ReLU")
    choice = NeuronChoice(L=None if relu else options["L"] or 0, kind=options["neuron"])
    if options["theta_neg"] is not None:
        choice = replace(choice, theta_neg=options["theta_neg"])
    return ImportOptions(
        choice=choice,
        bn_eps=options["bn_eps"],
        shape=options["input_shape"],
        usual_shape=usual.shape if usual else None,
        mean=mean,
        std=std,
        dataset=usual.dataset if usual else "",
        pool=options["pool"],
    ), usual


def _method(name: str | None, calibrated: bool) -> Any:
    """The method asked for, or that of ReLU networks; None leaves the neurons as the importer makes them."""
    from refsim.methods.registry import find_method

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


def _converted(network: Any, method: Any, choice: Any, options: dict[str, Any]) -> Any:
    """The network with the neurons that a method makes."""
    from refsim.methods.base import Calibration
    from refsim.methods.choose_images import open_training

    if choice.kind == "dual" and method.signed:
        raise UsageError(f"method {method.name} has negative thresholds of its own; leave out --neuron")
    method.check(network)
    calibration = None
    if options["calibrate"] is not None:
        chosen = open_training(str(options["calibrate"]), network, options["pad"], options["n_calibrate"])
        calibration = Calibration(
            network=network, images=chosen.data, indices=chosen.indices, threads=Effort().n_threads
        )
    converted = method.calibrate(network, calibration)
    network = converted.network
    if choice.kind == "dual":
        neurons = {layer.name: replace(layer.neuron, theta_neg=np.array(choice.theta_neg)) for layer in network.spiking}
        network = network.with_neurons(neurons)
    metadata = {**network.metadata, "method": method.name, "thresholds": converted.origin}
    return replace(network, metadata=metadata)


def _samples(path: Path, n: int, pad: bool, network: Any) -> Any:
    """N raw images of a data set with their labels."""
    from refsim.formats.images.datasets import check_against, open_data
    from refsim.formats.weights.parts import Samples

    data = open_data(path, pad_to=network.input.shape[1:] if pad else None, classes=network.classes)
    for warning in data.warnings:
        click.echo(f"refsim: warning: {warning}", err=True)
    check_against(data, network)
    if not data.is_raw or data.labels is None:
        raise UsageError(f"{path}: samples must be uint8 images with labels")
    rows = data.balanced(n)
    return Samples(images=data.images[rows], labels=data.labels[rows])


def _golden(network: Any, samples: Any, n: int) -> list[Any]:
    """What the network does on its first n samples, with either neuron."""
    if samples is None or n == 0:
        return []
    from refsim.cli.progress import note_compilation
    from refsim.verification.golden import record_goldens

    note_compilation(quiet=False)
    return record_goldens(network, samples, n)

"""`refsim convert`: a checkpoint becomes a weight file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from refsim.cli.options import COUNT, HELP, MOST_STEPS, THREADS, Finite, preparation_options
from refsim.cli.printing import note, show
from refsim.exceptions import FormatError, UsageError
from refsim.formats.untrusted.opening import read_text
from refsim.importers.presets import PRESETS, describe

_PRESET_HELP = "\b\nPresets:\n  " + "\n  ".join(describe(name) for name in PRESETS)
_DATA = click.Path(path_type=Path, exists=True)


def _floats(context: click.Context, option: click.Parameter, value: str | None) -> str | tuple[float, ...] | None:
    """Numbers, or the name of a preset."""
    if value is None or value in PRESETS:
        return value
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither numbers (m,m,m) nor one of {', '.join(PRESETS)}") from None


def _shape(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, int, int] | None:
    if value is None:
        return None
    parts = value.replace("x", ",").split(",")
    if len(parts) != 3 or not all(part.isdecimal() and len(part) < 9 and 0 < int(part) < 1 << 16 for part in parts):
        raise click.BadParameter(f"{value!r} is not C,H,W")
    c, h, w = map(int, parts)
    return c, h, w


def _classes(context: click.Context, option: click.Parameter, value: str | None) -> str | tuple[str, ...]:
    """The name of a preset; a file with one name per line, or a list a,b,c; () if nothing was said."""
    if value is None:
        return ()
    if value in PRESETS:
        return value
    if Path(value).is_file():
        try:
            lines = read_text(value, what="list of classes", most=1 << 20).splitlines()
        except FormatError as error:
            raise UsageError(f"--classes: {error}") from None
        return tuple(line.strip() for line in lines if line.strip())
    if "," not in value:
        raise UsageError(f"--classes: no file {value!r}, and not a list a,b,c")
    return tuple(part.strip() for part in value.split(","))


@click.command(
    context_settings={**HELP, "show_default": True},
    epilog=_PRESET_HELP,
)
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Weight file to write (.h5)."
)
@click.option(
    "--arch",
    type=click.Choice(["auto", "vgg", "resnet", "resnet-cifar", "vgg-features", "vgg-slimming", "sequential"]),
    default="auto",
    help="Layout of the keys, see docs/layouts.md.",
)
@click.option(
    "--keys", type=click.Path(path_type=Path, dir_okay=False), metavar="MAP.toml", help="Rename unknown keys."
)
@click.option(
    "--nir-dialect",
    type=click.Choice(["spec", "qcfs", "spikingjelly", "norse", "sinabs", "snntorch"]),
    help="Whose meaning the neurons of a NIR graph have.  [default: NIR's own]",
)
@click.option("--dt", type=Finite(0, min_open=True), metavar="TIME", help="Step of a NIR graph, where its r differ.")
@click.option(
    "--activation",
    type=click.Choice(["qcfs", "clip", "relu"]),
    help="What the ANN computes.  [default: qcfs if there are thresholds, else relu]",
)
@click.option("-L", "--L", "L", type=click.IntRange(1, MOST_STEPS), help="Quantization steps the ANN was trained with.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Preprocessing, image size and classes of a data set.")
@click.option("--mean", callback=_floats, metavar="M,M,M|PRESET", help="Mean per channel, of pixels in 0..1.")
@click.option("--std", callback=_floats, metavar="S,S,S|PRESET", help="Standard deviation per channel.")
@click.option(
    "--classes", callback=_classes, metavar="FILE|A,B,C|PRESET", help="Class names in the order of the outputs."
)
@click.option("--input-shape", callback=_shape, metavar="C,H,W", help="Image, where the weights leave it open.")
@click.option(
    "--pool",
    type=click.Choice(["none", "avg", "max-cumulative", "max-or"]),
    help="Pools, where the keys do not show their kind.",
)
@click.option(
    "--max-pool",
    type=click.Choice(["cumulative", "or"]),
    help="Max pools over spikes: follow the maximum, or OR as dense simulators do.",
)
@click.option("--samples", type=_DATA, metavar="DATA", help="Embed test images of this data set.")
@click.option("--n-samples", type=COUNT, default=500, help="How many, equally many of each class.")
@click.option(
    "--golden",
    type=click.IntRange(0, 100_000),
    default=10,
    metavar="N",
    help="Simulate N of the samples, IF and dual, T=4, and store the results for `refsim verify`.",
)
@click.option("--pad", is_flag=True, help="Put black around samples smaller than the network's input.")
@preparation_options
@click.option(
    "--expect",
    type=Finite(0, 100),
    metavar="PERCENT",
    help="Accuracy the ANN was measured to have; if that of the samples does not fit, nothing is written.",
)
@click.option("--name", help="Name of the network.  [default: the file's]")
@click.option("--neuron", type=click.Choice(["if", "dual"]), default="if", help="Neuron the file asks for.")
@click.option("--theta-neg", type=Finite(), help="Negative threshold of dual neurons.  [default: -0.001]")
@click.option("--bn-eps", type=Finite(0), default=1e-5, help="eps of every batch normalisation.")
@click.option(
    "--calibrate",
    type=_DATA,
    metavar="DATA",
    help="Training images for methods that learn from activations; ReLU networks need them.",
)
@click.option(
    "--method",
    metavar="NAME",
    help="Conversion method, see `refsim compare --list`.  [default: qcfs, or for ReLU networks opi:99.9]",
)
@click.option("--n-calibrate", type=COUNT, default=512, help="Images for calibration, strided evenly.")
@click.option("--threads", type=THREADS, metavar="N", help="[default: all cores]")
@click.option("--force", is_flag=True, help="Overwrite the output.")
def convert(
    source: Path,
    output: Path,
    arch: str,
    keys: Path | None,
    nir_dialect: Literal["spec", "qcfs", "spikingjelly", "norse", "sinabs", "snntorch"] | None,
    dt: float | None,
    activation: Literal["qcfs", "clip", "relu"] | None,
    L: int | None,
    preset: str | None,
    mean: str | tuple[float, ...] | None,
    std: str | tuple[float, ...] | None,
    classes: str | tuple[str, ...],
    input_shape: tuple[int, int, int] | None,
    pool: Literal["none", "avg", "max-cumulative", "max-or"] | None,
    max_pool: Literal["cumulative", "or"] | None,
    samples: Path | None,
    n_samples: int,
    golden: int,
    pad: bool,
    scale: float | None,
    currents: bool,
    resize: int | None,
    crop: int | None,
    expect: float | None,
    name: str | None,
    neuron: Literal["if", "dual"],
    theta_neg: float | None,
    bn_eps: float,
    calibrate: Path | None,
    method: str | None,
    n_calibrate: int,
    threads: int | None,
    force: bool,
) -> None:
    """Convert SOURCE, an ANN with QCFS, ReLU or clipped ReLU activations, into a weight file.

    \b
    SOURCE is told by its content:
      torch.export archive (.pt2)         torch.export.save(torch.export.export(model, (x,)), "net.pt2")
      ONNX (extra: onnx)                  torch.onnx.export, onnxruntime QDQ, brevitas QCDQ
      state dict (.pth, .ckpt, .safetensors)   the layouts of some forty public codes, docs/layouts.md
      NIR graph (.nir)                    nir.write; IF neurons (--nir-dialect)

    Graphs say L, thresholds and pools themselves; of a state dict --L and --pool say what its keys do not show. A
    network with ReLU gets its thresholds from training images (--calibrate). --method makes neurons as one of the
    papers does, if a file can hold what it makes.

    PyTorch is not needed, and nothing in SOURCE is executed. A model in a Python process goes in directly:
    refsim.convert(model, example).
    """
    if output.exists() and not force:
        raise UsageError(f"{output} exists; --force overwrites it")
    from refsim.cli.progress import note_compilation
    from refsim.importers.architectures import ASSUMED_KEY
    from refsim.runs import convert as library

    if samples is not None or calibrate is not None:
        note_compilation(quiet=False)
    file = library.convert(
        source,
        L=L,
        preset=preset,
        mean=mean,
        std=std,
        classes=classes,
        input_shape=input_shape,
        arch=arch,
        keys=keys,
        activation=activation,
        nir_dialect=nir_dialect,
        dt=dt,
        samples=samples,
        n_samples=n_samples,
        golden=golden,
        pad=pad,
        scale=scale,
        currents=currents,
        resize=resize,
        crop=crop,
        name=name,
        neuron=neuron,
        theta_neg=theta_neg,
        bn_eps=bn_eps,
        pool=pool,
        max_pool=max_pool,
        calibrate=calibrate,
        method=method,
        n_calibrate=n_calibrate,
        expect=expect,
        threads=threads,
        notes=lambda line: note(f"refsim: warning: {line}"),
    )
    digest = file.save(output)
    network = file.network
    n_samples = 0 if file.samples is None else len(file.samples.labels)
    show(f"{output}: {network.name}, {network.metadata['architecture']}, {network.summary()}, {n_samples} samples")
    if library.ACCURACY_KEY in network.metadata:
        show(f"ANN {network.metadata[library.ACCURACY_KEY]}")
    if ASSUMED_KEY in network.metadata:
        show(f"assumed: {network.metadata[ASSUMED_KEY]}")
    show(f"sha256 {digest}")

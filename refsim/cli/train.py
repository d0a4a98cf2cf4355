"""`refsim train`: QCFS and NQ training with PyTorch, ending in a weight file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from refsim.cli.options import COUNT, MOST_STEPS, THREADS, Finite
from refsim.cli.printing import is_terminal, overwrite, show
from refsim.exceptions import UsageError
from refsim.importers.presets import PRESETS

# Written out, because asking the training room for them would import torch for `refsim train --help`.
ARCHITECTURES = ("small", "vgg7", "vgg11", "vgg13", "vgg16", "vgg19", "resnet18", "resnet20", "resnet34")
SMALL = ("small", "vgg7")
"""Those that read Fashion-MNIST as it is, 28 x 28."""

ACTIVATIONS = ("relu", "tcl", "qcf", "qcfs", "nq")
AUGMENTATIONS = ("crop", "flip", "cutout", "autoaugment")


def _augmentations(context: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    kinds = tuple(part for part in value.split(",") if part and part != "none")
    for kind in kinds:
        if kind not in AUGMENTATIONS:
            raise click.BadParameter(f"{kind!r} is not one of {', '.join(AUGMENTATIONS)}")
    return kinds


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--arch", type=click.Choice(ARCHITECTURES), required=True, help="Network.")
@click.option("--head", type=click.Choice(["linear", "4096"]), default="linear", help="VGG: 512-K, 512-4096-4096-K.")
@click.option("--dropout", type=Finite(0, 1, max_open=True), default=0.0, help="VGG only.")
@click.option("--data", type=click.Choice(list(PRESETS)), default="fashion-mnist", help="Data set.")
@click.option("--data-path", type=click.Path(path_type=Path, exists=True), help="Its files, training and test split.")
@click.option("--size", type=COUNT, help="Pad to SIZE x SIZE [default: fashion-mnist 32, small and vgg7 28].")
@click.option("--activation", type=click.Choice(ACTIVATIONS), default="qcfs", help="Activation of the source ANN.")
@click.option("-L", "--L", "L", type=click.IntRange(1, MOST_STEPS), default=4, help="Quantization steps.")
@click.option("--lambda", "lambda_", type=Finite(0, min_open=True), default=8.0, help="First threshold.")
@click.option("--epochs", type=COUNT, default=30)
@click.option("--batch", type=COUNT, default=128)
@click.option("--lr", type=Finite(0, min_open=True), default=0.1, help="Peak learning rate.")
@click.option("--momentum", type=Finite(0, 1, max_open=True), default=0.9)
@click.option("--weight-decay", type=Finite(0), default=5e-4, help="On every parameter, lambda too.")
@click.option("--warmup", type=Finite(0), default=0.5, help="Epochs of linear warm-up.")
@click.option("--label-smoothing", type=Finite(0, 1), default=0.0)
@click.option("--augment", callback=_augmentations, default="crop,flip", help="crop,flip,cutout,autoaugment or none.")
@click.option("--crop", type=click.IntRange(0, 1000), default=4, help="Largest shift of a crop, in pixels.")
@click.option("--validation", "n_validation", type=COUNT, default=5000, help="Images held back.")
@click.option("--select", type=click.Choice(["last", "ann", "snn"]), help="Epoch to keep [default: nq snn, else last].")
@click.option("-T", "--T", "T", type=click.IntRange(1, MOST_STEPS), default=4, help="Steps the SNN is watched for.")
@click.option("--watch", "n_watched", type=COUNT, default=1000, help="Images the SNN is watched on.")
@click.option("--tau", type=COUNT, help="Time steps after which nq measures its noise [default: L].")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1)
@click.option("--init", type=FILE, help="Checkpoint to start from.")
@click.option("--init-readout", is_flag=True, help="Take the readout from --init too (same classes).")
@click.option("--bf16", is_flag=True, help="bfloat16 autocast (pays where the CPU has AMX or AVX512-BF16).")
@click.option("--compile", "compiled", is_flag=True, help="torch.compile (needs a C++ compiler on the CPU).")
@click.option("--channels-last", is_flag=True, help="Channels-last memory format.")
@click.option("--threads", type=THREADS, help="PyTorch threads.")
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of this run; an interrupted one goes on where it stopped.",
)
@click.option("--save-every", type=click.IntRange(0, 100_000_000), default=0, help="Also save every so many steps.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Weight file [default: RUN/ARCH.h5]."
)
@click.option(
    "--round-to",
    type=click.Choice(["float32", "float16", "int8", "mixed"]),
    default="float32",
    help="Round the final weights, before they are scored. int8: times one step per output channel; "
    "mixed: layers of 2^20 weights or more to int8, the others to float16.",
)
@click.option("--quiet", is_flag=True, help="No progress bar, no log lines.")
@click.pass_context
def train(
    context: click.Context,
    /,
    folder: Path,
    out: Path | None,
    data_path: Path | None,
    size: int | None,
    threads: int | None,
    save_every: int,
    round_to: str,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a source ANN and convert it.

    The folder RUN ends up with checkpoint.pt (to resume), weights.pth (state dict, keys of the official QCFS
    code), summary.json and the weight file.
    """
    try:
        import torch
    except ImportError as error:
        raise UsageError("train needs PyTorch: pip install 'refsim[train]'") from error
    from refsim.training.data import load_data
    from refsim.training.loop import Training
    from refsim.training.outcome import finish, write_weight_file
    from refsim.training.recipe import Epoch, Recipe

    if threads:
        torch.set_num_threads(threads)
    options["init"] = str(options["init"] or "")
    options["tau"] = options["tau"] or 0
    options["select"] = options["select"] or ("snn" if options["activation"] == "nq" else "last")
    recipe = Recipe(**options)
    if size is None and recipe.data == "fashion-mnist" and recipe.arch not in SMALL:
        size = 32
    data = load_data(recipe.data, path=data_path, n_validation=recipe.n_validation, size=size)
    training = Training(recipe, data, folder, save_every=save_every)
    if recipe.init and not quiet and not training.history:
        kept = ", ".join(training.left_alone) or "nothing"
        show(f"started from {Path(recipe.init).name}; left as initialised: {kept}")
    has_bar = is_terminal() and not quiet

    def on_step(done: int, total: int) -> None:
        if has_bar:
            filled = 30 * done // total
            overwrite(f"[{'#' * filled}{'.' * (30 - filled)}] step {done}/{total}", last=done == total)

    def on_epoch(epoch: Epoch) -> None:
        if not quiet:
            show(epoch.line())

    training.run(on_step, on_epoch)
    summary = finish(training, _command(context), round_to=round_to)
    test = summary["test"]
    show(f"test  ANN {test['ann']:.2f} on {len(data.test)} images")
    if test["snn_if"]:
        out = out or folder / f"{recipe.arch}.h5"
        for neuron in ("if", "dual"):
            curve = "  ".join(f"t={t} {value:.2f}" for t, value in test[f"snn_{neuron}"].items())
            show(f"test  SNN {neuron:4}  {curve}  on {test['snn_images']} images")
        write_weight_file(out, folder / "weights.pth", recipe, data, summary)
        show(f"wrote {out}")


def _command(context: click.Context) -> str:
    """The options that are not defaults and that the weights depend on, files by their names only."""
    words = ["refsim", "train"]
    for option in context.command.params:
        value = context.params[str(option.name)]
        source = context.get_parameter_source(str(option.name))
        if option.name in ("folder", "out", "data_path", "threads", "save_every", "quiet"):
            continue
        if source is None or source is click.core.ParameterSource.DEFAULT:
            continue
        if isinstance(value, bool):
            words += [option.opts[0]] if value else []
        else:
            text = value.name if isinstance(value, Path) else ",".join(value) if isinstance(value, tuple) else value
            words += [option.opts[0], str(text) or "none"]
    return shlex.join(words)

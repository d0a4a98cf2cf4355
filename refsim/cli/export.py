"""`refsim export`: a network, and what it does, for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from refsim.cli.options import HELP, json_option, load_images, load_weights, weights_argument
from refsim.cli.output import check_folder
from refsim.cli.printing import show, show_document
from refsim.exceptions import UsageError
from refsim.formats.images.preparation import Preparation

FORMATS = "npz,h5,hex,csv"


@click.group(context_settings=HELP)
def export() -> None:
    """Write a network, or golden vectors of it, for other tools."""


@export.command(context_settings=HELP)
@weights_argument
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A new folder.")
@click.option("--dtype", type=click.Choice(["int8", "int16"]), default="int8", show_default=True, help="Weights.")
@click.option("-T", "--T", "T", type=click.IntRange(1), default=4, show_default=True, help="Time steps.")
@click.option("--limit", type=click.IntRange(1), default=8, show_default=True, metavar="N", help="Images, strided.")
@click.option("--data", metavar="PATH", help="As in `refsim run`. [default: the samples in the weight file]")
@click.option("--pad", is_flag=True, help="Pad smaller images with zeros to the network's size.")
@click.option("--neuron", type=click.Choice(["if", "dual", "signed"]), help="[default: what the file says]")
@click.option("--formats", default=FORMATS, show_default=True, metavar="A,B", help="npz, h5: arrays; hex: $readmemh.")
@click.option(
    "--events",
    type=click.Choice(["address", "bits"]),
    default="address",
    show_default=True,
    help="Spikes as hexadecimal text: a word for each event, or a bit for each neuron and step.",
)
@click.option("--potentials", is_flag=True, help="Also every potential after every step.")
@json_option
def golden(
    network: str | None,
    output: Path,
    dtype: str,
    T: int,
    limit: int,
    data: str | None,
    pad: bool,
    neuron: str | None,
    formats: str,
    events: str,
    potentials: bool,
    as_json: bool,
) -> None:
    """Golden vectors of the quantised network, for test benches: weights, spikes, potentials in whole numbers."""
    if output.exists():
        raise UsageError(f"-o {output}: is there already; remove it, or name another")
    from refsim.exporters.golden import export_golden
    from refsim.reports.units import count

    file = load_weights(network)
    manifest = export_golden(
        file,
        output,
        load_images(file, data, limit, Preparation(pad=pad), quiet=True),
        T=T,
        dtype=dtype,  # type: ignore[arg-type]  # click has checked the choices
        neuron=neuron or "file",  # type: ignore[arg-type]
        formats=formats.split(","),  # type: ignore[arg-type]
        events=events,  # type: ignore[arg-type]
        potentials=potentials,
    )
    if as_json:
        import json

        show_document(json.dumps(manifest, indent=2))
        return
    spikes = sum(each["arrays"].get("spikes/t", [0])[0] for each in manifest["populations"])
    show(
        f"{output}: {', '.join(manifest['formats'])}; {dtype}, T={T}, {manifest['data']['source']}: {count(spikes)} "
        f"spikes of {len(manifest['populations']) - 1} layers; manifest.json says what the numbers mean"
    )


@export.command(context_settings=HELP)
@weights_argument
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="X.nir", help="The file.")
@click.option(
    "--for",
    "tool",
    type=click.Choice(["generic", "sinabs", "spikingjelly", "norse", "snntorch"]),
    default="generic",
    show_default=True,
    help="Who is to read it.",
)
@click.option("--neuron", type=click.Choice(["if"]), help="if: without negative thresholds. [default: as in the file]")
def nir(network: str | None, output: Path, tool: str, neuron: str | None) -> None:
    """The network as a NIR graph, with thresholds of 1; says what its reader has to be told besides."""
    from refsim.exporters.nir import check_target, export_nir

    check_target(output)
    check_folder("-o", output)
    file = load_weights(network)
    notes = export_nir(file, output, tool=tool, neuron=neuron or "file")  # type: ignore[arg-type]
    show(f"{output}: {file.network.name} for {tool}", *(f"  {line}" for line in notes))

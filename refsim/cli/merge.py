"""`refsim merge`: the parts of a run (`refsim run --shard`) add up to its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from refsim.cli.options import color_option, json_option, load_weights
from refsim.cli.output import FILES
from refsim.cli.render import render, to_json, write
from refsim.cli.tables import use_color
from refsim.exceptions import UsageError
from refsim.formats.images.currents import strided
from refsim.formats.untrusted.text import clean
from refsim.reports.run import build_report, kind_of, summarize, summarize_ann


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "-w", "--weights", metavar="FILE", help="Weight file of the run. [default: where the first part found it]"
)
@click.option("--energy", default="qcfs2022", show_default=True, metavar="NAME|FILE", help="Energy model.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Also write .json or .csv.")
@json_option
@color_option
def merge(
    runs: tuple[Path, ...], weights: str | None, energy: str, output: Path | None, as_json: bool, color: bool | None
) -> None:
    """Add up run directories: all parts of one run, in any order, or one whole run.

    Refuses parts of different runs, images that are missing, and images that two parts hold with different results.
    """
    if output is not None and output.suffix not in FILES[:2]:
        raise UsageError(f"-o {output}: the name must end in .json or .csv")
    report = _merge(runs, weights, energy)
    if output is not None:
        write(output, report)
    colored = use_color(color) and not as_json
    click.echo(to_json(report).rstrip() if as_json else "\n".join(render(report, colored)), color=colored)


def _merge(runs: tuple[Path, ...], weights: str | None, energy: str) -> dict[str, Any]:
    from contextlib import closing

    from refsim.analysis.energy import find_energy_model
    from refsim.runs.runner import ANN, check_result
    from refsim.runs.store.merge import Parts
    from refsim.runs.study import networks_of

    model = find_energy_model(energy)
    with closing(Parts(runs)) as parts:
        spec = parts.spec
        path, file = load_weights(weights if weights is not None else parts.about.weights_path)
        if file.sha256 != spec.weights:
            raise UsageError(
                f"{clean(str(path), None)}: sha256 {file.sha256[:12]}..., the run was made with "
                f"{spec.weights[:12]}...; name its weight file with --weights"
            )
        images = strided(spec.images, spec.limit)
        networks = networks_of(file.network, spec)
        results = {name: parts.result(name, images) for name in networks}
        for name, network in networks.items():
            check_result(name, network, spec.T, results[name])
    return build_report(
        network=file.network,
        weights={"file": parts.about.weights, "name": file.network.name, "sha256": file.sha256},
        data={"source": parts.about.source, "images": len(images), "sha256": spec.data},
        T=spec.T,
        dtype=spec.dtype,
        model=model,
        ann=summarize_ann(file.network, model, results.get(ANN)),
        runs=[
            summarize(network, results[name], model, kind_of(network), spec.dtype)
            for name, network in networks.items()
            if name != ANN
        ],
    )

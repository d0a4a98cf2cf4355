"""`refsim info`: what a weight file holds."""

from __future__ import annotations

from dataclasses import replace

import click

from refsim.cli.options import HELP, dtype_option, json_option, load_weights, weights_option
from refsim.cli.printing import show, show_document


@click.command(context_settings=HELP)
@weights_option
@click.option("--plan", "with_plan", is_flag=True, help="How the engine would run it, in the numbers of --dtype.")
@dtype_option
@json_option
def info(weights: str | None, with_plan: bool, dtype: str, as_json: bool) -> None:
    """What a weight file holds: layers, shapes, thresholds, MACs, provenance, checksum."""
    from refsim.cli.info_text import render, render_plan
    from refsim.reports.files import as_json as json_of
    from refsim.reports.info import describe

    file = load_weights(weights)
    report = describe(file)
    if with_plan:
        from refsim.engine.plan import compile_network
        from refsim.reports.plan import describe_plan

        report = replace(report, plan=describe_plan(compile_network(file.network, dtype)))
    if as_json:
        show_document(json_of(report))
        return
    show(*render(report))
    if report.plan is not None:
        show("", *render_plan(report.plan))

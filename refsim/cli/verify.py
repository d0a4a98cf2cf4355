"""`refsim verify`: is this file what it was, and does the engine do on it what the specification says?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from refsim.cli.options import COUNT, HELP, json_option, load_weights, steps_option, weights_option
from refsim.cli.printing import show, show_document
from refsim.cli.progress import note_compilation
from refsim.exceptions import UsageError

if TYPE_CHECKING:
    from refsim.verification.verify import Check


@click.command(context_settings=HELP)
@weights_option
@steps_option()
@click.option(
    "--limit",
    type=COUNT,
    default=4,
    show_default=True,
    metavar="N",
    help="Samples for engine == specification.",
)
@click.option("--reseal", is_flag=True, help="Store the checksum that fits the file as it is, and do nothing else.")
@json_option
def verify(weights: str | None, T: tuple[int, ...], limit: int, reseal: bool, as_json: bool) -> None:
    """Check a weight file: checksum, golden replay, engine == specification on its own samples.

    Exits with 4 and names the first difference if a check fails.
    """
    if reseal:
        _reseal(weights)
        return
    file = load_weights(weights)
    note_compilation(quiet=as_json)
    from refsim.reports.files import as_json as json_of
    from refsim.verification.verify import verify as verify_file

    if as_json:
        show_document(json_of(verify_file(file, T=T, limit=limit)))
        return
    show(f"{file.name}: checksum ok   sha256 {file.sha256}")
    if file.samples is None:
        show("  no samples in the file: nothing to replay")
    elif not file.golden:
        show("  no golden results in the file")
    verify_file(file, T=T, limit=limit, on_check=_show)


def _show(check: Check) -> None:
    from refsim.verification.golden import Replay

    if isinstance(check, Replay):
        show(
            f"  golden replay ok   {check.neuron}, T={check.T}, {check.n_images} images: "
            f"{check.n_spikes:,} spikes and all logits, in float64 and exact"
        )
        return
    show(
        f"  engine == specification ok   {check.neuron}, T={check.T}, {check.n_images} images: every bit "
        f"({check.seconds:.1f} s)"
    )
    open_ = ", ".join(check.not_certified)
    show(f"    independent of summation order: {'no, see ' + open_ if open_ else 'certified'}")


def _reseal(weights: str | None) -> None:
    from refsim.formats.weights.hdf5 import reseal
    from refsim.formats.weights.locate import find_weights

    if weights is None:
        raise UsageError("--reseal changes a file; name it with --weights")
    path = find_weights(weights)
    show(f"{path.name}: resealed   sha256 {reseal(path)}")

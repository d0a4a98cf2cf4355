"""`refsim verify`: is this file what it was, and does the engine do on it what the specification says?"""

from __future__ import annotations

import json
import time
from typing import Any

import click
import numpy as np

from refsim.cli.options import json_option, load_weights, steps_option, weights_option
from refsim.cli.progress import note_compilation
from refsim.exceptions import CheckFailedError, UsageError
from refsim.formats.untrusted.text import clean
from refsim.version import __version__

SCHEMA = "refsim-verify 1"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@weights_option
@steps_option
@click.option(
    "--images", type=click.IntRange(1), default=4, show_default=True, help="Samples for engine == specification."
)
@click.option("--reseal", is_flag=True, help="Store the checksum that fits the file as it is, and do nothing else.")
@json_option
def verify(weights: str | None, T: int, images: int, reseal: bool, as_json: bool) -> None:
    """Check a weight file: checksum, golden replay, engine == specification on its own samples.

    Exits with 4 and names the first difference if a check fails.
    """
    if reseal:
        _reseal(weights)
        return
    path, file = load_weights(weights)
    note_compilation(quiet=as_json)
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "refsim": __version__,
        "file": clean(str(path), None),
        "sha256": file.sha256,
        "golden": [],
        "specification": [],
    }
    show = (lambda _: None) if as_json else click.echo
    show(f"{clean(path.name)}: checksum ok   sha256 {file.sha256}")
    if file.samples is None:
        show("  no samples in the file: nothing to replay")
    else:
        _replay(file, report, show)
        _compare(file, T, images, report, show)
    if as_json:
        click.echo(json.dumps(report, indent=2))


def _reseal(weights: str | None) -> None:
    from refsim.formats.weights.hdf5 import reseal
    from refsim.formats.weights.locate import find_weights

    if weights is None:
        raise UsageError("--reseal changes a file; name it with --weights")
    path = find_weights(weights)
    click.echo(f"{clean(path.name)}: resealed   sha256 {reseal(path)}")


def _replay(file: Any, report: dict[str, Any], show: Any) -> None:
    from refsim.verification.golden import replay

    if not file.golden:
        show("  no golden results in the file")
    for golden in file.golden:
        done = replay(file.network, file.samples, golden)
        report["golden"].append({"neuron": done.neuron, "T": done.T, "images": done.n_images, "spikes": done.n_spikes})
        show(
            f"  golden replay ok   {done.neuron}, T={done.T}, {done.n_images} images: "
            f"{done.n_spikes:,} spikes and all logits, in float64 and exact"
        )


def _compare(file: Any, T: int, n_images: int, report: dict[str, Any], show: Any) -> None:
    from refsim.analysis.margin import margins
    from refsim.engine.plan import compile_network
    from refsim.engine.results import Result
    from refsim.engine.simulator import simulate
    from refsim.verification.equality import assert_equals_reference

    n_samples = len(file.samples.labels)
    chosen = np.arange(min(n_images, n_samples)) * n_samples // min(n_images, n_samples)
    x = file.network.input.normalize(file.samples.images[chosen])
    for kind in ("if", "dual"):
        network = file.network.with_kind(kind)
        started = time.perf_counter()
        try:
            assert_equals_reference(network, x, T)
        except AssertionError as error:
            raise CheckFailedError(f"engine and specification differ ({kind}, T={T}): {error}") from None
        seconds = time.perf_counter() - started
        result = Result.of(simulate(compile_network(network), x, T), x, None)
        open_ = [each.name for each in margins(network, result) if not each.certified]
        report["specification"].append(
            {"neuron": kind, "T": T, "images": len(chosen), "seconds": seconds, "not_certified": open_}
        )
        show(f"  engine == specification ok   {kind}, T={T}, {len(chosen)} images: every bit ({seconds:.1f} s)")
        show(f"    independent of summation order: {'no, see ' + ', '.join(open_) if open_ else 'certified'}")

"""The figure of `refsim errors --plot`, from its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from refsim.formats.untrusted.text import clean

FORMATS = (".png", ".svg", ".pdf")


def check_plot(context: click.Context, option: click.Parameter, value: str | None) -> Path | None:
    """Refuse, before hours of work, a name that says no known format or a folder that does not exist."""
    if value is None:
        return None
    path = Path(value)
    if path.suffix.lower() not in FORMATS:
        raise click.BadParameter(f"'{clean(value)}' should end in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder '{clean(str(path.parent))}'")
    return path


def parts_of(layer: dict[str, Any]) -> dict[str, Any]:
    """The parts of a layer's error that the source ANN speaks for, with their sum last.

    Against QCFS_L where the ANN has it; else against ReLU; without the ANN, what is local.
    """
    relu, qcfs = layer["against_relu"], layer["against_qcfs"]
    if qcfs:
        return {key: qcfs[key] for key in ("quantization", "unevenness", "pool", "propagated", "total") if key in qcfs}
    keys = ("clipping", "quantization", "unevenness", "pool", "propagated", "total" if "total" in relu else "local")
    return {key: relu[key] for key in keys if key in relu}


def draw(report: dict[str, Any], path: Path) -> None:
    """Draw the errors at the last T; with several T, also against T."""
    from refsim.plots.errors import plot_counts, plot_error_over_time, plot_spike_counts, plot_split, plot_spread
    from refsim.plots.style import letter_panels, literal, new_figure, save_figure, styled

    layers, steps = report["steps"][-1]["layers"], report["steps"]
    names = [clean(layer["name"], 24) for layer in layers]
    every = [parts_of(layer) for layer in layers]
    wide = len(layers) > 6
    n_panels = 2 + (len(steps) > 1)
    # Many layers leave no room inside the panels.
    beside: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1, 0.5)} if wide else {}
    titles = ["error, split", "spike counts", r"error (RMS) against $T$"]
    with styled():
        figure = new_figure(2, 2.3 * (n_panels if wide else 1))
        axes = figure.subplots(*((n_panels, 1) if wide else (1, n_panels)))
        if len(layers) == 1:
            parts = every[0]
            quantiles = [part["quantiles"] for part in parts.values()]
            plot_spread(
                axes[0],
                list(parts),
                [each[0.05] for each in quantiles],
                [part["mean"] for part in parts.values()],
                [each[0.95] for each in quantiles],
                [part["rms"] for part in parts.values()],
            )
            plot_spike_counts(axes[1], {int(k): n for k, n in layers[0]["spike_count"]["k"].items()})
            titles[0] = f"{literal(names[0])}: error, split"
        else:
            total = next(key for key in ("total", "local") if all(key in parts for parts in every))
            keys = dict.fromkeys(key for parts in every for key in parts if key != total)
            # A part that a layer does not have is 0: clipping, where its ANN clips too; pool, without max pools.
            means = {key: [parts.get(key, {"mean": 0.0})["mean"] for parts in every] for key in keys}
            plot_split(axes[0], names, means, [parts[total]["mean"] for parts in every])
            plot_counts(axes[1], names, {key: [share_of(layer, key) for layer in layers] for key in SHARES})
            axes[1].legend(**beside)
        solid = {"loc": "lower right", "frameon": True, "framealpha": 1, "edgecolor": "none"}
        axes[0].legend(**(solid if len(layers) == 1 else beside))
        if len(steps) > 1:
            plot_error_over_time(axes[2], [step["T"] for step in steps], _over_time(steps))
            axes[2].legend(**beside)
        letter_panels(axes, titles)
        kind = "dual threshold" if report["neuron"] == "dual" else "IF"
        figure.suptitle(
            f"{clean(report['weights']['name'], 40)}, {kind}, T = {report['T']}, {report['data']['images']} images",
            parse_math=False,
            fontsize=8,
        )
        save_figure(figure, path)


SHARES = {"-1": (-1, -1), "<= -2": (None, -2), "+1": (1, 1), ">= 2": (2, None)}


def share_of(layer: dict[str, Any], key: str) -> float:
    """The part of a layer's neurons (times images) whose k is as a key of `SHARES` says."""
    low, high = SHARES[key]
    counts = {int(k): n for k, n in layer["spike_count"]["k"].items()}
    chosen = [n for k, n in counts.items() if (low is None or k >= low) and (high is None or k <= high)]
    return float(sum(chosen) / sum(counts.values()))


def _over_time(steps: list[dict[str, Any]]) -> dict[str, list[float]]:
    """RMS against T: of each part, for a single layer; else of the whole error of each layer."""
    first = steps[0]["layers"]
    if len(first) == 1:
        return {key: [parts_of(step["layers"][0])[key]["rms"] for step in steps] for key in parts_of(first[0])}
    return {
        clean(layer["name"], 24): [list(parts_of(step["layers"][i]).values())[-1]["rms"] for step in steps]
        for i, layer in enumerate(first)
    }

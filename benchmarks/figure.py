"""The figures of `run.py` as one picture, in the style of refsim's plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from refsim.plots.style import BLUE, GREY, LOOKS, letter_panels, name_ticks, new_figure, save_figure, styled

AXES = {"steps": "T", "batch": "batch", "density": "sops_per_image", "image size": "pixels"}
"""What each growth is drawn against."""


def draw(report: dict[str, Any], path: Path) -> None:
    """Time per image of every contender, and how the time of `exact` grows; parts not measured are left out."""
    contests, growth = report.get("contest", []), report.get("growth", {})
    n_panels = len(contests) + len(growth)
    if not n_panels:
        return
    with styled():
        figure = new_figure(columns=2, height=2.2 * -(-n_panels // 2))
        axes = figure.subplots(-(-n_panels // 2), 2, squeeze=False).ravel()
        for ax, facts in zip(axes, contests):
            names = [name for name, value in facts.items() if isinstance(value, dict) and "median" in value]
            times = [facts[name]["median"] for name in names]
            colors = [BLUE if name.startswith("refsim") else GREY for name in names]
            ax.barh(range(len(names)), times, color=colors)
            name_ticks(ax, names, axis="y")
            ax.set_xlabel(f"CPU ms per image, T = {report['T']}")
        for ax, (name, rows) in zip(axes[len(contests) :], growth.items()):
            look = LOOKS["if"]
            points = [(row[AXES[name]], row["median"]) for row in rows]
            ax.loglog(*zip(*points), color=look.color, marker=look.marker)
            ax.set_xlabel(AXES[name].replace("_", " "))
            ax.set_ylabel("CPU ms per image")
        titles = [f"density {facts['density']:.2f}" for facts in contests] + [f"growth: {name}" for name in growth]
        letter_panels(axes, titles)
        for ax in axes[n_panels:]:
            ax.remove()
        save_figure(figure, path)

"""Colours stay apart for the colour-blind, and from their background; on paper, and on the report page in the dark."""

from __future__ import annotations

import itertools
import re
from importlib.resources import files

import numpy as np
import pytest

from refsim.plots import style

# Machado, Oliveira & Fernandes 2009, severity 1.0, on linear RGB.
SEEN = {
    "all": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear sRGB, D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.clip(to_xyz @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089]), 0.008856, None))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def themes() -> dict[str, dict[str, str]]:
    """The colours of the report page by their names, in the light and in the dark."""
    css = (files("refsim.reports.page") / "templates" / "page.css").read_text()
    found = {}
    for name, block in (("light", re.search(r":root \{(.*?)\}", css, re.DOTALL)),
                        ("dark", re.search(r':root\[data-theme="dark"\] \{(.*?)\}', css, re.DOTALL))):  # fmt: skip
        assert block is not None
        found[name] = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block[1]))
    return found


PALETTES = {"figures": {"blue": style.BLUE, "red": style.RED, "yellow": style.YELLOW, "grey": style.GREY}} | {
    name: {key: colours[key] for key in ("blue", "red", "yellow", "grey")} for name, colours in themes().items()
}


@pytest.mark.parametrize("eyes", SEEN)
@pytest.mark.parametrize("palette", PALETTES)
def test_colours_are_told_apart(palette: str, eyes: str) -> None:
    colours = {name: lab(SEEN[eyes] @ linear(colour)) for name, colour in PALETTES[palette].items()}
    for (one, a), (other, b) in itertools.combinations(colours.items(), 2):
        assert np.linalg.norm(a - b) > 15, (one, other)


def test_two_colours_that_deuteranopes_mix_up_are_found() -> None:
    red, green = (lab(SEEN["deuteranopia"] @ linear(colour)) for colour in ("#b05040", "#7c7430"))
    assert np.linalg.norm(red - green) < 15


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_and_lines_stand_out_from_the_page(name: str) -> None:
    colours = themes()[name]
    for ink in ("ink", "muted", "link"):
        for paper in ("paper", "shade"):
            assert contrast(colours[ink], colours[paper]) >= 4.5
    for line in ("blue", "red"):
        assert contrast(colours[line], colours["paper"]) >= 3


def test_the_page_in_the_light_has_the_colours_of_the_figures() -> None:
    light = themes()["light"]
    assert [light[name] for name in ("blue", "red", "yellow")] == [
        colour.lower() for colour in (style.BLUE, style.RED, style.YELLOW)
    ]

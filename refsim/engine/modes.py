"""The numbers in which a network can be computed."""

from __future__ import annotations

from typing import Literal

Mode = Literal["exact", "float64", "float32", "int16", "int8"]

MODES: tuple[Mode, ...] = ("exact", "float64", "float32", "int16", "int8")

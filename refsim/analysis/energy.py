"""Energy models: joules per class of operation. A model is a price list; the counts are exact, the prices are not."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.analysis.operations import AnnOperations, SnnOperations
from refsim.exceptions import FormatError, UsageError
from refsim.formats.untrusted.opening import read_text, shown
from refsim.formats.untrusted.text import brief, clean

SNN_CLASSES = tuple(each.name for each in fields(SnnOperations) if each.name != "n_images")
"""Classes of SNN operations that may have a price, as `SnnOperations` counts them."""

ANN_CLASSES = tuple(f"ann_{each.name}" for each in fields(AnnOperations))
"""Classes of ANN operations that may have a price, as `AnnOperations` counts them, with "ann_" before the name."""

MAX_BYTES = 1 << 15
"""Of a file with prices, twenty times what all of them take; TOML of deep keys is slow to read."""

NO_MEMORY = "memory access is not included, which costs more on most hardware"
NOT_ROLLS = (
    "the papers quote 12.5 pJ/FLOP next to ROLLS; it cannot be a figure of ROLLS, a mixed-signal spiking chip "
    "that executes no FLOPs"
)


@dataclass(frozen=True, kw_only=True)
class EnergyModel:
    """A price for each class of operation; a class without a price is free.

    Parameters
    ----------
    joules
        By class: any of `SNN_CLASSES` and `ANN_CLASSES`, in joules per operation.
    source
        Where the prices come from.
    remarks
        What a reader of the numbers must know.

    Raises
    ------
    UsageError
        Unknown class, or a price that is negative or not finite.
    """

    name: str
    joules: Mapping[str, float]
    source: str
    remarks: tuple[str, ...] = (NO_MEMORY,)

    def __post_init__(self) -> None:
        known = SNN_CLASSES + ANN_CLASSES
        for key, price in self.joules.items():
            if key not in known:
                shown_key, there = clean(key, 60), ", ".join(known)
                raise UsageError(f"energy model '{self.name}': no operations '{shown_key}'; there are {there}")
            if not isfinite(price) or price < 0:
                raise UsageError(f"energy model '{self.name}': {key} must be a finite price >= 0, got {price}")

    def snn_breakdown(self, operations: SnnOperations) -> dict[str, NDArray[np.float64]]:
        """Joules per image after t steps, by class that has a price: (T,) each."""
        return {
            key: getattr(operations, key) * self.joules[key] / operations.n_images
            for key in SNN_CLASSES
            if key in self.joules
        }

    def snn(self, operations: SnnOperations) -> NDArray[np.float64]:
        """Joules per image after t steps, for every t <= T: (T,)."""
        return np.asarray(sum(self.snn_breakdown(operations).values(), np.zeros(len(operations.sop))))

    def ann_breakdown(self, operations: AnnOperations) -> dict[str, float]:
        """Joules per image of the source ANN, by class that has a price."""
        counts = {f"ann_{key}": count for key, count in asdict(operations).items()}
        return {key: counts[key] * self.joules[key] for key in ANN_CLASSES if key in self.joules}

    def ann(self, operations: AnnOperations) -> float:
        """Joules per image of the source ANN."""
        return float(sum(self.ann_breakdown(operations).values()))

    def definition(self) -> str:
        """The whole price list on one line."""
        return f"{self.name}: " + ", ".join(f"{price / 1e-12:.4g} pJ/{key}" for key, price in self.joules.items())

    def footnote(self) -> str:
        """What a reader of a number must know, in one line."""
        return "; ".join((f"energy: {self.name}, {self.source}", *self.remarks))

    def describe(self) -> list[str]:
        """The definition, then source and remarks: lines for people."""
        return [self.definition(), "; ".join((self.source, *self.remarks))]


def _picojoules(prices: Mapping[str, float]) -> dict[str, float]:
    return {key: price * 1e-12 for key, price in prices.items()}


def _horowitz(name: str, numbers: str, add: float, multiply_add: float) -> EnergyModel:
    additions = (
        *("sop", "residual", "pool_in", "pool_comparison", "bias_add", "membrane_update", "comparison", "reset"),
    )
    ann = ("ann_bias_add", "ann_residual_add", "ann_pool_output", "ann_pool_comparison")
    return EnergyModel(
        name=name,
        joules=_picojoules(
            dict.fromkeys(additions, add)
            | {"first_layer_mac": multiply_add, "ann_mac_existing": multiply_add}
            | dict.fromkeys(ann, add)
        ),
        source=f"Horowitz 2014, 45 nm, {numbers}: {add} pJ per addition, {multiply_add} pJ per multiply-accumulate",
    )


BUILT_IN: Mapping[str, EnergyModel] = {
    model.name: model
    for model in (
        EnergyModel(
            name="qcfs2022",
            joules=_picojoules({"sop": 0.077, "residual": 0.077, "ann_mac_dense": 2 * 12.5}),
            source="QCFS Table S5: 77 fJ/SOP, 12.5 pJ/FLOP, 2 FLOP/MAC",
            remarks=("the analog first layer, biases and neurons are free, as in the paper", NO_MEMORY, NOT_ROLLS),
        ),
        EnergyModel(
            name="ecl2025",
            joules=_picojoules(
                {"sop": 0.077, "residual": 0.077, "ann_mac_dense": 12.5, "ann_bn_element": 50, "ann_pool_output": 12.5}
            ),
            source="ECL Table 4: 77 fJ/SOP, 12.5 pJ per operation as thop counts (1/MAC, 4/BN element, 1/pool output)",
            remarks=(
                "a MAC is charged as one FLOP, half of what QCFS charges",
                "the analog first layer, biases and neurons are free, as in the paper",
                NO_MEMORY,
                NOT_ROLLS,
            ),
        ),
        _horowitz("horowitz45", "32-bit floats", 0.9, 4.6),
        _horowitz("horowitz45-int8", "8-bit integers", 0.03, 0.23),
    )
}
"""The models that travel with refsim, by name."""


def find_energy_model(name: str) -> EnergyModel:
    """A built-in model by its name, or one read from a .toml or .json file.

    Raises
    ------
    UsageError
        Neither the name of a model nor a file of that kind.
    FormatError
        The file is not an energy model.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    path = Path(name)
    if path.suffix in (".toml", ".json"):
        return load_energy_model(path)
    raise UsageError(f"no energy model '{clean(name)}'; use {', '.join(BUILT_IN)}, or a .toml or .json file")


def load_energy_model(path: Path) -> EnergyModel:
    """Read a price list: `name` and `source` (optional) and a table `picojoules` of prices by class.

    For example, in TOML:

        source = "our chip, measured at 0.8 V"
        [picojoules]
        sop = 1.7
        first_layer_mac = 6.2
        ann_mac_dense = 6.2

    Raises
    ------
    FormatError
        The file does not exist, is no TOML or JSON, or holds something else.
    """
    where = shown(path)
    text = read_text(path, what="price list", most=MAX_BYTES)
    try:
        content: Any = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: not a {path.suffix[1:]} file ({clean(str(error))})") from None
    if not isinstance(content, dict) or not isinstance(content.get("picojoules"), dict) or not content["picojoules"]:
        raise FormatError(f"{where}: needs a table 'picojoules' with a price for each class of operation")
    unknown = sorted(content.keys() - {"name", "source", "picojoules"})
    if unknown:
        raise FormatError(f"{where}: unknown key '{clean(unknown[0], 60)}'; there are name, source, picojoules")
    texts = {"name": path.stem, "source": "user-defined"} | {k: content[k] for k in ("name", "source") if k in content}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise FormatError(f"{where}: {key} must be text, got {brief(text)}")
    for key, price in content["picojoules"].items():
        # Written so that nan fails too; the bound keeps integers that no float can hold away from the arithmetic.
        if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < 1e30:
            raise FormatError(f"{where}: {clean(key, 60)} must be a price >= 0 in picojoules, got {brief(price)}")
    name, source = (clean(texts[key]) for key in ("name", "source"))
    try:
        return EnergyModel(name=name, joules=_picojoules(content["picojoules"]), source=source)
    except UsageError as error:
        raise FormatError(f"{where}: {error}") from None

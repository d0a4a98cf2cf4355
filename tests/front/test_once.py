"""A network is compiled once for each kind of numbers, whatever is asked of it."""

from __future__ import annotations

from typing import Any

import pytest

import refsim
from refsim.engine import plan


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is compiled: numbers, and "ann" where theta is not folded into the weights."""
    seen: list[str] = []
    make = plan._Compiler

    def counting(network: Any, mode: str, floats: Any, fold: bool, skip_zero: bool) -> Any:
        seen.append(mode if fold else f"ann {mode}")
        return make(network, mode, floats, fold, skip_zero)

    monkeypatch.setattr(plan, "_Compiler", counting)
    return seen


def test_a_run(file: refsim.WeightFile, compiled: list[str]) -> None:
    refsim.run(file, T=1, limit=2)
    assert compiled == ["ann float64", "exact"]


def test_a_run_of_both_neurons_in_8_bits(file: refsim.WeightFile, compiled: list[str]) -> None:
    refsim.run(file, T=1, limit=2, neuron="both", dtype="int8").to_json()
    assert compiled == ["ann float64", "int8", "int8"]


def test_errors_compile_nothing_that_they_do_not_run(file: refsim.WeightFile, compiled: list[str]) -> None:
    refsim.layer_errors(file, T=(1, 2, 3), limit=2)
    assert sorted(compiled) == ["ann float64", "float64"]


def test_errors_in_8_bits(file: refsim.WeightFile, compiled: list[str]) -> None:
    refsim.layer_errors(file, T=(1, 2), limit=2, dtype="int8").to_json()
    assert sorted(compiled) == ["ann float64", "int8"]

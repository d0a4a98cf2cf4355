"""Hypothesis profiles, and which tests are quick.

Profiles are chosen by REFSIM_PROFILE; without it: ci where CI is set, else dev. dev: other examples every time; ci: the
same ones every time; nightly: many; mutants: those of ci, and no time is spent on making a failure small (see
mutants.py). `pytest -m quick` takes few examples of each.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

# Compilation, and the interpreter in place of Numba, break any deadline.
SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}

settings.register_profile("dev", max_examples=100, **SHARED)
settings.register_profile("ci", max_examples=100, derandomize=True, print_blob=True, **SHARED)
settings.register_profile("nightly", max_examples=2000, print_blob=True, **SHARED)
settings.register_profile("mutants", max_examples=100, derandomize=True, phases=[Phase.generate], **SHARED)
settings.register_profile("quick", max_examples=10, derandomize=True, **SHARED)
settings.load_profile(os.environ.get("REFSIM_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


def pytest_configure(config: pytest.Config) -> None:
    """With NUMBA_DISABLE_JIT=1 NumPy's scalars warn where the kernels mean to wrap around."""
    config.addinivalue_line("filterwarnings", "ignore:overflow encountered in scalar multiply:RuntimeWarning")
    if config.option.markexpr == "quick" and "REFSIM_PROFILE" not in os.environ:
        settings.load_profile("quick")


QUICK = (
    "analysis/test_energy.py",
    "analysis/test_statistics.py",
    "analysis/test_split.py",
    "cli/test_failures.py",
    "cli/test_info.py",
    "cli/test_printing.py",
    "cli/test_run.py",
    "engine/test_counts.py",
    "engine/test_edges.py",
    "engine/test_equality.py",
    "engine/test_invariance.py",
    "engine/test_kinds.py",
    "formats/test_atomic.py",
    "formats/test_datasets.py",
    "formats/test_hdf5_text.py",
    "formats/test_inputs.py",
    "formats/test_unpickler.py",
    "front/test_run.py",
    "importers/test_checkpoint.py",
    "kernels/test_exact.py",
    "methods/test_balancing.py",
    "methods/test_fixed.py",
    "methods/test_layerwise.py",
    "methods/test_snnc.py",
    "simulation/test_margin.py",
    "simulation/test_parallel.py",
    "store/test_directory.py",
    "store/test_merge.py",
    "store/test_rows.py",
    "test_model.py",
    "test_opening.py",
    "test_public.py",
    "theorems/test_exactness.py",
)
"""Tests of every room that together take less than a minute, once the kernels are compiled."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the quick tests."""
    root = Path(__file__).parent
    for item in items:
        quick = item.path.relative_to(root).as_posix() in QUICK if item.path.is_relative_to(root) else False
        if quick and item.get_closest_marker("heavy") is None:
            item.add_marker("quick")

"""Hypothesis profiles; choose one by REFSIM_PROFILE. Without it: ci where CI is set, else dev.

dev: other examples every time; ci: the same ones every time; nightly: many; mutants: those of ci, and no time is spent
on making a failure small (see mutants.py).
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

# Compilation, and the interpreter in place of Numba, break any deadline.
SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}

settings.register_profile("dev", max_examples=100, **SHARED)
settings.register_profile("ci", max_examples=100, derandomize=True, print_blob=True, **SHARED)
settings.register_profile("nightly", max_examples=2000, print_blob=True, **SHARED)
settings.register_profile("mutants", max_examples=100, derandomize=True, phases=[Phase.generate], **SHARED)
settings.load_profile(os.environ.get("REFSIM_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


def pytest_configure(config: pytest.Config) -> None:
    """With NUMBA_DISABLE_JIT=1 NumPy's scalars warn where the kernels mean to wrap around."""
    config.addinivalue_line("filterwarnings", "ignore:overflow encountered in scalar multiply:RuntimeWarning")

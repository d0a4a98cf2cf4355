"""Hypothesis profiles: dev (random), ci (the same examples every time), nightly (many). Choose by REFSIM_PROFILE."""

import os

from hypothesis import HealthCheck, settings

# Compilation, and the interpreter in place of Numba, break any deadline.
SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}

settings.register_profile("dev", max_examples=100, **SHARED)
settings.register_profile("ci", max_examples=100, derandomize=True, print_blob=True, **SHARED)
settings.register_profile("nightly", max_examples=2000, print_blob=True, **SHARED)
settings.load_profile(os.environ.get("REFSIM_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

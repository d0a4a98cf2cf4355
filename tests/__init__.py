"""Tests of refsim: `pytest`, in a checkout."""

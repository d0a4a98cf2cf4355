"""Runs: many images through networks, in memory, kept and resumed, in parts, on a cluster."""

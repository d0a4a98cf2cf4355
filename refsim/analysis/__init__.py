"""Numbers about a run: arrays in, dataclasses out."""

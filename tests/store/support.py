"""Specs and batches for tests of the run directory."""

from __future__ import annotations

from typing import Any

import numpy as np

from refsim.runs.store.directory import About
from refsim.runs.store.rows import Batch, Columns
from refsim.runs.store.spec import Spec
from refsim.version import __version__

ABOUT = About(weights="small.h5", weights_path="/somewhere/small.h5", source="8 samples from the file")

LAYOUT = Columns(T=2, populations=("if1",), projections=())


def spec_of(**changes: Any) -> Spec:
    """A spec of 8 images, with some fields changed."""
    fields: dict[str, Any] = {
        "engine": __version__,
        "weights": "a" * 64,
        "data": "",
        "images": 8,
        "limit": None,
        "pad": False,
        "scale": None,
        "currents": False,
        "resize": None,
        "crop": None,
        "T": 2,
        "dtype": "float64",
        "neuron": "if",
        "theta_neg": None,
        "theta_neg_mode": None,
        "v0": None,
        "skip_zero_weights": False,
        "ann": False,
    }
    return Spec(**fields | changes)


def batch_of(*images: int, extra: int = 0, layout: Columns = LAYOUT) -> Batch:
    """Rows that depend on the image only: image, image + 1, ... plus `extra`."""
    rows = np.array([np.arange(layout.width) + image + extra for image in images], dtype=np.int64)
    bounds = np.array([float(max(images)), *[float(min(images))] * (layout.n_bounds - 1)])
    return Batch(layout=layout, images=np.array(images), rows=rows, bounds=bounds.view(np.int64))

"""Arrays with impossible values, types and shapes; correctly sealed."""

from __future__ import annotations

from functools import partial

import numpy as np

from .base import add
from .sealed import (
    set_attr,
    set_data,
    set_item,
)


def _value_mutations() -> None:
    nan, inf = float("nan"), float("inf")
    theta, weight = "/layers/if2/theta", "/layers/conv2/weight"
    for value, says in (
        (nan, "not finite"),
        (inf, "not finite"),
        (-inf, "not finite"),
        (0.0, "must be positive"),
        (-0.0, "must be positive"),
        (-1.0, "must be positive"),
        (5e-324, "must be positive and not subnormal"),
    ):
        add(f"theta {value!r}", partial(set_item, theta, value), f"/layers/if2/theta: .*{says}")
    for path in (weight, "/layers/conv2/bias", "/layers/layer1.0/scale", "/layers/if2/v0", "/layers/if2/theta_neg"):
        for value in (nan, inf):
            add(f"{path} {value!r}", partial(set_item, path, value), f"{path}: holds values that are not finite")
    for path in ("/input/mean", "/input/std", "/golden/0/logits"):
        add(f"{path} nan", partial(set_item, path, nan), f"{path}: holds values that are not finite")
    add("std 0", partial(set_item, "/input/std", 0.0), "/input: std must be finite and positive")
    add("theta_neg 0", partial(set_item, "/layers/if2/theta_neg", 0.0), r"/layers/if2: .*theta_neg must lie in")
    add("theta_neg below -theta", partial(set_item, "/layers/if2/theta_neg", -9.0), "theta_neg must lie in")
    add("relative theta_neg", partial(set_item, "/layers/if2/theta_neg", 1e-3), "theta_neg must lie in")
    for dtype in ("f4", "i8", "S8"):
        add(
            f"theta as {dtype}",
            lambda dtype=dtype: set_data(theta, np.ones(3).astype(dtype)),
            f"{theta}: expected elements",
        )
    for dtype in ("u1", "i8", "u4"):
        add(
            f"weight as {dtype}",
            lambda dtype=dtype: set_data(weight, np.ones((3, 3, 1, 1), dtype)),
            "expected elements of",
        )
    add(
        "images as i1", lambda: set_data("/samples/images", np.ones((3, 4, 4, 2), "i1")), "/samples/images: expected el"
    )
    add(
        "labels as f8", lambda: set_data("/samples/labels", np.ones(3)), "/samples/labels: expected elements of type i8"
    )
    add("classes as numbers", lambda: set_data("/classes", np.ones(4)), "/classes: expected elements of type utf8")

    for path, shape, says in (
        (weight, (3, 2, 1, 1), r"/layers/conv2: weight expects \(2, H, W\) inputs, got \(3, 4, 4\) from 'layer1\.2'"),
        (weight, (3, 3), f"{weight}: expected 4 axes"),
        (weight, (5, 3, 1, 1), r"/layers/conv2/bias: expected shape \(5,\), got \(3,\)"),
        (weight, (3, 3, 9, 9), "kernel .* is larger than the padded input"),
        ("/layers/conv2/bias", (4,), r"expected shape \(3,\), got \(4,\)"),
        ("/layers/conv2/bias", (), r"expected shape \(3,\), got \(\)"),
        ("/layers/layer1.0/scale", (3, 1), r"expected shape \(3,\)"),
        (theta, (4,), r"/layers/if2: theta must be a scalar or of shape \(3,\) or \(3, 4, 4\), got \(4,\)"),
        ("/layers/if2/v0", (3, 4), r"/layers/if2: v0 must be a scalar"),
        ("/input/mean", (3,), r"/input/mean: expected shape \(2,\), got \(3,\)"),
        ("/input/std", (), r"/input/std: expected shape \(2,\), got \(\)"),
    ):
        add(
            f"{path} of shape {shape}",
            lambda path=path, shape=shape: set_data(path, np.ones(shape, "f4" if path == weight else "f8")),
            says,
        )
    add(
        "fc too wide",
        lambda: set_data("/layers/fc/weight", np.ones((4, 13), "i1")),
        r"/layers/fc: weight expects 13 inp",
    )
    add("images of another size", lambda: set_data("/samples/images", np.ones((3, 5, 4, 2), "u1")), r"\(N, 4, 4, 2\)")
    add("images channels first", lambda: set_data("/samples/images", np.ones((3, 2, 4, 4), "u1")), r"\(N, 4, 4, 2\)")
    add("fewer labels", lambda: set_data("/samples/labels", np.zeros(2, "i8")), r"labels: expected shape \(3,\)")
    add("label 4 of 4", partial(set_item, "/samples/labels", 4), r"labels must lie in \[0, 4\), got 0 to 4")
    add("label -1", partial(set_item, "/samples/labels", -1), r"labels must lie in \[0, 4\), got -1")
    add("three classes", lambda: set_data("/classes", np.array([b"a", b"b", b"c"])), "3 class names for 4 outputs")
    add(
        "matrix of classes", lambda: set_data("/classes", np.full((2, 2), b"a")), "/classes: expected a list of strings"
    )
    add(
        "class not UTF-8",
        lambda: set_data("/classes", np.array([b"a", b"\xff", b"c", b"d"])),
        "/classes: a string is not",
    )
    add(
        "golden of more images", lambda: set_data("/golden/0/logits", np.ones((2, 4, 4))), r"/golden/0/logits: expected"
    )
    add("golden of other T", partial(set_attr, "/golden/0", "T", 5), r"logits: expected shape \(5, N, 4\)")
    add("golden counts negative", partial(set_item, "/golden/0/counts_pos", -1), "spike counts must not be negative")
    add(
        "golden counts shape",
        lambda: set_data("/golden/0/counts_neg", np.ones((3, 2, 2), "i8")),
        r"expected shape \(2,",
    )
    add(
        "golden neuron",
        partial(set_attr, "/golden/0", "neuron", "lif"),
        "attribute neuron must be if or dual, got 'lif'",
    )


_value_mutations()

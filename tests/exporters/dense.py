"""A NIR file run as its nodes say, with soft reset: NumPy and h5py alone, no reader but this."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from refsim.reference.synapses import avg_pool2d, conv2d, sum_pool2d


def run(path: Path, x: np.ndarray, T: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Spikes (T, N, ...) by the layer that an IF node's metadata name, and the outputs (T, N, K)."""
    with h5py.File(path) as file:
        top = file["node"]
        nodes = {name: {key: each[key][()] for key in each if key != "metadata"} for name, each in top["nodes"].items()}
        meta = {
            name: {key: each["metadata"][key][()] for key in each["metadata"]} if "metadata" in each else {}
            for name, each in top["nodes"].items()
        }
        edges = [(a.decode(), b.decode()) for a, b in top["edges"][()]]
    v = {name: np.zeros((len(x), *node["r"].shape)) + meta[name]["v0"] for name, node in nodes.items() if "r" in node}
    spikes: dict[str, list[np.ndarray]] = {meta[name]["layer"].decode(): [] for name in v}
    outputs = []
    for _ in range(T):
        out = {"input": x}
        while len(out) < len(nodes):
            for name, node in nodes.items():
                read = [a for a, b in edges if b == name]
                if name in out or not all(each in out for each in read):
                    continue
                value = sum(out[each] for each in read)
                kind = node["type"].decode()
                if kind == "Conv2d":
                    assert node["groups"] == 1
                    assert tuple(node["input_shape"]) == value.shape[2:]
                    value = conv2d(value, node["weight"], node["bias"], *map(tuple, (node["stride"], node["padding"], node["dilation"])))  # fmt: skip # noqa: E501
                elif kind in ("AvgPool2d", "SumPool2d"):
                    pool = avg_pool2d if kind == "AvgPool2d" else sum_pool2d
                    value = pool(value, tuple(node["kernel_size"]), tuple(node["stride"]))
                elif kind == "IF":
                    assert value.shape[1:] == node["r"].shape
                    m = v[name] + node["r"] * value
                    s = (m >= node["v_threshold"]).astype(float)
                    v[name] = m - s * node["v_threshold"]
                    spikes[meta[name]["layer"].decode()].append(s.astype(np.int8))
                    value = s
                else:
                    assert kind == "Output"
                    assert tuple(node["shape"]) == value.shape[1:]
                out[name] = value
        outputs.append(out["output"].reshape(len(x), -1))
    return {name: np.stack(steps) for name, steps in spikes.items()}, np.stack(outputs)

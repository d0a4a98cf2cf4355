"""A simulator that knows of refsim nothing but manifest.json and vectors.npz; its whole numbers fit into float64."""

import json

import numpy as np


def windows(x, f, k, fill):
    """Windows of x (..., H, W): (..., H', W', k, k), as the facts of a convolution or a pool say."""
    (sy, sx), (py, px), (dy, dx) = f["stride"], f.get("padding", (0, 0)), f.get("dilation", (1, 1))
    x = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(py, py), (px, px)], constant_values=fill)
    found = np.lib.stride_tricks.sliding_window_view(x, (dy * (k[0] - 1) + 1, dx * (k[1] - 1) + 1), (-2, -1))
    return found[..., ::sy, ::sx, ::dy, ::dx]


def pooled(pool, s):
    """What of spikes (T, N, C, H, W) arrives behind a pool."""
    if pool["kind"] == "avg_pool2d":
        return windows(s, pool, pool["kernel"], 0).sum((-2, -1))
    if pool["mode"] == "or":
        return windows(s, pool, pool["kernel"], -2).max((-2, -1))
    return np.diff(windows(s.cumsum(0), pool, pool["kernel"], -len(s) - 1).max((-2, -1)), axis=0, prepend=0)


def through(wire, a, w):
    """The current (T, N, ...) that a wire makes of what arrives, whose planes are read in row-major order."""
    a = a.reshape(*a.shape[:2], -1) if wire["flatten"] else a
    if wire["operation"] == "linear":
        return a @ w.T
    if wire["operation"] == "identity":
        return a * w
    found, n, c = windows(a, wire, w.shape[2:], 0), len(w) // wire["groups"], w.shape[1]
    groups = [(found[:, :, i * c : (i + 1) * c], w[i * n : (i + 1) * n]) for i in range(wire["groups"])]
    u = [np.tensordot(x, part, ([2, 5, 6], [1, 2, 3])) for x, part in groups]
    return np.moveaxis(np.concatenate(u, axis=-1), -1, 2)


def simulate(folder):
    """Spikes (T, N, ...), potentials after every step, and the readout's currents."""
    with open(f"{folder}/manifest.json") as file:
        facts = json.load(file)
    data, spikes, potentials = np.load(f"{folder}/vectors.npz"), {}, {}
    for layer in facts["populations"]:
        parts = {name: data[f"{layer['key']}/{name}"].astype(float) for name in layer["arrays"] if "spikes" not in name}
        parts = {name: a.reshape(a.shape + (1,) * (len(layer["shape"]) - a.ndim)) for name, a in parts.items()}
        u = np.zeros((facts["T"], *data["input"].shape[:1], *layer["shape"]))
        u += parts["current"] if layer["image"] else parts["bias"]
        for number, wire in enumerate(layer["wires"]):
            a = spikes[wire["source"]] if "pool" not in wire else pooled(wire["pool"], spikes[wire["source"]])
            u += through(wire, a, parts[f"weight{number}"])
        if layer["kind"] == "readout":
            return spikes, potentials, u
        v, fired, s, log = parts["v0"] + 0 * u[0], 0 * u[0], 0 * u, 0 * u
        for t in range(facts["T"]):
            m = v + u[t]
            up = m >= parts["theta"]
            down = (m <= parts["theta_neg"]) & (fired >= 1) if layer["negative"] else 0 * up
            s[t], fired = up * 1.0 - down, fired + (up if layer.get("gate") == "gross" else up * 1 - down)
            log[t] = v = m - s[t] * parts["theta"] if layer["reset"] == "subtract" else m * (s[t] == 0)
        spikes[layer["layer"]], potentials[layer["key"]] = s, log

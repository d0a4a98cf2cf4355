"""`refsim info`: the table word for word, the JSON number for number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from refsim.analysis.macs import layer_macs
from refsim.cli.info import info
from refsim.model import Conv2d, Flatten, Linear

ARCHIVE = Path(__file__).parent.parent / "data" / "archives" / "v1.0.h5"

EXPECTED = """\
archive 1.0  2 spiking layers, 288 neurons, 227 parameters
  file        v1.0.h5
  sha256      421a044880ab91934b68e27d6d735b8c028b2e9c656cb4b464bd04bd04d61138
  input       1x6x6 L  noise
              x = (raw * 0.00390625 - mean) / std   mean 0.5   std 0.25
  classes     3  cat, dog, Frosch \N{FROG FACE}
  samples     4 images; expected results: if T=4 on 4 images, dual T=6 on 2 images
  MAC         3,996 dense   2,700 existing taps
  created_by  refsim 0.1.0
  license     CC0-1.0
  method      qcfs
  source      drawn at random

#  layer       kind        reads                 shape  MAC dense  existing
   layer1.0    conv2d      input                 4x6x6      1,296     1,024  3x3  padding 1x1  float32
1  layer1.2    spiking     layer1.0              4x6x6                       if  theta 1  v0 0.5  L=4
   block.conv  conv2d      layer1.2              4x6x6      2,592     1,568  3x3  padding 2x2  dilation 2x2  groups 2  \
float16
   block.add   add         block.conv, layer1.2  4x6x6
2  block.act   spiking     block.add             4x6x6                       dual  theta 0.5..2 per channel  \
v0 0.125..0.5 per neuron  theta_neg -0.001 (absolute, gross gate)  ReLU
   pool        avg_pool2d  block.act             4x3x3                       2x2  stride 2x2
   flat        flatten     pool                  36
   fc          linear      flat                  3            108       108  int8
"""


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(ARCHIVE.parent)
    return ARCHIVE.name


def test_the_table_says_what_the_file_holds(archive: str) -> None:
    result = CliRunner().invoke(info, ["-w", archive])
    assert result.exit_code == 0
    assert result.stdout == EXPECTED
    assert result.stderr == ""


def test_max_pools_say_their_mode_and_that_they_send_spikes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ARCHIVE.parent)
    result = CliRunner().invoke(info, ["-w", "v1.1.h5", "--plan"])
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "pool1 max_pool2d if1 4x5x6 2x2 stride 2x2 or" in lines
    assert "pool2 max_pool2d if2 3x3x2 3x2 stride 2x2 padding 1x0 dilation 1x2 cumulative" in lines
    assert sum(line.startswith("if2 -> fc spikes of 3x2 windows ") for line in lines) == 1
    facts = json.loads(CliRunner().invoke(info, ["-w", "v1.1.h5", "--json"]).stdout)
    pool = next(layer for layer in facts["layers"] if layer["name"] == "pool2")
    geometry = {"kernel": [3, 2], "stride": [2, 2], "padding": [1, 0], "dilation": [1, 2], "mode": "cumulative"}
    assert {key: pool[key] for key in geometry} == geometry


def test_the_json_holds_the_same_numbers(archive: str) -> None:
    result = CliRunner().invoke(info, ["--weights", archive, "--json"])
    facts = json.loads(result.stdout)
    assert facts["schema"] == "refsim-info 1"
    assert facts["sha256"] == "421a044880ab91934b68e27d6d735b8c028b2e9c656cb4b464bd04bd04d61138"
    assert (facts["macs_dense"], facts["macs_existing"], facts["parameters"]) == (3996, 2700, 227)
    assert [layer["name"] for layer in facts["layers"] if "number" in layer] == ["layer1.2", "block.act"]
    assert facts["layers"][4]["theta"] == {"shape": [4], "min": 0.5, "max": 2.0}
    relu = {"lambda_": 1.0, "L": None, "shift": 0.5, "delta": 0.0, "clipped": False}
    assert facts["layers"][4]["activation"] == relu
    assert facts["golden"] == [{"T": 4, "neuron": "if", "images": 4}, {"T": 6, "neuron": "dual", "images": 2}]
    assert facts["provenance"]["method"] == "qcfs"


def test_macs_of_vgg16_are_those_of_the_papers() -> None:
    # semantics C7: 13 convolutions on 32 x 32, 313,196,544 dense and 247,309,056 existing.
    c_in, size, dense, existing = 3, 32, 0, 0
    for c_out, pool in (
        (64, 0),
        (64, 1),
        (128, 0),
        (128, 1),
        *[(256, 0)] * 2,
        (256, 1),
        *[(512, 0), (512, 0), (512, 1)] * 2,
    ):
        weight = np.broadcast_to(np.float32(0), (c_out, c_in, 3, 3))
        layer = Conv2d(name="c", inputs=("x",), weight=weight, bias=np.zeros(c_out), padding=(1, 1))
        macs = layer_macs(layer, (c_in, size, size))
        if c_in == 3:
            assert macs == (1_769_472, 1_696_512)
        dense, existing, c_in, size = dense + macs.dense, existing + macs.existing, c_out, size // (1 + pool)
    assert (dense, existing) == (313_196_544, 247_309_056)


def test_macs_count_taps_inside_the_plane_one_by_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        n, k = rng.integers(1, 9, 2), rng.integers(1, 4, 2)
        stride, dilation, padding = rng.integers(1, 4, 2), rng.integers(1, 3, 2), rng.integers(0, 4, 2)
        if ((k - 1) * dilation >= n + 2 * padding).any():
            continue
        layer = Conv2d(
            name="c",
            inputs=("x",),
            weight=np.zeros((4, 3, *k)),
            bias=np.zeros(4),
            stride=tuple(stride),
            padding=tuple(padding),
            dilation=tuple(dilation),
            groups=2,
        )
        _, out_h, out_w = layer.output_shape(((6, *n),))
        expected = sum(
            0 <= y * stride[0] - padding[0] + i * dilation[0] < n[0]
            and 0 <= x * stride[1] - padding[1] + j * dilation[1] < n[1]
            for y in range(out_h)
            for x in range(out_w)
            for i in range(k[0])
            for j in range(k[1])
        )
        assert layer_macs(layer, (6, *n)) == (4 * 3 * k.prod() * out_h * out_w, 4 * 3 * expected)


def test_layers_without_weights_have_no_macs() -> None:
    assert layer_macs(Flatten(name="f", inputs=("x",)), (3, 2, 2)) == (0, 0)
    linear = Linear(name="l", inputs=("x",), weight=np.zeros((5, 12)), bias=np.zeros(5))
    assert layer_macs(linear, (3, 2, 2)) == (60, 60)

"""Operations of the networks in the papers, and every cell of their energy tables (semantics 7)."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from pathlib import Path

import numpy as np
import pytest

from refsim.analysis.energy import ANN_CLASSES, BUILT_IN, SNN_CLASSES, EnergyModel, find_energy_model, load_energy_model
from refsim.analysis.operations import AnnOperations, SnnOperations, ann_operations, snn_operations
from refsim.engine.plan import compile_network
from refsim.engine.results import Result
from refsim.engine.simulator import simulate
from refsim.exceptions import FormatError, UsageError
from refsim.model import INPUT, Conv2d, InputSpec, Linear, MaxPool2d, Network, Neuron, Spiking
from tests.analysis.networks import resnet20, vgg16
from tests.simulation.networks import raw_images, small_network


def snn(**counts: float) -> SnnOperations:
    """Operations of one image and one step; what is not named is 0."""
    zero = dict.fromkeys(SnnOperations.__annotations__, np.zeros(1))
    return SnnOperations(**(zero | {"n_images": 1} | {key: np.array([value]) for key, value in counts.items()}))


def ann(**counts: int) -> AnnOperations:
    return AnnOperations(**(dict.fromkeys(AnnOperations.__annotations__, 0) | counts))


# Counts


def test_vgg16_has_the_operations_of_the_papers():
    """VGG-16 for 32 x 32 images, head 512-4096-4096-100: convolutions, borders, head, BN elements, pools."""
    whole, conv_only = ann_operations(vgg16((4096, 4096, 100))), ann_operations(vgg16((1,)))
    assert conv_only.mac_dense - 512 == 313_196_544
    assert conv_only.mac_existing - 512 == 247_309_056
    assert whole.mac_dense - (conv_only.mac_dense - 512) == 19_283_968
    assert whole.bn_element == 276_480
    assert whole.pool_output == 31_232


def test_resnet20_has_the_operations_of_the_papers():
    """ResNet-20, 16-32-64 channels, convolutions as shortcuts, 10 classes."""
    found = ann_operations(resnet20())
    assert (found.mac_dense, found.mac_existing) == (40_813_184, 37_219_648)
    assert found.residual_add == 3 * (16 * 32 * 32 + 32 * 16 * 16 + 64 * 8 * 8)


def test_first_convolution_of_vgg16_is_counted_with_and_without_borders():
    from refsim.analysis.macs import network_macs

    first = network_macs(vgg16((10,)))["conv1_1"]
    assert (first.dense, first.existing) == (1_769_472, 1_696_512)


@pytest.mark.parametrize("dual", [False, True], ids=["IF", "dual"])
def test_operations_of_a_run_add_up_what_the_engine_counted(dual):
    network = small_network(dual)
    x = network.input.normalize(raw_images(5))
    trace = simulate(compile_network(network), x, 3)
    found = snn_operations(network, Result.of(trace, x, None))
    weighted = [trace.ops["if1", "conv2"], trace.ops["if2", "conv3"], trace.ops["if3", "fc"]]
    assert found.sop.tolist() == np.cumsum(sum(each.unit.sum(axis=1) for each in weighted)).tolist()
    assert found.residual.tolist() == np.cumsum(trace.populations["if1"].n_pos.sum(axis=1)).tolist()
    populations = trace.populations.values()
    spikes = sum((each.n_pos + each.n_neg).sum(axis=1) for each in populations)
    assert found.reset.tolist() == np.cumsum(spikes).tolist()
    pool = trace.populations["if2"]
    assert found.pool_in.tolist() == np.cumsum((pool.n_pos + pool.n_neg).sum(axis=1)).tolist()
    n_neurons = sum(np.prod(network.shapes[each.name]) for each in network.spiking)
    assert found.membrane_update.tolist() == [5 * n_neurons * t for t in (1, 2, 3)]
    assert found.comparison.tolist() == (found.membrane_update * (2 if dual else 1)).tolist()
    assert (found.membrane_reached <= found.membrane_update).all()
    assert found.membrane_reached.tolist() == np.cumsum(sum(each.reached.sum(axis=1) for each in populations)).tolist()


def max_pooled(reads: str) -> Network:
    """A max pool with padding and dilation of the image, or behind neurons."""
    pool = MaxPool2d(
        name="pool", inputs=(reads,), kernel=(3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), mode="or"
    )
    layers = [Spiking(name="if", inputs=("input",), neuron=Neuron(theta=1.0, v0=0.5))] if reads == "if" else []
    n = prod(pool.output_shape(((2, 5, 4),)))
    layers += [pool, Linear(name="out", inputs=("pool",), weight=np.ones((3, n)), bias=np.zeros(3))]
    return Network(name="max", input=InputSpec(shape=(2, 5, 4)), layers=tuple(layers))


@pytest.mark.parametrize("reads", ["if", INPUT])
def test_a_max_pool_makes_one_comparison_less_than_a_window_has_positions(reads):
    network, x = max_pooled(reads), np.zeros((4, 2, 5, 4))
    expected = 2 * sum(
        sum(0 <= 2 * y + i - 1 < 5 and x_ + 2 * j < 4 for i in range(3) for j in range(2)) - 1
        for y in range(3)
        for x_ in range(2)
    )
    assert ann_operations(network).pool_comparison == expected
    found = snn_operations(network, Result.of(simulate(compile_network(network), x, 3), x, None))
    # An image is constant: its maxima are found once.
    assert found.pool_comparison.tolist() == [4 * expected * t for t in ((1, 1, 1) if reads == INPUT else (1, 2, 3))]


def test_first_layer_is_charged_once_or_at_every_step():
    """C4: the input is constant, its current need be computed once."""
    network = small_network()
    x = network.input.normalize(raw_images(5))
    found = snn_operations(network, Result.of(simulate(compile_network(network), x, 3), x, None))
    macs = sum(8 * 3 for y, x_, i, j in np.ndindex(6, 6, 3, 3) if 0 <= y + i - 1 < 6 and 0 <= x_ + j - 1 < 6)
    assert network.by_name["conv1"].inputs == (INPUT,)
    assert found.first_layer_mac.tolist() == [5 * macs] * 3
    assert found.first_layer_mac_repeated.tolist() == [5 * macs * t for t in (1, 2, 3)]


def test_bias_is_added_where_it_is_not_zero():
    network = small_network()
    layers = [each for each in network.layers if isinstance(each, Conv2d | Linear)]
    expected = sum(
        np.broadcast_to(
            (each.bias != 0).reshape(-1, *[1] * (len(network.shapes[each.name]) - 1)), network.shapes[each.name]
        ).sum()
        for each in layers
    )
    assert any((each.bias == 0).any() for each in layers)
    assert ann_operations(network).bias_add == expected


# The papers' arithmetic


def printed(value: float, text: str) -> bool:
    """Whether a value rounds to the printed text."""
    return abs(value - float(text)) <= 0.5 * 10.0 ** -len(text.split(".")[1]) + 1e-12


@pytest.mark.parametrize(
    ("gsop", "mj"),
    [
        *[(".094", "0.007"), (".185", "0.014"), (".364", "0.028"), (".724", "0.056"), ("1.444", "0.111")],
        *[("2.884", "0.222"), (".508", "0.039"), (".681", "0.052"), (".857", "0.066"), ("1.22", "0.094")],
    ],
)
def test_qcfs_table_s5_follows_from_77_fj_per_sop(gsop, mj):
    """QCFS Table S5, SNN rows: ours for six T, RTS and SNNC-AP for two each."""
    joules = BUILT_IN["qcfs2022"].snn(snn(sop=float(gsop) * 1e9))[0]
    assert printed(joules / 1e-3, mj)


def test_qcfs_table_s5_prints_one_energy_ten_times_too_high():
    """SNNC-AP at T = 32: 0.857 GSOP are 0.066 mJ; the table prints 0.660."""
    joules = BUILT_IN["qcfs2022"].snn(snn(sop=0.857e9))[0]
    assert not printed(joules / 1e-3, "0.660")
    assert printed(10 * joules / 1e-3, "0.660")


def test_qcfs_table_s5_charges_two_flops_per_mac_of_the_ann():
    """QCFS Table S5, ANN row: 0.628 GFLOP is twice the 0.314 G that thop counts for a 512-100 VGG-16; 7.85 mJ."""
    counted = ann_operations(vgg16((100,)))
    by_thop = counted.mac_dense + 4 * counted.bn_element
    assert by_thop == 314_353_664
    assert 2 * round(by_thop / 1e9, 3) == 0.628
    assert printed(BUILT_IN["qcfs2022"].ann(ann(mac_dense=628_000_000 // 2)) / 1e-3, "7.85")


@pytest.mark.parametrize(
    ("mj", "gsop"), [(".004", 0.052), (".008", 0.104), (".017", 0.221), (".034", 0.442), (".068", 0.883)]
)
def test_ecl_table_4_follows_from_77_fj_per_sop(mj, gsop):
    """ECL Table 4, SNN columns: only energies are printed; the operations behind them are known to 0.0065 G."""
    joules = BUILT_IN["ecl2025"].snn(snn(sop=gsop * 1e9))[0]
    assert printed(joules / 1e-3, mj)
    assert float(mj) * 1e-3 / 0.077e-12 / 1e9 == pytest.approx(gsop, abs=0.0005)
    half_a_digit = 0.0005e-3 / 0.077e-12 / 1e9
    assert half_a_digit == pytest.approx(0.0065, abs=0.0001)


def test_ecl_table_4_charges_one_flop_per_mac_of_the_ann():
    """ECL Table 4, ANN: what thop counts for the official VGG-16, at 12.5 pJ, is the printed 4.170 mJ."""
    counted = ann_operations(vgg16((4096, 4096, 100)))
    assert counted.mac_dense + 4 * counted.bn_element + counted.pool_output == 333_617_664
    joules = BUILT_IN["ecl2025"].ann(counted)
    assert joules == pytest.approx(4.1702208e-3, rel=1e-12)
    assert printed(joules / 1e-3, "4.170")


def test_papers_charge_the_same_network_twice_as_much_or_not():
    """QCFS 7.85 mJ, ECL 4.170 mJ: a factor of 1.88 that no hardware explains."""
    assert Fraction(785, 417) == pytest.approx(1.88, abs=0.005)
    counted = ann_operations(vgg16((1,)))
    assert BUILT_IN["qcfs2022"].ann(counted) > 1.9 * BUILT_IN["ecl2025"].ann(counted)


# Models


def test_horowitz_prices_every_class():
    """Horowitz 2014: 0.9 pJ per addition and 4.6 pJ per MAC in 32-bit floats, 0.03 and 0.23 in 8-bit integers."""
    for name, add, mac in (("horowitz45", 0.9e-12, 4.6e-12), ("horowitz45-int8", 0.03e-12, 0.23e-12)):
        model = BUILT_IN[name]
        # What is free is another count of what has a price.
        assert set(SNN_CLASSES) - set(model.joules) == {"first_layer_mac_repeated", "membrane_reached"}
        assert set(ANN_CLASSES) - set(model.joules) == {"ann_mac_dense", "ann_bn_element"}
        assert model.snn(snn(sop=10, residual=1, pool_in=1, first_layer_mac=2))[0] == pytest.approx(12 * add + 2 * mac)
        assert model.ann(ann(mac_dense=9, mac_existing=7, bias_add=1)) == pytest.approx(7 * mac + add)


def test_energy_is_per_image_and_cumulative_over_steps():
    operations = snn(sop=0.0)
    operations = SnnOperations(**(vars(operations) | {"n_images": 4, "sop": np.array([100, 300])}))
    assert BUILT_IN["qcfs2022"].snn(operations).tolist() == pytest.approx([25 * 77e-15, 75 * 77e-15])


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_definition_is_printed_with_every_price_and_its_caveats(name):
    model = BUILT_IN[name]
    lines = model.describe()
    assert len(lines) == 2
    for key, price in model.joules.items():
        assert f"{price / 1e-12:.4g} pJ/{key}" in lines[0]
    assert "memory access is not included" in lines[1]
    assert ("cannot be a figure of ROLLS" in lines[1]) == (12.5e-12 in model.joules.values() or name == "qcfs2022")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("chip.toml", 'source = "measured"\n[picojoules]\nsop = 1.5\nann_mac_dense = 3\n'),
        ("chip.json", '{"source": "measured", "picojoules": {"sop": 1.5, "ann_mac_dense": 3}}'),
    ],
)
def test_price_list_is_read_from_a_file(tmp_path: Path, file: str, text: str):
    (tmp_path / file).write_text(text)
    model = find_energy_model(str(tmp_path / file))
    assert (model.name, model.source) == ("chip", "measured")
    assert model.snn(snn(sop=2))[0] == pytest.approx(3e-12)
    assert model.ann(ann(mac_dense=2)) == pytest.approx(6e-12)
    assert "1.5 pJ/sop" in model.definition()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs a table 'picojoules'"),
        ("[picojoules]\n", "needs a table 'picojoules'"),
        ("picojoules = 3\n", "needs a table 'picojoules'"),
        ("[picojoules\n", "not a toml file"),
        ("[picojoules]\nspike = 1\n", "no operations 'spike'; there are sop,"),
        ("[picojoules]\nsop = -1\n", "sop must be a price >= 0 in picojoules, got -1"),
        ("[picojoules]\nsop = nan\n", "sop must be a price >= 0 in picojoules, got nan"),
        ("[picojoules]\nsop = inf\n", "sop must be a price >= 0 in picojoules, got inf"),
        ("[picojoules]\nsop = true\n", "sop must be a price >= 0 in picojoules, got True"),
        ("[picojoules]\nsop = '1'\n", "sop must be a price >= 0 in picojoules, got '1'"),
        ("name = 3\n[picojoules]\nsop = 1\n", "name must be text, got 3"),
        ("joules = 3\n[picojoules]\nsop = 1\n", "unknown key 'joules'"),
        ("name = 0x1" + 5000 * "0" + "\n[picojoules]\nsop = 1\n", "name must be text, got more digits than"),
        ("[picojoules]\nsop = 0x1" + 5000 * "0" + "\n", "sop must be a price >= 0 in picojoules, got more digits than"),
    ],
)
def test_price_list_with_a_mistake_is_refused_in_one_line(tmp_path: Path, text: str, message: str):
    path = tmp_path / "chip.toml"
    path.write_text(text)
    with pytest.raises(FormatError) as refused:
        load_energy_model(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_text_in_a_price_list_is_cleaned_and_cut_on_the_way_in(tmp_path: Path):
    path = tmp_path / "chip.json"
    name = "\\u001b[31m\\ud800" + 300 * "x"
    path.write_text(f'{{"name": "{name}", "source": "\\u202e", "picojoules": {{"sop": 1}}}}')
    model = load_energy_model(path)
    assert model.name.startswith("\\x1b[31m\\ud800xxx")
    assert model.name.endswith("x\N{HORIZONTAL ELLIPSIS}")
    assert model.source == "\\u202e"
    path.write_text('{"picojoules": {"\\ud800\\u001b": 1}}')
    with pytest.raises(FormatError, match=r"no operations '\\ud800\\x1b'"):
        load_energy_model(path)


def test_missing_price_list_is_refused(tmp_path: Path):
    with pytest.raises(FormatError, match="No such file"):
        find_energy_model(str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match="no energy model 'rolls'; use qcfs2022, ecl2025, horowitz45"):
        find_energy_model("rolls")


def test_model_with_an_unknown_class_or_a_negative_price_is_refused():
    with pytest.raises(UsageError, match="energy model 'mine': no operations 'spike'"):
        EnergyModel(name="mine", joules={"spike": 1.0}, source="")
    with pytest.raises(UsageError, match="energy model 'mine': sop must be a finite price >= 0, got -1"):
        EnergyModel(name="mine", joules={"sop": -1.0}, source="")

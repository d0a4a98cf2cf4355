"""theta, v0 and theta_neg of the methods that choose them once, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from refsim.exceptions import DataError, NetworkError, UsageError
from refsim.methods.base import Calibration
from refsim.methods.registry import find_method
from refsim.model import AvgPool2d, Network
from refsim.reference.network import simulate
from tests.methods.networks import calibration, chain, vectors

# One input x in {1, 3}. Layer 1: a = (x, 2x, 0), so 1, 2, 3, 6. Layer 2: a = x - 2x < 0, and 4 x.
WEIGHTS = ([[1], [2], [-1]], [[1, -1, 0], [0, 2, 5]], [[1, 1]])
ROWS = [[1], [3]]


def relu() -> Network:
    return chain(*WEIGHTS)


def qcfs(lambda_: float = 1.5) -> Network:
    return chain(*WEIGHTS, L=4, lambda_=lambda_)


def parameters(name: str, network: Network) -> list[tuple[object, object, object]]:
    """theta, v0, negative threshold of both layers."""
    made = find_method(name).calibrate(network, calibration(network, ROWS))
    return [
        (each.neuron.theta.tolist(), each.neuron.v0.tolist(), each.neuron.negative_threshold.tolist())
        for each in made.network.spiking
    ]


NONE = -np.inf


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("max", [(6, 0, NONE), (12, 0, NONE)]),
        ("max:50", [(2.5, 0, NONE), (8, 0, NONE)]),
        ("percentile:75", [(3.75, 0, NONE), (10, 0, NONE)]),
        ("diehl", [(6, 0, NONE), (12, 0, NONE)]),
        ("opi", [(6, 3, NONE), (12, 6, NONE)]),
        ("opi:50", [(2.5, 1.25, NONE), (8, 4, NONE)]),
        ("ecl", [(6, 3, -1e-3), (12, 6, -1e-3)]),
        ("signed", [(6, 3, -6e-5), (12, 6, -12e-5)]),
        # The third neuron of layer 1 and the first of layer 2 are never active: their layer's largest.
        ("snm", [([3, 6, 6], 0, [-3, -6, -6]), ([12, 12], 0, [-12, -12])]),
        ("max+dual", [(6, 0, -1e-3), (12, 0, -1e-3)]),
    ],
)
def test_a_relu_network_gets_its_thresholds_from_activations(name, expected):
    for actual, wanted in zip(parameters(name, relu()), expected, strict=True):
        for mine, theirs in zip(actual, wanted, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "v0", "theta_neg"),
    [
        ("qcfs", 0.75, NONE),
        ("tcl", 0, NONE),
        ("opi", 0.75, NONE),
        ("ecl", 0.75, -1e-3),
        ("signed", 0.75, -1.5e-5),
        ("tcl+dual", 0, -1e-3),
    ],
)
def test_a_qcfs_network_keeps_its_trained_bounds(name, v0, theta_neg):
    assert parameters(name, qcfs()) == [pytest.approx((1.5, v0, theta_neg))] * 2
    without = find_method(name).calibrate(qcfs(), None)
    assert [float(each.neuron.theta) for each in without.network.spiking] == [1.5, 1.5]
    assert without.origin == "trained bounds"


def test_activations_of_a_qcfs_network_are_its_own_quantised_ones():
    # lambda = 8: x = 1, 3 give 1, 2, 3, 6 times 4/8, shift 1/2, floored: 1, 1, 2, 3 of 4 levels.
    assert parameters("max", qcfs(8))[0][0] == 6
    # Layer 2 reads 2 x (2, 6): 4 and 12, and 12 is clipped to 8.
    assert parameters("max", qcfs(8))[1][0] == 8


def test_diehl_takes_the_largest_weight_where_no_activation_exceeds_it_and_resets_to_zero():
    network = chain([[0.25], [4]], [[1, 9]], [[1]])
    made = find_method("diehl").calibrate(network, calibration(network, [[0.5]])).network
    # Activations (0.125, 2) against the weight 4; then 18.125 against 9.
    assert [float(each.neuron.theta) for each in made.spiking] == [4, 18.125]
    assert {each.neuron.reset for each in made.spiking} == {"zero"}


def test_what_the_ann_computes_is_kept():
    for network, L in ((relu(), None), (qcfs(), 4)):
        made = find_method("percentile").calibrate(network, calibration(network, ROWS)).network
        assert {each.neuron.activation.L for each in made.spiking} == {L}
    assert made.spiking[0].neuron.activation.lambda_ == 1.5


@pytest.mark.parametrize("name", ["qcfs", "tcl", "srp", "cos", "tcl+dual"])
def test_methods_for_trained_bounds_refuse_relu(name):
    method = find_method(name)
    match = f"method {method.name.removesuffix('+dual')} needs trained clipping bounds .* 'chain' has ReLU; .* e.g. opi"
    with pytest.raises(UsageError, match=match):
        method.check(relu())
    with pytest.raises(UsageError, match=match):
        method.calibrate(relu(), calibration(relu(), ROWS))


def test_a_theta_for_every_neuron_is_not_for_networks_with_max_pools(conv_network):
    if isinstance(conv_network.by_name["pool"], AvgPool2d):
        find_method("snm").check(conv_network)
        return
    with pytest.raises(
        UsageError, match="method snm gives every neuron a theta of its own, and max pool 'pool' compar"
    ):
        find_method("snm").check(conv_network)


def test_calibration_needs_images_and_activity():
    with pytest.raises(UsageError, match="method max takes its parameters from calibration images; name some"):
        find_method("max").calibrate(relu(), None)
    with pytest.raises(DataError, match="calibration needs at least one image"):
        Calibration(network=relu(), images=vectors(relu(), ROWS), indices=np.arange(0))
    dead = chain([[1]], [[-1]], [[1]])
    for name in ("max", "percentile"):
        with pytest.raises(NetworkError, match="layer 'if2': no neuron is active on the 2 calibration images"):
            find_method(name).calibrate(dead, calibration(dead, ROWS))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo", "no method 'foo'; there are qcfs, ecl, .* IF method with .dual"),
        ("qcfs+dualist", "no method 'qcfs.dualist'"),
        ("qcfs:3", "method qcfs takes no number, got 'qcfs:3'"),
        ("percentile:101", "percentile: the percentile of positive activations must be a number from 1 to 100"),
        ("srp:2.5", "srp: the number of trial steps must be a whole number from 1 to 1024, got '2.5'"),
        ("srp:0", "srp: the number of trial steps must be"),
        ("ecl+dual", "method ecl has its own rule for what a neuron sends"),
        ("snm+dual", "method snm has its own rule"),
        ("cos+dual", "method cos has its own rule"),
    ],
)
def test_names_that_are_none_are_refused(text, message):
    with pytest.raises(UsageError, match=message):
        find_method(text)


class TestTheorem3:
    """theta_l = theta_(l-1) max_i sum_j max(W_ij, 0)."""

    def test_thresholds_are_the_largest_sums_of_positive_weights(self):
        # Pixels 0..255 become 0..1: layer 1 at most max(2, -3) x 1; then max(1, 0.5 + 0.25) x 2.
        network = chain([[2], [-3]], [[1, -1], [0.5, 0.25]], [[1, 1]])
        made = find_method("theorem3").calibrate(network, None).network
        assert [(float(each.neuron.theta), float(each.neuron.v0)) for each in made.spiking] == [(2, 0), (2, 0)]

    def test_no_current_exceeds_its_threshold(self, conv_network):
        made = find_method("theorem3").calibrate(conv_network, None).network
        x = made.input.normalize(np.random.default_rng(0).integers(0, 2, (40, 6, 6, 4), np.uint8) * np.uint8(255))
        done = simulate(made, x, T=6)
        peaks = {name: u.max() for name, u in done.currents.items()}
        for layer in made.spiking:
            assert peaks[layer.name] <= layer.neuron.theta
        # The bound is one that a current comes near, where the image drives it.
        assert peaks["if1"] > 0.6 * made.spiking[0].neuron.theta

    def test_biases_and_layers_without_positive_weights_are_refused(self):
        biased = chain([[1]], [[1]], biases=[[0], [1]])
        with pytest.raises(
            UsageError, match=r"theorem3 is for networks without bias \(Theorem 3\), and layer 'fc2' has"
        ):
            find_method("theorem3").check(biased)
        with pytest.raises(NetworkError, match="layer 'if2': no positive weights"):
            find_method("theorem3").calibrate(chain([[1]], [[-1]], [[1]]), None)

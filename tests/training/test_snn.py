import numpy as np
import pytest

torch = pytest.importorskip("torch")

from refsim.training.activations import QCFS  # noqa: E402
from refsim.training.architectures import build  # noqa: E402
from refsim.training.noise import measure_delta, set_delta  # noqa: E402
from refsim.training.snn import DUAL_THETA_NEG, ann_activations, fire, simulate  # noqa: E402

# Worked example of QCFS Fig. 1b-d and ECL Fig. 1: weights 2, -2 on the spikes of two
# neurons with theta = 1 over T = 5 steps; steps at which neuron 1 and neuron 2 fire, then the spikes that
# IF and dual-threshold neurons with theta = 1, v(0) = 0 answer with.
FIGURE_1 = {
    "b": ((1, 3, 5), (2, 4), (1, 0, 1, 0, 0), (1, -1, 1, -1, 1)),
    "c": ((1, 2, 3), (4, 5), (1, 1, 1, 1, 0), (1, 1, 1, 1, -1)),
    "d": ((3, 4, 5), (1, 2), (0, 0, 0, 0, 1), (0, 0, 0, 0, 1)),
}


def currents(first: tuple[int, ...], second: tuple[int, ...]) -> list[float]:
    return [2.0 * (t in first) - 2.0 * (t in second) for t in range(1, 6)]


@pytest.mark.parametrize("panel", FIGURE_1)
def test_spikes_are_those_of_figure_1(panel):
    first, second, expected_if, expected_dual = FIGURE_1[panel]
    u = torch.tensor(currents(first, second)).reshape(5, 1, 1)
    theta, v0 = torch.ones(1), torch.zeros(1)
    assert fire(u, theta, v0).flatten().tolist() == list(expected_if)
    assert fire(u, theta, v0, DUAL_THETA_NEG).flatten().tolist() == list(expected_dual)


def test_a_dual_neuron_takes_back_three_spikes_at_the_threshold_of_figure_s1():
    u = torch.tensor(currents((1, 2, 3), (4, 5))).reshape(5, 1, 1)
    theta, v0 = torch.full((1,), 2.0), torch.zeros(1)
    assert fire(u, theta, v0).sum() == 3
    assert fire(u, theta, v0, DUAL_THETA_NEG).flatten().tolist() == [1, 1, 1, -1, -1]


def test_a_potential_equal_to_theta_fires():
    assert fire(torch.ones(1, 1, 1), torch.ones(1), torch.zeros(1)).item() == 1


@pytest.mark.parametrize("arch", ["small", "resnet20"])
def test_the_first_layer_of_the_converted_network_equals_the_ann_when_T_is_L(arch):
    torch.manual_seed(0)
    model = build(arch, input_shape=(1, 16, 16), classes=10, L=4, lambda_=2.0).double()
    x = torch.randn(3, 1, 16, 16, dtype=torch.float64)
    a = ann_activations(model, x)
    result = simulate(model, x, 4)
    assert list(a) == list(result.phi)
    first = next(iter(a))
    torch.testing.assert_close(result.phi[first], a[first])
    assert result.logits.shape == (4, 3, 10)


def test_logits_of_a_prefix_are_those_of_the_shorter_run():
    torch.manual_seed(0)
    model = build("small", input_shape=(1, 16, 16), classes=10, L=4, lambda_=1.0)
    x = torch.randn(2, 1, 16, 16)
    for theta_neg in (float("-inf"), DUAL_THETA_NEG):
        long = simulate(model, x, 8, theta_neg=theta_neg).logits
        short = simulate(model, x, 4, theta_neg=theta_neg).logits
        torch.testing.assert_close(long[:4], short)


def test_simulation_leaves_the_model_as_it_was():
    model = build("small", input_shape=(1, 16, 16), classes=10)
    x = torch.randn(2, 1, 16, 16)
    model.eval()
    before = model(x)
    model.train()
    simulate(model, x, 4)
    assert model.training
    model.eval()
    assert torch.equal(model(x), before)


def test_delta_is_the_standard_deviation_of_the_residual_error_over_all_batches():
    """One QCFS layer whose SNN is worked out in NumPy from the definitions (NQ section 5.2)."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 5), QCFS(L=4, lambda_=1.0), torch.nn.Linear(5, 4), QCFS(L=4, lambda_=1.0)
    ).double()
    with torch.no_grad():
        model[2].weight *= 4  # so that currents of both signs reach the second layer in one run
    batches = [torch.randn(7, 6, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)]
    tau = 4

    def expected_delta() -> float:
        (w1, b1), (w2, b2) = (
            (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in (model[0], model[2])
        )
        residuals = []
        for x in (batch.numpy() for batch in batches):

            def ann(z):
                return np.clip(np.floor(np.clip(z, 0, 1) * 4 + 0.5) / 4, 0, 1)

            a2 = ann(ann(x @ w1.T + b1) @ w2.T + b2)
            v1, v2, n2 = np.full((len(x), 5), 0.5), np.full((len(x), 4), 0.5), np.zeros((len(x), 4))
            for _ in range(tau):
                v1 = v1 + x @ w1.T + b1
                s1 = (v1 >= 1).astype(float)
                v1 -= s1
                v2 = v2 + s1 @ w2.T + b2
                s2 = (v2 >= 1).astype(float)
                v2 -= s2
                n2 += s2
            residuals.append(n2 / tau - a2)
        return float(np.std(np.concatenate(residuals)))

    actual = measure_delta(model, batches, tau)
    assert actual["1"] == pytest.approx(0, abs=1e-12)  # the first layer is exact at tau = L
    assert expected_delta() > 0.05
    assert actual["3"] == pytest.approx(expected_delta(), rel=1e-12)


def test_every_noisy_layer_gets_its_own_delta():
    model = build("small", input_shape=(1, 16, 16), classes=10, activation="nq")
    set_delta(model, {"layer1.2": 0.1, "layer3.2": 0.3})
    deltas = [float(model.get_submodule(f"layer{i}.2").delta) for i in (1, 2, 3)]
    assert deltas == pytest.approx([0.1, 0.0, 0.3])

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from refsim.training.activations import ACTIVATIONS, NQ, QCFS, ThreshReLU, qcfs  # noqa: E402

FLOATS = st.floats(-8, 8, width=32)


def qcfs_by_definition(z: float, lambda_: float, L: int, shift: float) -> float:
    """QCFS Eq. 15 for one number, in the normative order of operations (semantics 3.1)."""
    z32, lambda32 = np.float32(z), np.float32(lambda_)
    level = np.floor(np.clip(z32 / lambda32, 0, 1) * np.float32(L) + np.float32(shift))
    return float(min(level / np.float32(L), np.float32(1)) * lambda32)


def gradients_by_hand(z: float, lambda_: float, L: int, shift: float) -> tuple[float, float]:
    """QCFS Eq. 17: (da/dz, da/dlambda)."""
    low, high = -lambda_ * shift / L, lambda_ - lambda_ * shift / L
    if z < low:
        return 0.0, 0.0
    if z >= high:
        return 0.0, 1.0
    return 1.0, (qcfs_by_definition(z, lambda_, L, shift) - z) / lambda_


@given(st.lists(FLOATS, min_size=1, max_size=20), st.sampled_from([0.5, 1.0, 1.7, 4.0]), st.integers(1, 16))
def test_qcfs_agrees_with_its_definition(z, lambda_, L):
    for shift in (0.0, 0.5):
        actual = qcfs(torch.tensor(z), torch.tensor([lambda_]), L, shift)
        expected = [qcfs_by_definition(value, lambda_, L, shift) for value in z]
        np.testing.assert_array_equal(actual.numpy(), np.array(expected, np.float32))


@given(st.lists(FLOATS, min_size=1, max_size=20), st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([1, 2, 4, 8]))
def test_gradients_of_qcfs_are_those_of_equation_17(zs, lambda_, L):
    for shift in (0.0, 0.5):
        z = torch.tensor(zs, requires_grad=True)
        thresh = torch.tensor([lambda_], requires_grad=True)
        upstream = torch.arange(1.0, len(zs) + 1)
        (qcfs(z, thresh, L, shift) * upstream).sum().backward()
        expected = np.array([gradients_by_hand(value, lambda_, L, shift) for value in zs])
        np.testing.assert_allclose(z.grad.numpy(), expected[:, 0] * upstream.numpy(), rtol=1e-6)
        np.testing.assert_allclose(
            thresh.grad.numpy(), [(expected[:, 1] * upstream.numpy()).sum()], rtol=1e-4, atol=1e-4
        )


def test_a_neuron_just_below_zero_still_learns_where_the_public_code_gives_it_no_gradient():
    z = torch.tensor([-0.1, -0.2, 0.8, 0.9], requires_grad=True)
    qcfs(z, torch.tensor([1.0]), 4, 0.5).sum().backward()
    assert z.grad.tolist() == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("kind", ["tcl", "qcf", "qcfs", "nq"])
def test_every_clipping_activation_has_one_threshold_under_the_official_key(kind):
    activation = ACTIVATIONS[kind](L=4, lambda_=2.5)
    assert {key: tuple(value.shape) for key, value in activation.state_dict().items()} == {"thresh": (1,)}


def test_relu_has_no_parameters():
    assert not list(ACTIVATIONS["relu"](L=4, lambda_=2.5).parameters())


def test_threshold_relu_passes_the_gradient_of_clipped_inputs_to_lambda():
    activation = ThreshReLU(L=0, lambda_=1.0)
    z = torch.tensor([-1.0, 0.5, 3.0, 2.0], requires_grad=True)
    a = activation(z)
    a.sum().backward()
    assert a.tolist() == [0.0, 0.5, 1.0, 1.0]
    assert z.grad.tolist() == [0.0, 1.0, 0.0, 0.0]
    assert activation.thresh.grad.tolist() == [2.0]


def test_noise_is_added_in_training_with_intensity_delta_and_is_off_in_eval_mode():
    torch.manual_seed(0)
    noisy, clean = NQ(L=4, lambda_=2.0), QCFS(L=4, lambda_=2.0)
    noisy.delta.fill_(0.25)
    z = torch.randn(20_000)
    noise = (noisy(z) - clean(z)).detach()
    assert abs(float(noise.std()) - 0.25) < 0.01
    assert abs(float(noise.mean())) < 0.01
    noisy.eval()
    assert torch.equal(noisy(z), clean(z))


def test_noise_does_not_change_the_gradients():
    noisy, clean = NQ(L=4, lambda_=2.0), QCFS(L=4, lambda_=2.0)
    noisy.delta.fill_(0.25)
    z = torch.linspace(-1, 3, 41)
    for activation in (noisy, clean):
        activation(z).sum().backward()
    assert torch.equal(noisy.thresh.grad, clean.thresh.grad)

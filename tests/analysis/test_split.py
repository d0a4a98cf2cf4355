"""The split of a layer's error: exact identities, and the cases that each part is about (semantics 4)."""

from __future__ import annotations

from fractions import Fraction
from math import floor, inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.analysis.split import LocalErrors, against, check_splittable, over_neurons, split
from refsim.exceptions import UsageError
from refsim.model import Activation, Neuron
from refsim.reference.activations import qcfs, relu
from refsim.reference.neurons import State, fire


@st.composite
def layers(draw, T: st.SearchStrategy[int], number):
    """What a layer of 3 x 2 neurons received and did on 2 images: S, N, v, theta, T, and z of the ANN.

    Numbers are multiples of 1/8, thresholds differ between neurons; `number` makes them Fractions or floats.
    """
    steps = draw(T)
    theta = np.array(draw(st.lists(st.integers(1, 16), min_size=6, max_size=6))).reshape(3, 2)
    u = draw(st.lists(st.integers(-24, 24), min_size=12 * steps, max_size=12 * steps))
    u = np.array(u).reshape(steps, 2, 3, 2)
    z = np.array(draw(st.lists(st.integers(-24, 24), min_size=12, max_size=12))).reshape(2, 3, 2)
    theta, u, z = (number(each) for each in (theta, u, z))
    state = State(np.broadcast_to(theta * draw(st.integers(-1, 2)), z.shape), np.zeros(z.shape, dtype=int))
    theta_neg = draw(st.sampled_from([np.full(theta.shape, -inf), -theta]))
    N = np.zeros(z.shape, dtype=np.int64)
    for each in u:
        state, s = fire(state, each, theta, theta_neg)
        N += s
    return u.sum(axis=0), N, state.v, theta, steps, z


def fractions(integers: np.ndarray) -> np.ndarray:
    return np.array([Fraction(int(each), 8) for each in integers.ravel()], dtype=object).reshape(integers.shape)


def floats(integers: np.ndarray) -> np.ndarray:
    return integers / 8


any_T = st.integers(1, 6)
dyadic_T = st.sampled_from([1, 2, 4, 8])
layers_in_fractions = layers(any_T, fractions)
layers_in_floats = layers(dyadic_T, floats)


@given(st.one_of(layers_in_fractions, layers_in_floats))
def test_clipping_quantization_and_unevenness_add_up_to_the_local_error(layer):
    """e_clip + e_quant + e_unev = phi - ReLU(zbar) (QCFS Eq. 9), with == in Fractions and in dyadic floats."""
    S, N, v, theta, T, _ = layer
    errors = split(S, N, v, theta, T)
    assert (errors.clipping + errors.quantization + errors.unevenness == errors.local).all()
    assert (errors.local == theta * N / T - relu(S / T)).all()


@given(layer=st.one_of(layers_in_fractions, layers_in_floats), L=st.sampled_from([1, 2, 4, None, "clipped"]))
def test_local_and_propagated_parts_add_up_to_the_error_against_the_ann(layer, L):
    """phi - h(z) = local + [h(zbar) - h(z)] exactly, for h = ReLU, clipped or not, and h = QCFS_L."""
    S, N, v, theta, T, z = layer
    errors = split(S, N, v, theta, T)
    if L == "clipped":
        activation, h = Activation(lambda_=2.0, L=None, clipped=True), lambda x: np.clip(x, 0, 2)
    else:
        activation = Activation(lambda_=2.0, L=L)
        h = relu if L is None else lambda x: qcfs(x, Fraction(2) if x.dtype == object else 2.0, L, Fraction(1, 2))
    found = against(errors, z, theta, T, activation)
    assert (found.quantization + found.unevenness + found.propagated == found.total).all()
    assert (found.total == errors.phi - h(z)).all()
    assert (found.propagated == h(S / T) - h(z)).all()


@given(layers_in_fractions)
def test_each_part_is_what_its_name_says(layer):
    """Clipping only above theta and never positive; unevenness in whole spikes; quantization less than one of them."""
    S, N, v, theta, T, _ = layer
    errors = split(S, N, v, theta, T)
    above = errors.zbar > theta
    assert ((errors.clipping < 0) == above).all()
    assert (errors.unevenness == theta * (N - errors.level) / T).all()
    v0 = v - S + theta * N
    expected = [min(max(floor(x), 0), T) for x in ((S + v0) / theta).ravel()]
    assert errors.level.ravel().tolist() == expected


@given(layers_in_fractions)
def test_no_value_turns_into_a_float_on_the_way(layer):
    """Exact arithmetic stays exact: a float in one place would silence every `==` above."""
    S, N, v, theta, T, z = layer
    errors = split(S, N, v, theta, T)
    found = against(errors, z, theta, T, Activation(lambda_=0.1, L=3, shift=0.3))
    for values in (errors.clipping, errors.quantization, errors.unevenness, errors.phi, *vars(found).values()):
        assert {type(each) for each in np.ravel(values)} <= {Fraction, int}


@given(
    v=st.lists(st.floats(-10, 10), min_size=1, max_size=20),
    theta=st.floats(0.01, 3),
    times=st.integers(-9, 9),
    ulps=st.integers(-2, 2),
)
def test_level_is_the_floor_of_the_exact_quotient_where_the_rounded_one_is_an_integer(v, theta, times, ulps):
    """The one delicate point of the split: v(T) within an ulp of a multiple of theta."""
    tie = times * theta
    v = np.array([*v, tie + ulps * np.spacing(tie)])
    T = 10_000
    errors = split(np.zeros(len(v)), np.full(len(v), T // 2), v, np.array(theta), T)
    assert (errors.level - T // 2).tolist() == [floor(Fraction(each) / Fraction(theta)) for each in v.tolist()]


def test_rounded_quotient_alone_gives_the_wrong_level():
    """3 * 0.3 in float64 lies below three thresholds of 0.3, but the quotient rounds to 3: why `split` asks twice."""
    theta, v = 0.3, 3 * 0.3
    assert np.floor(v / theta) == 3
    assert Fraction(v) / Fraction(theta) < 3
    assert split(np.zeros(1), np.zeros(1, dtype=int), np.array([v]), np.array(theta), 8).level == 2


@given(
    z=st.lists(st.floats(-5, 5), min_size=1, max_size=30),
    lambda_=st.floats(0.1, 3),
    L=st.integers(1, 12),
    shift=st.floats(0, 1, exclude_max=True),
)
def test_quantized_activation_is_that_of_the_specification_to_the_bit(z, lambda_, L, shift):
    """On floats the operations are written out for speed, in the normative order (semantics 3.1)."""
    z = np.array(z)
    zero = np.zeros(len(z), dtype=np.int64)
    silent = LocalErrors(zbar=z, phi=0 * z, level=zero, k=zero, clipping=0 * z, quantization=0 * z, unevenness=0 * z)
    found = against(silent, z, np.array(1.0), 1, Activation(lambda_=lambda_, L=L, shift=shift))
    assert (-found.total).tolist() == qcfs(z, lambda_, L, shift).tolist()


def test_first_layer_has_no_error_against_the_ann_when_T_is_L():
    """QCFS Theorem 1 where it does hold of the neuron: constant current, v(0) = theta / 2."""
    z = np.arange(-64, 128) / 32
    theta, T = np.array(1.0), 4
    state = State(np.full(z.shape, 0.5), np.zeros(z.shape, dtype=int))
    for _ in range(T):
        state, _ = fire(state, z, theta, np.array(-inf))
    found = against(split(z * T, state.fired, state.v, theta, T), z, theta, T, Activation(lambda_=1.0, L=T))
    assert not found.total.any()
    assert not found.unevenness.any()


@pytest.mark.parametrize(("change", "what"), [({"reset": "zero"}, "resets to zero"), ({"leak": 0.5}, "leaks")])
def test_neurons_that_lose_potential_are_refused(change, what):
    neuron = Neuron(theta=np.array(1.0), v0=np.array(0.0), **change)
    with pytest.raises(UsageError, match=rf"layer 'if3': its neuron {what}, so potential is not conserved"):
        check_splittable("if3", neuron)


def test_unknown_L_is_refused():
    errors = split(np.zeros(1), np.zeros(1, dtype=int), np.zeros(1), np.array(1.0), 4)
    with pytest.raises(UsageError, match=r"the file does not say L.*convert again with --L"):
        against(errors, np.zeros(1), np.array(1.0), 4, Activation(lambda_=1.0, L=0))


def test_parameters_per_channel_broadcast_over_positions():
    assert over_neurons(np.array(2.0), (3, 4, 5)).shape == ()
    assert over_neurons(np.arange(3), (3, 4, 5)).shape == (3, 1, 1)
    assert over_neurons(np.ones((3, 4, 5)), (3, 4, 5)).shape == (3, 4, 5)

"""A layer kind exists in the model, the strategy, the specification and the plan, or nowhere."""

from collections.abc import Iterator
from typing import get_args

import pytest
from hypothesis import HealthCheck, Phase, find, settings

from refsim.model import LAYER_KINDS, AnyLayer, Kind, Layer
from refsim.testing import assert_equals_reference, networks_with_inputs


def leaves(cls: type[Layer]) -> Iterator[type[Layer]]:
    """The classes below `cls` that can be instantiated: those that nothing derives from."""
    for child in cls.__subclasses__():
        yield from (leaves(child) if child.__subclasses__() else [child])


KINDS = sorted(leaves(Layer), key=lambda cls: cls.__name__)
SEARCH = settings(
    max_examples=200, derandomize=True, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)


def test_the_model_lists_every_kind_by_its_name():
    assert {cls.kind: cls for cls in KINDS} == LAYER_KINDS
    assert set(get_args(Kind)) == set(LAYER_KINDS)


def test_the_union_that_mypy_sees_has_every_kind():
    assert set(get_args(AnyLayer)) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda cls: cls.__name__)
def test_every_kind_is_drawn_compiled_and_specified(kind):
    """Fails until `testing.networks` draws the kind, and `plan` and `reference` agree on what it does."""
    network, x = find(
        networks_with_inputs(max_blocks=3),
        lambda drawn: any(type(layer) is kind for layer in drawn[0].layers),
        settings=SEARCH,
    )
    assert_equals_reference(network, x, 3)

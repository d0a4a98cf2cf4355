"""For tests, of refsim and of other simulators: drawn networks, and the comparison with the specification.

Needs Hypothesis (the extra `testing`). A backend of your own is a function `(network, x, T, dtype) -> Observed`:

    @given(networks().flatmap(lambda network: st.tuples(st.just(network), inputs(network))), st.integers(1, 6))
    def test_my_simulator_equals_the_specification(drawn, T):
        assert_equals_reference(*drawn, T, backend=my_simulator)
"""

from refsim.testing.networks import networks
from refsim.testing.neurons import neurons
from refsim.testing.numbers import GRIDS, Grid, Numbers
from refsim.testing.strategies import inputs, networks_with_inputs
from refsim.verification.counts import expected_ops, expected_reached
from refsim.verification.equality import Backend, Observed, assert_equals_reference, event_engine, reference_in

__all__ = [
    "GRIDS",
    "Backend",
    "Grid",
    "Numbers",
    "Observed",
    "assert_equals_reference",
    "event_engine",
    "expected_ops",
    "expected_reached",
    "inputs",
    "networks",
    "networks_with_inputs",
    "neurons",
    "reference_in",
]

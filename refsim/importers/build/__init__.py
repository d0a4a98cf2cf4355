"""Filling an operator graph: what operators mean, whatever a file calls them; constants folded, shapes tracked."""

from refsim.importers.build.elementwise import Elementwise, Operation
from refsim.importers.build.linear import LinearMaps, same_pads
from refsim.importers.build.pools import Pools
from refsim.importers.build.values import MALFORMED, four, pair, single

__all__ = ["MALFORMED", "Builder", "Operation", "four", "pair", "same_pads", "single"]


class Builder(LinearMaps, Elementwise, Pools):
    """All operators that front ends fill a graph with; see `values.Values`."""

"""The recogniser: from an operator graph to a network; it knows nothing about files."""

from refsim.importers.recognise.network import Recognised, recognise

__all__ = ["Recognised", "recognise"]

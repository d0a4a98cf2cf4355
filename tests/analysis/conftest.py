"""A network that several folders use."""

from tests.methods.conftest import conv_network

__all__ = ["conv_network"]

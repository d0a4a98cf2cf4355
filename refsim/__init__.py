"""refsim: an exact, event-driven reference simulator for spiking networks obtained by ANN-SNN conversion."""

__version__ = "0.1.0"

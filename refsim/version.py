"""The version of refsim, in one place: packaging, reports and run directories read it here."""

__version__ = "0.2.0"

"""Any backend against the specification: everything equal, bit for bit. Needs no Hypothesis."""

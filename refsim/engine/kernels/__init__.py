"""Numba twins of `refsim.reference`: plain arrays in, plain arrays out, fixed order of additions."""

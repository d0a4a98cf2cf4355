"""The executable specification: NumPy only, dense, on any dtype (float64, int, Fraction)."""

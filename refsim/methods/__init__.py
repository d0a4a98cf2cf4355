"""Conversion methods of the papers that need no training, behind one interface (semantics 10)."""

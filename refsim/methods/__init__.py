"""Conversion methods of the papers that need no training, behind one interface (docs/methods.md)."""

"""Bytes of strangers: what reads them, under which limits, and how their names are shown."""

"""Inputs that an attacker, or an accident, would put before each door of refsim, and one judge of what comes of them.

`python -m tests.hostile [DOOR ...]` tries all and prints how many were judged right, by door.
"""

"""Fuzzing of everything that reads bytes from strangers: bytes become an object or one clean line, nothing else.

`pip install '.[fuzz]'`, then `python -m tests.fuzz NAME --seconds 120` looks for bytes of which that is not true,
guided by coverage; `python -m tests.fuzz --list` names the targets. Bytes that once were a finding, and tiny ones that
reach different lines, are kept in `corpus/NAME/` and replayed by `test_corpus.py`, without atheris.
"""

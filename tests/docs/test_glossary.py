"""docs/glossary.md names things that there are, once each."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.util import find_spec

from .pages import DOCS, ROOT, inline

PAGE = (DOCS / "glossary.md").read_text()


@cache
def identifiers() -> frozenset[str]:
    """Every name that refsim gives to something, and every word that a `Literal` or an option takes."""
    names: set[str] = set()
    for path in (ROOT / "refsim").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.arg(arg=name):
                    names.add(name)
                case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                    names.add(name)
                case ast.Subscript(value=ast.Name(id="Literal"), slice=words):
                    names |= {each.value for each in ast.walk(words) if isinstance(each, ast.Constant)}
    return frozenset(names)


def unknown(page: str) -> set[str]:
    """Names in code font that refsim does not have: a module, or an identifier."""
    named = {each for each in inline(page) if re.fullmatch(r"[\w.]+", each)}
    return {each for each in named if not (find_spec(each) if each.startswith("refsim.") else each in identifiers())}


def test_every_name_of_the_glossary_exists() -> None:
    assert not unknown(PAGE)


def test_a_name_that_does_not_exist_is_found() -> None:
    page = "A `Machine` of `hear`ing planes, `refsim.engine.machine`; but a `Neuron` and `refsim.engine.plan`."
    assert unknown(page) == {"Machine", "hear", "refsim.engine.machine"}


def test_every_word_is_explained_once() -> None:
    words = re.findall(r"^\| ([^|`]+?) \|", PAGE, re.MULTILINE)
    entries = [word for word in words if word not in ("word", "record") and not set(word) <= {"-"}]
    assert len(entries) > 60
    assert len(entries) == len(set(entries))

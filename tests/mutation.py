"""How many wrong programs fail a test? `python -m tests.mutation ROOM [--sample N]` mutates a room and counts.

Where `tests/mutants.py` holds chosen faults of the kernels, this makes every small one: another comparison, another
operation, a constant that is one more, a condition turned round, a result that is None. Those tests of the room that
call the function run in a fork, the quick ones first; they see the changed module, and nothing on the disk changes. A
mutant that no test kills is a hole in the tests, or equal to the program: then the line says `# mutant: ` and why, and
is passed over from then on.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.util
import json
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent.parent

ROOMS = {
    "analysis": (
        "analysis",
        "tests/analysis tests/simulation/test_margin.py tests/plots/test_curves.py tests/theorems/test_activation.py "
        "tests/theorems/test_threshold.py tests/theorems/test_estimate.py",
    ),
    "engine": (
        "engine",
        "tests/engine/test_edges.py tests/engine/test_kernels.py tests/engine/test_counts.py tests/engine/test_ann.py "
        "tests/engine/test_kinds.py tests/engine/test_invariance.py tests/engine/test_equality.py tests/kernels "
        "tests/simulation",
    ),
    "methods": ("methods", "tests/methods"),
    "model": ("model", "tests/test_model.py tests/formats/test_hdf5.py tests/engine/test_equality.py"),
    "reference": ("reference", "tests/theorems tests/engine/test_naive.py tests/engine/test_edges.py"),
    "reports": ("reports", "tests/cli tests/front tests/plots tests/test_figures.py"),
    "store": ("runs/store", "tests/store tests/cli/test_run_directory.py"),
    "verification": ("verification", "tests/cli/test_verify.py tests/engine tests/test_shipped_weights.py"),
}
"""Which folder of refsim a room is, and the tests that answer for it, those first that fail first."""

PASSED_OVER = ("kernels",)
"""Folders: compiled, and the matter of tests/mutants.py."""

WITHOUT = "not kill and not full_disk and not subprocess and not limit and not worker"
"""Tests that run other processes, which do not see the mutant."""

CPU_SECONDS = 300
WALL_SECONDS = 600

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATIONS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {
    "min": "max", "max": "min", "all": "any", "any": "all", "minimum": "maximum", "maximum": "minimum",
    "floor": "ceil", "ceil": "floor", "argmin": "argmax", "argmax": "argmin",
}  # fmt: skip


class Mutant(NamedTuple):
    """A module with one place changed, in a function that is called by the name `function`; "": in none."""

    path: Path
    line: int
    function: str
    text: str
    code: CodeType


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    tree = ast.parse(source)
    for place, change in _places(tree):
        if "# mutant:" in lines[place.lineno - 1]:
            continue
        twin = copy.deepcopy(tree)
        # The same walk finds the same node in the copy.
        node = next(n for n, old in zip(ast.walk(twin), ast.walk(tree), strict=True) if old is place)
        before = ast.unparse(node)
        change(node)
        text = f"{before}  ->  {ast.unparse(node)}"
        code = compile(ast.fix_missing_locations(twin), str(path), "exec")
        yield Mutant(path, place.lineno, _function(tree, place.lineno), text, code)


def _function(tree: ast.Module, line: int) -> str:
    """The name of the innermost function whose body has this line; "" outside."""
    around = [
        each
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef) and each.body[0].lineno <= line <= (each.end_lineno or 0)
    ]
    return max(around, key=lambda each: each.lineno).name if around else ""


Change = Callable[[ast.AST], None]


def _places(tree: ast.Module) -> list[tuple[ast.expr | ast.stmt, Change]]:
    """The nodes that are computed with, and what is done to each."""
    found: list[tuple[ast.expr | ast.stmt, Change]] = []
    _look(tree, found)
    return sorted(found, key=lambda each: (each[0].lineno, each[0].col_offset))


def _look(node: ast.AST, found: list[tuple[ast.expr | ast.stmt, Change]]) -> None:
    if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom):
        return  # what is wrong with a message does not change a number
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    if isinstance(node, ast.expr | ast.stmt):
        found += [(node, change) for change in _changes(node)]
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                _look(child, found)


def _changes(node: ast.AST) -> list[Change]:
    match node:
        case ast.Compare(ops=[first, *_]) if type(first) in COMPARISONS:
            return [_setter("ops", lambda n: [COMPARISONS[type(n.ops[0])](), *n.ops[1:]])]
        case ast.BinOp(left=ast.Constant(value=str())) | ast.BinOp(right=ast.Constant(value=str())):
            return []
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in OPERATIONS:
            return [_setter("op", lambda n: OPERATIONS[type(n.op)]())]
        case ast.BoolOp():
            return [_setter("op", lambda n: ast.And() if isinstance(n.op, ast.Or) else ast.Or())]
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            return [_setter("op", lambda n: ast.UAdd() if isinstance(n.op, ast.USub) else ast.Not(), _without)]
        case ast.If() | ast.IfExp() | ast.While():
            return [_setter("test", lambda n: ast.UnaryOp(ast.Not(), n.test))]
        case ast.Constant(value=bool()):
            return [_setter("value", lambda n: not n.value)]
        case ast.Constant(value=int() | float()):
            return [_setter("value", lambda n: n.value + 1)]
        case ast.Name(id=name) if name in NAMES:
            return [_setter("id", lambda n: NAMES[n.id])]
        case ast.Attribute(attr=name) if name in NAMES:
            return [_setter("attr", lambda n: NAMES[n.attr])]
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            return [_setter("value", lambda n: ast.Constant(None))]
    return []


def _setter(field: str, new: Callable[[ast.AST], object], also: Change | None = None) -> Change:
    def change(node: ast.AST) -> None:
        setattr(node, field, new(node))
        if also is not None:
            also(node)

    return change


def _without(node: ast.AST) -> None:
    """`not x` becomes `not not x`, and `-x` has become `+x`."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        node.operand = ast.UnaryOp(ast.Not(), node.operand)


class Changed(MetaPathFinder, Loader):
    """Imports one module as the mutant has it."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = ".".join(mutant.path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        self._mutant = mutant

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        """The specification of that module; of others, None."""
        if fullname != self._name:
            return None
        folder = [str(self._mutant.path.parent)] if self._mutant.path.name == "__init__.py" else None
        place = self._mutant.path
        return importlib.util.spec_from_file_location(fullname, place, loader=self, submodule_search_locations=folder)

    def exec_module(self, module: ModuleType) -> None:
        """Run the mutant's code."""
        exec(self._mutant.code, module.__dict__)


Calls = dict[str, dict[tuple[str, str], float]]
"""By test, the functions that it calls, as (file, name), with the seconds that the test takes."""


class _Watch:
    """A plugin of pytest that notes which functions of refsim each test calls."""

    def __init__(self, output: int) -> None:
        self._output = output
        self._called: set[tuple[str, str]] = set()
        self._folder = str(ROOT / "refsim")

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(self._folder):
            self._called.add((code.co_filename, code.co_name))

    def pytest_runtest_protocol(self, item: object) -> None:
        """Before each test, its fixtures with it."""
        self._called = set()
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """After each test."""
        sys.setprofile(None)
        threading.setprofile(None)
        self._calls.append((nodeid, self._seconds, sorted(self._called)))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """How long it took."""
        self._seconds = getattr(report, "duration", 0.0) + (self._seconds if report.when != "setup" else 0.0)

    _seconds = 0.0

    def pytest_sessionstart(self) -> None:
        """Before all tests."""
        self._calls: list[tuple[str, float, list[tuple[str, str]]]] = []

    def pytest_sessionfinish(self) -> None:
        """After all tests."""
        os.write(self._output, json.dumps(self._calls).encode())


def watch(tests: str) -> list[tuple[str, float, set[tuple[str, str]]]]:
    """Every test with its seconds and the functions it calls, the quick ones first.

    Raises
    ------
    SystemExit
        A test fails without any mutant.
    """
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            _run(None, tests.split(), [_Watch(output.fileno())])
        if os.waitpid(child, 0)[1]:
            raise SystemExit("the tests fail without any mutant")
        output.seek(0)
        calls = json.load(output)
    return sorted(
        ((test, seconds, {(file, name) for file, name in called}) for test, seconds, called in calls),
        key=lambda each: each[1],
    )


def outcome(mutant: Mutant, tests: list[str]) -> tuple[str, float]:
    """Run the tests in a fork: "killed", "survived" or "hung", and CPU-s."""
    child = os.fork()
    if child == 0:
        _run(mutant, tests, [])
    began = time.monotonic()
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - began > WALL_SECONDS:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.05)
    code = os.waitstatus_to_exitcode(status)
    word = "hung" if code < 0 else "killed" if code else "survived"
    return word, usage.ru_utime + usage.ru_stime


def _run(mutant: Mutant | None, tests: list[str], plugins: list[object]) -> NoReturn:
    import pytest

    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    os.chdir(ROOT)
    if mutant is not None:
        sys.meta_path.insert(0, Changed(mutant))
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    code = 1
    try:
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-k", WITHOUT, *tests], plugins)
    finally:
        os._exit(code)


def main() -> int:
    """Mutate a room; returns how many mutants survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.splitlines()[0])
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--sample", type=int, metavar="N", help="N mutants drawn at random, and not all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--file", default="", metavar="TEXT", help="only modules with this in their name")
    options = parser.parse_args()
    folder, tests = ROOMS[options.room]
    paths = sorted((ROOT / "refsim" / folder).rglob("*.py"))
    paths = [path for path in paths if options.file in path.name and not set(path.parts) & set(PASSED_OVER)]
    mutants = [mutant for path in paths for mutant in mutants_of(path)]
    if options.sample is not None and options.sample < len(mutants):
        chosen = random.Random(options.seed).sample(range(len(mutants)), options.sample)
        mutants = [mutants[i] for i in sorted(chosen)]
    # What every mutant needs and none changes is imported once.
    sys.dont_write_bytecode = True
    os.environ["REFSIM_PROFILE"] = "mutants"
    for name in ("pytest", "hypothesis", "numpy", "numba", "scipy.stats", "h5py", "matplotlib.figure", "click"):
        importlib.import_module(name)
    watched = watch(tests)
    print(f"{sum(seconds for _, seconds, _ in watched):5.1f} s for {len(watched)} tests of {tests}", flush=True)
    counts: Counter[str] = Counter()
    for mutant in mutants:
        place = (str(mutant.path), mutant.function)
        chosen_tests = [test for test, _, called in watched if place in called or not mutant.function]
        word, seconds = outcome(mutant, chosen_tests) if chosen_tests else ("uncalled", 0.0)
        counts[word] += 1
        where = f"{mutant.path.relative_to(ROOT)}:{mutant.line}"
        print(f"{word:>8}  {seconds:5.1f} CPU-s  {where:45}  {mutant.text}", flush=True)
    killed = counts["killed"] + counts["hung"]
    print(f"{options.room}: {killed} of {len(mutants)} mutants killed ({100 * killed / max(len(mutants), 1):.0f} %)")
    return len(mutants) - killed


if __name__ == "__main__":
    sys.exit(main())

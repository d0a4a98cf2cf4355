"""Does a wrong engine fail a test? `python tests/mutants.py [WORD ...]` breaks a copy, one line at a time, and looks.

Each mutant changes one place of the event engine. The tests of tests/engine run on a copy with the kernels
interpreted (compiling each would take minutes) and with tiles of 4 lanes (so that small networks have several).
A mutant that survives is a hole in the tests. One whose source is no longer found is stale: update it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, NoReturn

os.environ |= {"NUMBA_DISABLE_JIT": "1", "REFSIM_PROFILE": "mutants"}

import hypothesis  # noqa: F401
import numba.extending  # noqa: F401
import pytest

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("kernels", "edges", "equality", "counts", "ann", "naive", "invariance", "kinds")
SECONDS = 600


class Mutant(NamedTuple):
    """Replace the text `old`, which stands exactly once in refsim/`path`, by `new`."""

    name: str
    path: str
    old: str
    new: str


NEURON, SYNAPSE, POPULATION = "kernels/neuron.py", "kernels/synapse.py", "kernels/population.py"
EVENTS, PLAN, SIMULATOR = "kernels/events.py", "plan.py", "simulator.py"

MUTANTS = (
    # The neuron
    Mutant("fires only above theta", NEURON, "1 if m >= theta else 0", "1 if m > theta else 0"),
    Mutant("negative spike only below theta_neg", NEURON, "1 if m <= theta_neg else 0", "1 if m < theta_neg else 0"),
    Mutant("gate always open", NEURON, "below if lanes[FIRED + k] >= 1 else 0", "below"),
    Mutant("gate opens at two", NEURON, "below if lanes[FIRED + k] >= 1", "below if lanes[FIRED + k] >= 2"),
    Mutant("net and gross gate swapped", NEURON, "if neurons.gross else", "if not neurons.gross else"),
    Mutant("gate of the last image stays", NEURON, "lanes[FIRED + k] = 0", "lanes[FIRED + k] += 0"),
    Mutant("reset adds theta", NEURON, "lanes[V + k] - s * lanes", "lanes[V + k] + s * lanes"),
    Mutant("no reset after -1", NEURON, "s = lanes[SPIKE + k] - lanes[NEGATIVE + k]", "s = lanes[SPIKE + k]"),
    Mutant("zero reset without spike", NEURON, "if not neurons.zero or s == 0 else 0", "if not neurons.zero else 0"),
    Mutant("reset to zero subtracts", NEURON, "reset if not neurons.zero or s == 0 else 0", "reset"),
    Mutant("no leak", NEURON, "leak * lanes[V + k] + lanes[U + k]", "lanes[V + k] + lanes[U + k]"),
    Mutant("current leaks too", NEURON, "leak * lanes[V + k] + lanes[U + k]", "leak * (lanes[V + k] + lanes[U + k])"),
    Mutant("one theta for all positions", NEURON, "row = position if len(neurons.theta) > 1 else 0", "row = 0"),
    Mutant("v0 of theta's layout", NEURON, "if len(neurons.v0) > 1", "if len(neurons.theta) > 1"),
    Mutant("margin with a closed gate", NEURON, "gap = gap if lanes[FIRED + k] >= 1 else np.inf", "gap = gap"),
    Mutant("margin not in units of theta", NEURON, "abs(m - theta) * lanes[PER_THETA + k]", "abs(m - theta)"),
    Mutant("sum of currents forgets the past", NEURON, "lanes[TOTAL + k] += lanes", "lanes[TOTAL + k] = lanes"),
    # The synapses
    Mutant("padding added", SYNAPSE, "stride[0] - synapses.padding[0]", "stride[0] + synapses.padding[0]"),
    Mutant("padding of the other axis", SYNAPSE, "synapses.padding[1]", "synapses.padding[0]"),
    Mutant("stride of the other axis", SYNAPSE, "y * synapses.stride[0]", "y * synapses.stride[1]"),
    Mutant("dilation is the stride", SYNAPSE, "i * synapses.dilation[0]", "i * synapses.stride[0]"),
    Mutant("dilation of the other axis", SYNAPSE, "j * synapses.dilation[1]", "j * synapses.dilation[0]"),
    Mutant("wraps around the left border", SYNAPSE, "source_x < 0 or source_x >= w", "source_x >= w"),
    Mutant("skips the first row", SYNAPSE, "source_y < 0 or", "source_y <= 0 or"),
    Mutant("skips the last column", SYNAPSE, "source_x >= w", "source_x >= w - 1"),
    Mutant("kernel transposed", SYNAPSE, "(i * k_w + j) * channels", "(i * k_h + j) * channels"),
    Mutant("group begins late", SYNAPSE, "channel[begin] < first", "channel[begin] <= first"),
    Mutant("group ends late", SYNAPSE, "channel[end - 1] >= first + channels", "channel[end - 1] > first + channels"),
    Mutant("always the first step", SYNAPSE, "source_x) * synapses.n_steps + t", "source_x) * synapses.n_steps"),
    Mutant("identity ignores the tile", SYNAPSE, "c = channel[event] - first", "c = channel[event]"),
    Mutant("identity misses channel 0", SYNAPSE, "0 <= c < width", "0 < c < width"),
    # The population
    Mutant("no bias", POPULATION, "part[k] += source.bias[tile, k]", "part[k] += 0"),
    Mutant("bias of the first tile", POPULATION, "source.bias[tile, k]", "source.bias[0, k]"),
    Mutant("weights of the first tile", POPULATION, "add_rows(source.weight, tile,", "add_rows(source.weight, 0,"),
    Mutant("image current computed twice", POPULATION, "source.constant and t > 0", "source.constant and t > 1"),
    Mutant("residual forgotten", POPULATION, "range(1, len(synapses))", "range(1, 1)"),
    Mutant("third branch forgotten", POPULATION, "range(1, len(synapses))", "range(1, min(2, len(synapses)))"),
    Mutant("word of the next tile", POPULATION, "word = first // WORD", "word = (first + width) // WORD"),
    Mutant("word not shifted", POPULATION, "bit = np.uint64(first % WORD)", "bit = np.uint64(0)"),
    Mutant("reached without events", POPULATION, "driven = driven or n > 0", "driven = driven or n >= 0"),
    Mutant("reached by positive only", POPULATION, "parts[p, k] != 0", "parts[p, k] > 0"),
    Mutant("margins mixed", POPULATION, "min(margin_out[1], lanes[MARGIN_NEG", "min(margin_out[1], lanes[MARGIN"),
    Mutant("shift of the ANN subtracted", POPULATION, "* steps + shift", "* steps - shift"),
    Mutant("ANN not clipped below", POPULATION, "min(max(z / lambda_, zero), one)", "min(z / lambda_, one)"),
    Mutant("no ReLU", POPULATION, "= max(z, zero)", "= z"),
    # The lists of events
    Mutant("negative spikes are positive", EVENTS, "amplitude[n] = -theta[row, c]", "amplitude[n] = theta[row, c]"),
    Mutant("theta of a wrong position", EVENTS, "row = y * width + x if", "row = y * height + x if"),
    Mutant("theta of the first word", EVENTS, "amplitude[n] = theta[row, c]", "amplitude[n] = theta[row, k]"),
    Mutant("pool is not a mean", EVENTS, "value / number(cells)", "value"),
    Mutant("pool drops negative sums", EVENTS, "if value != 0:", "if value > 0:"),
    Mutant("pool takes one theta", EVENTS, "theta[source_y * width + source_x, c]", "theta[source_y, c]"),
    Mutant("graded operations have one sign", EVENTS, "ops[0 if count > 0 else 1,", "ops[0,"),
    Mutant("cancelled sums are events", EVENTS, "if count != 0:", "if count >= 0:"),
    Mutant("flatten runs over positions first", EVENTS, "c * n_positions + position", "position * n_channels + c"),
    Mutant("fan-out of the corner", EVENTS, "popcount(bits) * fan_out[y, x, 0]", "popcount(bits) * fan_out[0, 0, 0]"),
    Mutant("fan-out of the first word", EVENTS, "x, word * WORD + lowest_bit(bits)]", "x, lowest_bit(bits)]"),
    Mutant("popcount misses the last step", EVENTS, ">> np.uint64(56)", ">> np.uint64(57)"),
    # The plan
    Mutant("theta not folded", PLAN, "return np.asarray(effective * theta)", "return effective"),
    Mutant("theta folded in a wrong order", PLAN, "theta = np.repeat(theta,", "theta = np.tile(theta,"),
    Mutant("theta of a wrong group", PLAN, "theta.reshape(groups, 1,", "theta[::-1].reshape(groups, 1,"),
    Mutant("first channel of a wrong group", PLAN, "// (c_out // conv.groups) * c_group", "// c_out * c_group"),
    Mutant("tiles ignore groups", PLAN, "cuts |= set(range(0, n_channels, n_channels // layer.groups))", "pass"),
    Mutant("weights by channel first", PLAN, "effective.transpose(2, 3, 1, 0)", "effective.transpose(1, 2, 3, 0)"),
    Mutant("signed spikes taken as ones", PLAN, "ones = not source.neuron.dual", "ones = True"),
    Mutant("graded events taken as spikes", PLAN, "and pool is None and equal", "and equal"),
    Mutant("unequal spikes taken as equal", PLAN, "neuron.theta.ndim < 3\n    unit", "neuron.theta.ndim < 4\n    unit"),
    Mutant("border synapses forgotten", PLAN, "(source >= 0) &", "(source > 0) &"),
    Mutant("fan-out ignores groups", PLAN, "(conv.weight.shape[0] // conv.groups)", "conv.weight.shape[0]"),
    Mutant("zero weights are negative ones", PLAN, "(conv.effective_weight() != 0)", "(conv.effective_weight() > 0)"),
    Mutant("windows of the stride", PLAN, "top : top + pool.kernel[0]", "top : top + pool.stride[0]"),
    Mutant("events forgotten too early", PLAN, "return seen - ahead", "return seen"),
    Mutant("gate of the other kind", PLAN, 'gross=neuron.gate == "gross"', 'gross=neuron.gate == "net"'),
    # The simulator
    Mutant("parallel projections counted once", SIMULATOR, "ops[key] + counted if key in ops else counted", "counted"),
    Mutant("room for one window", SIMULATOR, "n_spikes * overlap", "n_spikes"),
    Mutant("image pool of a wrong stride", SIMULATOR, "i + pool.stride[0]", "i + pool.stride[1]"),
    Mutant("signs of operations swapped", SIMULATOR, "for mask in train)", "for mask in train[::-1])"),
    Mutant("negative spikes enter no pool", SIMULATOR, "train.negative, projection", "train.positive, projection"),
    Mutant("identity of the image multiplies", SIMULATOR, "projection.layer is not None", "True"),
    # The rule of the house: a layer kind exists everywhere or nowhere
    Mutant(
        "a kind that nobody draws",
        "model.py",
        "LAYER_KINDS: dict",
        "class Sink(Flatten): kind = 'sink'\n\n\nLAYER_KINDS: dict",
    ),
)


def main(words: list[str]) -> int:
    """Run the mutants whose names contain all words; returns the number that were not killed."""
    # A mutant of the same size in the same second would run the bytecode of the one before.
    sys.dont_write_bytecode = True
    chosen = [each for each in MUTANTS if all(word in each.name for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in ("refsim", "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        _replace(copy / "refsim/kernels/vector.py", "TILE = 64\n", "TILE = 4\n")
        if _outcome(copy) != "survived":
            print("the tests fail without any mutant")
            return 1
        outcomes = [_try(copy, mutant) for mutant in chosen]
    print(f"{outcomes.count('killed')} of {len(outcomes)} mutants killed")
    return len(outcomes) - outcomes.count("killed")


def _try(copy: Path, mutant: Mutant) -> str:
    path = copy / "refsim" / mutant.path
    original = path.read_text(encoding="utf-8")
    start = time.perf_counter()
    try:
        outcome = _outcome(copy) if _replace(path, mutant.old, mutant.new) else "stale"
    finally:
        path.write_text(original, encoding="utf-8")
    print(f"{outcome:>8}  {time.perf_counter() - start:5.1f} s  {mutant.path:22}  {mutant.name}", flush=True)
    return outcome


def _replace(path: Path, old: str, new: str) -> bool:
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(old, new), encoding="utf-8")
    return text.count(old) == 1


def _outcome(copy: Path) -> str:
    """Run the tests in a fork, which has Numba and Hypothesis loaded already: "killed" or "survived"."""
    child = os.fork()
    if child == 0:
        _run_tests(copy)
    for _ in range(SECONDS * 10):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "killed"
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 1):
        raise SystemExit(f"pytest could not run: exit code {code}")
    return "killed" if code else "survived"


def _run_tests(copy: Path) -> NoReturn:
    """Run the tests on the copy and end the process with pytest's exit code."""
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        tests = [f"tests/engine/test_{name}.py" for name in TESTS]
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

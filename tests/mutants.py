"""Does a wrong engine fail a test? `python tests/mutants.py [WORD ...]` breaks a copy, one line at a time, and looks.

Each mutant changes one place of the event engine. The quick tests of tests/engine and tests/kernels run on a copy with
the kernels interpreted (compiling each would take minutes) and with tiles of 4 lanes (so that small networks have
several), those first that fail first. A mutant that survives is a hole in the tests. One whose source is no longer
found is stale: update it.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple, NoReturn

os.environ |= {"NUMBA_DISABLE_JIT": "1", "REFSIM_PROFILE": "mutants"}

import hypothesis  # noqa: F401
import numba.extending  # noqa: F401
import pytest

ROOT = Path(__file__).resolve().parent.parent
TESTS = (
    "engine/test_edges.py",
    "engine/test_kernels.py",
    "engine/test_counts.py",
    "theorems/test_max_pool.py",
    "engine/test_equality.py",
    "kernels/test_exact.py",
    "kernels/test_quantised.py",
    "simulation/test_margin.py",
    "engine/test_ann.py",
    "engine/test_border.py",
    "engine/test_invariance.py",
    "engine/test_naive.py",
    "engine/test_kinds.py",
)
TOO_SLOW = ("residual", "long_runs", "long_lists", "falls_back", "recorded_in_float64", "beyond_one_mask_word")
"""Tests of networks so large that interpreting them takes minutes; parts of their names."""

CPU_SECONDS = 300
"""A mutant that takes longer hangs, which is as good as failing."""


class Mutant(NamedTuple):
    """Replace the text `old` by `new`; it stands once in refsim/engine/`path`, or, if moved, once in the engine."""

    name: str
    path: str
    old: str
    new: str


NEURON, SYNAPSE, POPULATION = "kernels/neuron.py", "kernels/synapse.py", "kernels/population.py"
PLANES, LISTS, LAYOUT, INTEGER = (
    "kernels/digits.py",
    "kernels/lists.py",
    "kernels/layout.py",
    "kernels/exact.py",
)
RECOMPUTE, EXACT, TABLES, FANOUT = (
    "kernels/recompute.py",
    "exact.py",
    "tables.py",
    "fanout.py",
)
LISTING, QUANTISED, FIXED, WIRING = (
    "kernels/listing.py",
    "kernels/quantised.py",
    "quantised.py",
    "wiring.py",
)
MAXIMA, SOURCES, LAYERS = "kernels/maxima.py", "sources.py", "../model/layers.py"
PLAN, PORTS, SIMULATOR, FLOATS = "plan.py", "arrivals.py", "simulator.py", "floats.py"
MARGIN = "../analysis/margin.py"

MUTANTS = (
    # The neuron
    Mutant("fires only above theta", NEURON, "up = m >= theta", "up = m > theta"),
    Mutant("negative spike only below theta_neg", NEURON, "(m <= theta_neg)", "(m < theta_neg)"),
    Mutant("gate always open", NEURON, "(m <= theta_neg) & (fired >= whole(fired, 1))", "m <= theta_neg"),
    Mutant("gate opens at two", NEURON, "fired >= whole(fired, 1)", "fired > whole(fired, 1)"),
    Mutant("net and gross gate swapped", NEURON, "if not neurons.gross", "if neurons.gross"),
    Mutant("gate of the last image stays", POPULATION, "fired, total = zero, zero", "total = zero"),
    Mutant("reset adds theta", NEURON, "else m - theta, m)", "else m + theta, m)"),
    Mutant("no reset after -1", NEURON, "else m + theta, v)", "else m, v)"),
    Mutant("reset to zero subtracts", NEURON, "select(up, zero if neurons.zero else m - theta", "select(up, m - theta"),
    Mutant("no leak", POPULATION, "splat(number(neurons.leak)) * v + u", "v + u"),
    Mutant(
        "current leaks too", POPULATION, "splat(number(neurons.leak)) * v + u", "splat(number(neurons.leak)) * (v + u)"
    ),
    Mutant("one parameter for all positions", NEURON, "row = cell if len(parameter) > 1 else 0", "row = 0"),
    Mutant("margin with a closed gate", POPULATION, "select(fired >= splat(number(1)), near, gap_neg)", "near"),
    Mutant("margin not in units of theta", POPULATION, "lesser(gap * per_theta, least)", "lesser(gap, least)"),
    Mutant("margin of another side", NEURON, "select(over < zero, zero - over, over)", "over"),
    Mutant("margin overflows", POPULATION, "lesser(gap_neg * per_theta, largest)", "gap_neg * per_theta"),
    Mutant("margin of a subnormal theta", FLOATS, "np.minimum(1 / theta, np.finfo(dtype).max)", "1 / theta"),
    Mutant("sum of currents forgets the past", POPULATION, "total = total + u", "total = u"),
    # The synapses
    Mutant("padding added", LISTING, "STRIDE_Y] - geometry[p, PADDING_Y]", "STRIDE_Y] + geometry[p, PADDING_Y]"),
    Mutant("padding of the other axis", LISTING, "geometry[p, PADDING_X]", "geometry[p, PADDING_Y]"),
    Mutant("stride of the other axis", LISTING, "y * geometry[p, STRIDE_Y]", "y * geometry[p, STRIDE_X]"),
    Mutant("dilation is the stride", LISTING, "i * geometry[p, DILATION_Y]", "i * geometry[p, STRIDE_Y]"),
    Mutant("dilation of the other axis", LISTING, "j * geometry[p, DILATION_X]", "j * geometry[p, DILATION_Y]"),
    Mutant("wraps around the left border", LISTING, "max(0, -left) if adjacent", "0 if adjacent"),
    Mutant("dilated kernel wraps around", LISTING, "source_x >= 0 and source_x < w", "source_x < w"),
    Mutant("skips the first row", LISTING, "source_y < 0 or", "source_y <= 0 or"),
    Mutant("skips the last column", LISTING, "min(k_w, w - left) - j", "min(k_w, w - left - 1) - j"),
    Mutant("kernel transposed", LISTING, "tap = i * k_w + j", "tap = i * geometry[p, KERNEL_Y] + j"),
    Mutant("group begins late", LISTING, "entry[begin] < first", "entry[begin] <= first"),
    Mutant("group ends late", LISTING, ">= first + n_channels", "> first + n_channels"),
    Mutant("always the first step", LISTING, "step += np.uint64(columns_of_grid)", "step += np.uint64(0)"),
    Mutant("no bias", SYNAPSE, "part + load(source.bias, tile * TILE)", "part"),
    Mutant("bias of the first tile", SYNAPSE, "load(source.bias, tile * TILE)", "load(source.bias, 0)"),
    Mutant("weights of the first tile", SYNAPSE, "add_rows(source.weight, tile,", "add_rows(source.weight, 0,"),
    Mutant("image current of the last tile", SYNAPSE, "source.constant and t > 0", "source.constant and t >= 0"),
    Mutant("residual forgotten", SYNAPSE, "part if p == 0 else total + part", "part if p == 0 else total"),
    Mutant("reached without events", LISTING, "np.uint64(before < after)", "np.uint64(before <= after)"),
    Mutant("identity reaches every lane", SYNAPSE, "<< np.uint64(lists.rows[k])", "<< np.uint64(0)"),
    # The population
    Mutant("word of the next tile", LAYOUT, "first // WORD] |=", "(first + channels) // WORD] |="),
    Mutant("word not shifted", LAYOUT, "<< np.uint64(first % WORD)", "<< np.uint64(0)"),
    Mutant("columns fire alike", LAYOUT, "bits >>= np.uint64(channels % WORD)", "bits = bits"),
    Mutant("columns recorded alike", LAYOUT, "room[column * channels + k]", "room[k]"),
    Mutant("columns reached alike", TABLES, "((1 << n) - 1) << column * n", "((1 << n) - 1)"),
    Mutant("columns without stride", TABLES, "column * step : column * step + k_w, :", "column : column + k_w, :"),
    Mutant("columns of a dilated kernel", WIRING, "groups > 1 or conv.dilation[1] > 1", "groups > 1"),
    Mutant("columns with groups", WIRING, "conv.groups > 1 or", ""),
    # Bit planes and lists
    Mutant(
        "carry forgotten",
        PLANES,
        "carry &= digit\n                                sign ^= carry",
        "carry = np.uint64(0)",
    ),
    Mutant("borrow where there is a digit", PLANES, "borrow &= ~digit", "borrow &= digit"),
    Mutant("negative sums not inverted", PLANES, "digit = digits[k] ^ sign", "digit = digits[k]"),
    Mutant("one digit only", PLANES, "range(1, len(magnitude))", "range(1, 1)"),
    Mutant("digits of equal weight", PLANES, "& np.uint64(1)) << k", "& np.uint64(1))"),
    Mutant("negative spikes are positive", PLANES, "return -value", "return value"),
    Mutant("flatten runs over positions first", PLANES, "* n_positions + p", "* 1 + p * WORD * n_words"),
    Mutant("fan-out of the corner", PORTS, "fan_out.reshape(-1) @", "np.full(fan_out.size, fan_out[0, 0, 0]) @"),
    Mutant("fan-out of the first word", PLANES, "fan_out[y, x, word * WORD + bit]", "fan_out[y, x, bit]"),
    Mutant("theta of a wrong position", LISTS, "row = y * width + x if", "row = y * height + x if"),
    Mutant("pool is not a mean", LISTS, "* psp[row, c] / divisor", "* psp[row, c]"),
    Mutant("negative spikes counted twice", PLANES, "counts[0, b, y, x, t] -= n_minus", "n_minus = n_minus"),
    Mutant(
        "channels of the first word",
        LISTS,
        "list_bits(bits, x * n_channels + word * WORD, entry, n)\n                            i",
        "list_bits(bits, x * n_channels, entry, n)\n                            i",
    ),
    # Max pools
    Mutant("maximum never leads", MAXIMA, "leads |= behind[p, n_digits - 1]", "leads |= np.uint64(0)"),
    Mutant("maximum falls with a tie", MAXIMA, "ties |= ~some", "ties |= np.uint64(0)"),
    Mutant("maximum of the last window stays", MAXIMA, "behind[p, k] = 0", "behind[p, k] = behind[p, k]"),
    Mutant("maximum forgets who lost", MAXIMA, "carry = minus[b, row, column, t, word]", "carry = carry"),
    Mutant("maximum moves nobody", MAXIMA, "borrow, carry = falls, leads", "borrow, carry = leads, leads"),
    Mutant("maximum moves only upwards", MAXIMA, "if leads | falls != np.uint64(0)", "if leads != np.uint64(0)"),
    Mutant(
        "maximum without a borrow",
        MAXIMA,
        "borrow &= ~digit\n                                carry &= digit\n                                behind",
        "borrow &= digit\n                                carry &= digit\n                                behind",
    ),
    Mutant("maximum of a transposed window", MAXIMA, "p // n_columns * step_y", "p // n_rows * step_y"),
    Mutant("maximum has no digit for the sign", PORTS, "(2 * T).bit_length() + 1", "(2 * T).bit_length()"),
    Mutant("maximum has one digit less", PORTS, "(2 * T).bit_length() + 1", "T.bit_length()"),
    Mutant("modes swapped", PORTS, 'case "cumulative":\n            # Counts', 'case "or":\n            # Counts'),
    Mutant("or of minus", MAXIMA, "every &= minus", "every |= minus"),
    Mutant("or without dilation", MAXIMA, "row, column = top + i * step_y", "row, column = top + i"),
    Mutant("window begins in the padding", FANOUT, "begin if begin >= 0 else begin % dilation", "max(begin, 0)"),
    Mutant("window ends late", FANOUT, "(pool.kernel[axis] - 1) * dilation + 1", "pool.kernel[axis] * dilation + 1"),
    Mutant("window of the other padding", FANOUT, "pool.padding[axis], pool", "pool.padding[1 - axis], pool"),
    Mutant("maximum of the image is a minimum", PORTS, "y, h)].max(axis=1)", "y, h)].min(axis=1)"),
    Mutant("spikes pass a max pool", PLAN, "if port.graded else None", "if port.pool else None"),
    Mutant(
        "max pool divides",
        WIRING,
        "case None | MaxPool2d():\n                return 1\n            case AvgPool2d():",
        "case None:\n                return 1\n            case AvgPool2d() | MaxPool2d():",
    ),
    Mutant(
        "spikes enter no max pool",
        SOURCES,
        "projection.windows).sum(axis=0)",
        "projection.windows).sum(axis=0) * (projection.fan_out_spike is not None)",
    ),
    # Whole numbers
    Mutant("no filter", INTEGER, "half_units += delivered + SLACK", "half_units = -1"),
    Mutant("a class twice", INTEGER, "part = part + part", "part = part + part + part"),
    Mutant("minus is plus", INTEGER, "part = subtract_rows(", "part = add_rows("),
    Mutant("recomputed in vain", INTEGER, "v = load(memory.v, 0)", "v = v"),
    Mutant("checkpoint a step late", INTEGER, "= t + 1, v\n", "= t, v\n"),
    Mutant("asked of the next channel", INTEGER, "neuron_of(layout, tile, x, k)", "neuron_of(layout, tile, x, 0)"),
    Mutant("recomputed without past spikes", RECOMPUTE, "v - s * theta", "v"),
    Mutant("recomputed without scale", RECOMPUTE, "* stored.scale[channel]", "* 1.0"),
    Mutant("recomputed without worth", RECOMPUTE, "* psp[0, first + c] if", "if"),
    Mutant(
        "recomputed without bias", RECOMPUTE, "total + stored.bias[channel if len(stored.bias) > 1 else 0]", "total"
    ),
    Mutant(
        "units of another theta",
        EXACT,
        "np.full(theta.shape, 2**bits, dtype=np.int64)",
        "np.full(theta.shape, 2**bits + 2**(bits - 8), dtype=np.int64)",
    ),
    Mutant("sums too large", EXACT, "return min(30, floor(", "return min(30, 6 + floor("),
    # The quantised network
    Mutant(
        "negative images forgotten",
        QUANTISED,
        "lesser(lesser(image, zero - image), least)",
        "lesser(zero - image, least)",
    ),
    Mutant("image cut off", QUANTISED, "return x + large - large", "return x"),
    Mutant(
        "currents not saturated",
        QUANTISED,
        "saturated(image + load_at(bias, 0, tile), high)",
        "image + load_at(bias, 0, tile)",
    ),
    Mutant("a bit too many", FIXED, "fits.sum(axis=1) - 1", "fits.sum(axis=1)"),
    Mutant("no saturation", FIXED, "np.clip(np.rint(units), -self.limit, self.limit)", "np.rint(units)"),
    Mutant("always 32 bits", FIXED, "largest + T * (self.currents.largest + image) <= LARGEST", "T > 0"),
    Mutant("theta_neg of 0 units", FIXED, "np.minimum(theta_neg, -1)", "np.minimum(theta_neg, 0)"),
    Mutant("lists of the first block", LISTING, "np.uint64(runs[q, k, PLACE]) + step", "step"),
    # The plan
    Mutant("theta not folded", TABLES, "return np.asarray(effective * theta)", "return effective"),
    Mutant("theta folded in a wrong order", WIRING, "np.repeat(psp, h * w, axis=1)", "np.tile(psp, (1, h * w))"),
    Mutant("theta of a wrong group", TABLES, "theta.reshape(groups, 1,", "theta[::-1].reshape(groups, 1,"),
    Mutant("first channel of a wrong group", TABLES, "// (c_out // conv.groups) * c_group", "// c_out * c_group"),
    Mutant("tiles ignore groups", WIRING, "n_channels // conv.groups))", "n_channels))"),
    Mutant("weights by channel first", TABLES, ".transpose(2, 3, 1, 0)", ".transpose(3, 2, 1, 0)"),
    Mutant(
        "signed spikes taken as ones",
        PLAN,
        "ones = port.unit and not wire.fires_negative",
        "ones = port.unit",
    ),
    Mutant("graded events taken as spikes", WIRING, "and pool is None and equal", "and equal"),
    Mutant("border synapses forgotten", FANOUT, "(source >= 0) &", "(source > 0) &"),
    Mutant("fan-out ignores groups", FANOUT, "(conv.weight.shape[0] // conv.groups)", "conv.weight.shape[0]"),
    Mutant("zero weights are negative ones", FANOUT, "(conv.effective_weight() != 0)", "(conv.effective_weight() > 0)"),
    Mutant("windows of the stride", FANOUT, "(pool.kernel[axis] - 1)", "(pool.stride[axis] - 1)"),
    Mutant("events forgotten too early", PLAN, "return seen - ahead", "return seen"),
    Mutant("gate of the other kind", FLOATS, 'gross=neuron.gate == "gross"', 'gross=neuron.gate == "net"'),
    Mutant(
        "zero weights counted again",
        PLAN,
        "np.float64, fold=self.fold, skip_zero_weights=self.skip_zero_weights",
        "np.float64, fold=self.fold",
    ),
    Mutant("positions that share theta differ", TABLES, "if value.ndim == 3 and bool(", "if bool("),
    # The rounding bound
    Mutant("bound without windows", MARGIN, "weight.shape[1] * windows", "weight.shape[1]"),
    Mutant(
        "bound of the least theta", MARGIN, "float(layer.neuron.theta.max()) + T", "float(layer.neuron.theta.min()) + T"
    ),
    Mutant(
        "bound of the least spikes",
        MARGIN,
        "return float(layer.neuron.theta.max()), 1",
        "return float(layer.neuron.theta.min()), 1",
    ),
    # The simulator
    Mutant("parallel projections counted once", SIMULATOR, "ops[key] + counted if key in ops else counted", "counted"),
    Mutant("image pool of a wrong stride", PORTS, "i + pool.stride[0]", "i + pool.stride[1]"),
    Mutant("sized spikes of equal size", PORTS, "* theta.reshape(h, w, n_channels)", "* theta[0]"),
    Mutant(
        "signs of operations swapped", PORTS, "unit_pos=unit[0], unit_neg=unit[1]", "unit_pos=unit[1], unit_neg=unit[0]"
    ),
    Mutant("negative spikes enter no pool", PORTS, "windows).sum(axis=0)", "windows)[0]"),
    Mutant("identity of the image multiplies", SIMULATOR, "projection.layer is not None", "True"),
    Mutant("shift of the ANN subtracted", SIMULATOR, "* L + shift", "* L - shift"),
    Mutant(
        "ANN not clipped below",
        SIMULATOR,
        "np.clip(z / lambda_, dtype.type(0), dtype.type(1))",
        "np.minimum(z / lambda_, 1)",
    ),
    Mutant("no ReLU", SIMULATOR, "np.maximum(z, dtype.type(0))", "z"),
    # The rule of the house: a layer kind exists everywhere or nowhere
    Mutant(
        "a kind that nobody draws",
        LAYERS,
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
        lanes = copy / "refsim/engine/kernels/lanes.py"
        lanes.write_text(lanes.read_text(encoding="utf-8").replace("TILE = 64\n", "TILE = 4\n"), encoding="utf-8")
        outcome, seconds = _outcome(copy)
        print(f"{seconds:5.1f} CPU-s for the tests without any mutant", flush=True)
        if outcome != "survived":
            print("they fail without any mutant")
            return 1
        outcomes = [_try(copy, mutant) for mutant in chosen]
    print(f"{outcomes.count('killed')} of {len(outcomes)} mutants killed")
    return len(outcomes) - outcomes.count("killed")


def _try(copy: Path, mutant: Mutant) -> str:
    path = _place(copy / "refsim/engine", mutant)
    outcome, seconds = "stale", 0.0
    if path is not None:
        original = path.read_text(encoding="utf-8")
        try:
            path.write_text(original.replace(mutant.old, mutant.new), encoding="utf-8")
            outcome, seconds = _outcome(copy)
        finally:
            path.write_text(original, encoding="utf-8")
    print(f"{outcome:>8}  {seconds:5.1f} CPU-s  {mutant.path:22}  {mutant.name}", flush=True)
    return outcome


def _place(engine: Path, mutant: Mutant) -> Path | None:
    """The file to change: the one the mutant names, or the only other one with its text."""
    named = engine / mutant.path
    if named.is_file() and named.read_text(encoding="utf-8").count(mutant.old) == 1:
        return named
    sources = [*engine.glob("*.py"), *engine.glob("kernels/*.py")]
    counts = {path: path.read_text(encoding="utf-8").count(mutant.old) for path in sources}
    found = [path for path, count in counts.items() if count > 0]
    return found[0] if len(found) == 1 and counts[found[0]] == 1 else None


def _outcome(copy: Path) -> tuple[str, float]:
    """Run the tests in a fork, which has Numba and Hypothesis loaded already: "killed" or "survived", and CPU-s."""
    child = os.fork()
    if child == 0:
        _run_tests(copy)
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code > 2:
        raise SystemExit(f"pytest could not run: exit code {code}")
    return "killed" if code else "survived", usage.ru_utime + usage.ru_stime


def _run_tests(copy: Path) -> NoReturn:
    """Run the tests on the copy and end the process with pytest's exit code."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        tests = [f"tests/{name}" for name in TESTS]
        unless = "not " + " and not ".join(TOO_SLOW)
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-k", unless, *tests])
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

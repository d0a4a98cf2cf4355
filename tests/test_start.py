"""What a short run of the command line does without: time and memory that every user pays at every start."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from refsim.cli import start
try:
    start()
except SystemExit as end:
    assert not end.code
print(*sorted(each for each in sys.modules if each.count(".") < 2), file=sys.stderr)
"""


def modules_of_a_run() -> set[str]:
    command = [sys.executable, "-c", PROGRAM, "run", "--limit", "1", "--neuron", "if", "-q"]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stderr.split())


@pytest.fixture(scope="module")
def modules() -> set[str]:
    """What is imported in a run whose kernels are in the cache: the first run puts them there."""
    modules_of_a_run()
    return modules_of_a_run()


def test_a_cached_start_loads_no_compiler(modules):
    # Numba imports these, and registers a thousand functions with them, when it gets ready to compile.
    assert not {"numba.np.linalg", "scipy.linalg", "numpy.f2py"} & modules
    assert "numba" in modules


def test_a_run_imports_nothing_it_does_not_need(modules):
    assert (
        not {"h5py", "matplotlib", "scipy.special", "scipy.sparse", "scipy.stats", "hypothesis", "torch", "distributed"}
        & modules
    )


def test_importing_refsim_imports_no_package():
    program = "import sys, refsim; print(*{each.split('.')[0] for each in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "refsim" in done.stdout.split()
    assert not {"numpy", "numba", "scipy", "h5py", "click", "matplotlib"} & set(done.stdout.split())


@pytest.mark.parametrize("module", ["fcntl", "resource"])
@pytest.mark.parametrize(
    "program",
    [
        "from refsim.cli import start; sys.argv[1:] = ['--version']; start()",
        "from refsim.cli import start; sys.argv[1:] = ['info']; start()",
        "import refsim\ntry: refsim.load()\nexcept refsim.RefsimError as error: sys.exit(f'refsim: {error}')",
    ],
)
def test_a_system_without_posix_is_one_line(module, program):
    # None in sys.modules is a module that cannot be imported.
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules[{module!r}] = None; {program}"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "refsim: refsim needs a POSIX system (Linux, macOS): it locks files, and reads foreign ones in a process with "
        f"limits, but this Python has no {module}; on Windows use WSL\n"
    )

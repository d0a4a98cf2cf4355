"""The entry: help, errors, exit codes; and what it must not import to answer quickly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from refsim.cli import main as entry
from refsim.cli.main import COMMANDS, cli
from refsim.exceptions import CheckFailedError, DataError, FormatError, NetworkError, RefsimError, UsageError
from tests.cli.conftest import Call


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(refsim: Call, name: str) -> None:
    done = refsim(name, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: refsim {name}")


@pytest.mark.parametrize(
    ("error", "code"),
    [(RefsimError, 1), (UsageError, 2), (NetworkError, 3), (FormatError, 3), (DataError, 3), (CheckFailedError, 4)],
)
def test_every_kind_of_error_has_its_exit_code(
    refsim: Call, monkeypatch: pytest.MonkeyPatch, error: type[RefsimError], code: int
) -> None:
    @click.command()
    def run() -> None:
        raise error("what is wrong")

    monkeypatch.setattr(cli, "get_command", lambda ctx, name: run)
    done = refsim("run")
    assert (done.code, done.err) == (code, "refsim: what is wrong\n")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, click.exceptions.Abort])
def test_an_interrupt_ends_with_130(refsim: Call, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]) -> None:
    @click.command()
    def run() -> None:
        raise stop

    monkeypatch.setattr(cli, "get_command", lambda ctx, name: run)
    done = refsim("run")
    assert done.code == 130
    assert "interrupted" in done.err


def test_an_unknown_command_is_wrong_usage(refsim: Call) -> None:
    done = refsim("simulate")
    assert done.code == 2
    assert "No such command 'simulate'" in done.err


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from refsim.cli.main import cli; cli(['--help'], standalone_mode=False); " + (
        "print(sorted({'numpy', 'numba', 'scipy', 'h5py', 'matplotlib', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_run_imports_no_deep_learning_framework_and_no_plotting(weights: Path) -> None:
    code = (
        "import sys; from refsim.cli.main import cli; "
        f"cli(['run', '-w', {str(weights)!r}, '-q'], standalone_mode=False); "
        "print(sorted({'torch', 'tensorflow', 'jax', 'matplotlib', 'hypothesis'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_is_no_error(weights: Path) -> None:
    command = f"{sys.executable} -m refsim run -w {weights} -q | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("small")


def test_the_launcher_of_a_checkout_is_the_same_command() -> None:
    launcher = Path(__file__).resolve().parents[2] / "cli.py"
    done = subprocess.run([sys.executable, launcher, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == f"refsim, version {__import__('refsim').__version__}"
    assert callable(entry)


def test_the_version_names_libraries_and_processor(refsim: Call) -> None:
    import numba
    import numpy
    from llvmlite import binding

    done = refsim("--version")
    assert done.code == 0
    assert f"NumPy {numpy.__version__}, Numba {numba.__version__}" in done.out
    assert binding.get_host_cpu_name() in done.out


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["verfy"], "Did you mean verify?"),
        (["comapre"], "Did you mean compare?"),
        (["reprot"], "Did you mean report"),
        (["run", "--limt", "3"], "--limit"),
        (["errors", "--layr", "3"], "--layer"),
    ],
)
def test_misspelt_words_are_recognised(refsim: Call, words: list[str], meant: str) -> None:
    done = refsim(*words)
    assert done.code == 2
    assert meant in done.err


def test_what_resembles_nothing_has_no_hint(refsim: Call) -> None:
    assert "Did you mean" not in refsim("xyzzy").err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_clicks_own(shell: str) -> None:
    """The script that README tells to source, and what it asks for."""
    import os

    environment = os.environ | {"_REFSIM_COMPLETE": f"{shell}_source"}
    program = [sys.executable, "-c", "from refsim.cli.main import cli; cli(prog_name='refsim')"]
    script = subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout
    assert "_REFSIM_COMPLETE" in script
    words = {"COMP_WORDS": "refsim co", "COMP_CWORD": "co" if shell == "fish" else "1"}
    asked = os.environ | words | {"_REFSIM_COMPLETE": f"{shell}_complete"}
    done = subprocess.run(program, env=asked, capture_output=True, text=True, check=True).stdout
    assert {"compare", "convert"} <= set(done.replace(",", " ").split())

"""The door of the command line: every option with values that nobody should give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.hostile.attack import HOSTILE_NAMES, Attack

NUMBERS = (
    "", "0", "-1", "1.5", "1e3", "nan", "inf", "-inf", "1e400", "9" * 30, "9" * 5000, "0x10", "1_0",
    "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT THREE}x", "\x1b[31m", " ", "True", "1,", ",", "1,,2", "\0",
)  # fmt: skip

TEXTS = (
    *HOSTILE_NAMES,
    "",
    "x" * 100_000,
    "\0",
    "/",
    "..",
    "/dev/zero",
    "/dev/null/a.csv",
    "/proc/self/mem",
    "~nosuchuser/a.h5",
)

OPTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "run": {
        "numbers": ("-T", "--limit", "--theta-neg", "--v0", "--threads", "--batch", "--min-accuracy"),
        "texts": ("-w", "--data", "--neuron", "--theta-neg-mode", "--dtype", "--energy", "-o", "--record", "--shard"),
    },
    "errors": {"numbers": ("-T", "--layer", "--v0"), "texts": ("--layer", "--plot", "--dtype")},
    "compare": {"numbers": ("-T", "--n-calibrate"), "texts": ("--methods", "--calibrate", "-o")},
    "verify": {"numbers": ("-T", "--limit"), "texts": ("-w",)},
    "info": {"numbers": ("--dtype",), "texts": ("-w",)},
    "merge": {"numbers": (), "texts": ("-w", "-o", "--energy")},
    "convert": {
        "numbers": ("-L", "--mean", "--std", "--input-shape", "--n-samples", "--golden", "--expect", "--bn-eps"),
        "texts": ("-o", "--classes", "--preset", "--samples", "--name", "--method", "--arch", "--pool"),
    },
}

ALWAYS = {
    "run": ["-q", "--limit=1", "-T1"],
    "errors": ["-q", "--limit=1", "-T1"],
    "compare": ["-q", "--limit=1", "-T1", "--methods=qcfs"],
    "verify": ["--limit=1", "-T1"],
    "info": [],
    "merge": ["missing.run"],
    "convert": ["missing.pth", "-oa.h5", "--L=4"],
}


def attacks() -> Iterator[Attack]:
    """All of them."""
    for command, options in OPTIONS.items():
        for kind, values in (("numbers", NUMBERS), ("texts", TEXTS)):
            for option in options[kind]:
                for value in values:
                    given = (
                        [option, value] if not value.startswith("-") else [f"{option}{'=' * (option[1] == '-')}{value}"]
                    )

                    def make(folder: Path, command: str = command, given: list[str] = given) -> list[str]:
                        return [command, *ALWAYS[command], *given]

                    yield Attack("options", f"{command} {option} {value[:20]!r} of {len(value)}", make, (0, 1, 2, 3, 4))
    for name in TEXTS:
        yield Attack("options", f"command {name[:20]!r}", lambda folder, name=name: [name], (2,))
        yield Attack("options", f"option {name[:20]!r}", lambda folder, name=name: ["run", f"--{name}"], (2,))

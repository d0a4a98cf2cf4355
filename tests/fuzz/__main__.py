"""`python -m tests.fuzz NAME`: atheris looks for bytes that a reader neither reads nor refuses cleanly.

Everything happens in this process, or nothing would be seen of what it covers. A signal inside HDF5 therefore ends the
search; the bytes are kept as `crash-*`. In refsim a child process would have died of them.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

try:
    import atheris
except ImportError:
    sys.exit("fuzzing needs atheris: pip install atheris")

# Before anything of refsim is imported: only modules imported in here report what they cover.
with atheris.instrument_imports(include=["refsim", "zipfile"]):
    from tests.fuzz.targets import TARGETS, Target

from tests.fuzz.oracle import Finding, outcome
from tests.fuzz.test_corpus import corpus


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("name", nargs="?", choices=TARGETS, metavar="NAME", help="A target.")
    parser.add_argument("--list", action="store_true", help="Print the targets.")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="Folder that keeps what covered something new.  [default: none]")
    parser.add_argument("--findings", type=Path, default=Path("findings"), help="Folder for what went wrong.")
    arguments, more = parser.parse_known_args()
    if arguments.list or not arguments.name:
        print("\n".join(TARGETS))
        return
    with tempfile.TemporaryDirectory() as scratch:
        fuzz(arguments.name, arguments.seconds, arguments.corpus or Path(scratch) / "corpus", arguments.findings, more)


def fuzz(name: str, seconds: int, kept: Path, findings: Path, more: list[str]) -> None:
    """Run one target; every new kind of finding is printed and its bytes are kept, and the search goes on."""
    target: Target = TARGETS[name]
    kept.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate([*target.seeds(), *(path.read_bytes() for path in corpus(name))]):
        (kept / f"seed-{number}").write_bytes(data)
    seen: set[str] = set()
    folder = Path(tempfile.mkdtemp(prefix="refsim-fuzz-"))

    def one(data: bytes) -> None:
        for old in folder.iterdir():
            old.unlink()
        (folder / target.file).write_bytes(data)
        try:
            outcome(target.read, folder / target.file)
        except Finding as finding:
            where = place_of(finding)
            if where not in seen:
                seen.add(where)
                path = findings / f"{name}-{len(seen)}"
                path.write_bytes(data)
                print(f"FINDING {path} {where}: {finding}", flush=True)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        assert target.mutate is not None
        return target.mutate(data, most, random.Random(seed), atheris.Mutate)[:most]

    options: dict[str, Any] = {} if target.mutate is None else {"custom_mutator": mutate}
    findings.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={seconds}", "-timeout=30", "-rss_limit_mb=3000", "-print_final_stats=1"]
    limits.append(f"-artifact_prefix={findings}/{name}-")
    atheris.Setup([sys.argv[0], str(kept), *limits, *more], one, **options)
    atheris.Fuzz()


def place_of(finding: Finding) -> str:
    """Where it came from: the innermost line of refsim."""
    cause = finding.__cause__
    frames = traceback.extract_tb(cause.__traceback__) if cause is not None else []
    ours = [frame for frame in frames if "/refsim/" in frame.filename]
    last = ours[-1] if ours else frames[-1]
    return f"{type(cause).__name__} at {Path(last.filename).name}:{last.lineno}"


if __name__ == "__main__":
    main()

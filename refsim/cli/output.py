"""Where `-o` writes to: a file at the end, or a run directory all along."""

from __future__ import annotations

from pathlib import Path

from refsim.exceptions import UsageError

FILES = (".json", ".csv", ".parquet", ".h5")
DIRECTORY = ".run"


def is_directory(name: str | None, *, resume: bool, shard: str | None) -> bool:
    """Whether -o names a run directory, and not a file: it ends in .run or /, or is a directory already.

    Raises
    ------
    UsageError
        --resume or --shard without the name of a directory.
    """
    asked = "--resume" if resume else "--shard" if shard is not None else None
    if name is None:
        if asked is not None:
            raise UsageError(f"{asked} needs -o NAME{DIRECTORY}, the directory that keeps the results")
        return False
    path = Path(name)
    if name.endswith("/") or path.is_dir():
        return True
    if path.suffix in FILES:
        if asked is not None:
            raise UsageError(f"-o {path}: {asked} needs a directory, e.g. {path.with_suffix(DIRECTORY)}")
        return False
    return asked is not None or path.suffix == DIRECTORY


def check_output(name: str | None, *, directory: bool, record: frozenset[str], n_runs: int) -> None:
    """Refuse before hours of work what could not be written after them.

    Raises
    ------
    UsageError
        A name or a combination of options that cannot be.
    """
    if name is None:
        if record:
            raise UsageError("--record needs -o FILE.h5 to write to")
        return
    path = Path(name)
    if not directory and path.suffix not in FILES:
        names = f"{', '.join(FILES[:-1])} or {FILES[-1]}"
        raise UsageError(f"-o {path}: the name must end in {names}; in {DIRECTORY} or / for a run directory")
    if record and (directory or path.suffix != ".h5"):
        raise UsageError(f"-o {path}: --record needs a name that ends in .h5")
    if not directory and path.suffix == ".h5" and n_runs > 1:
        raise UsageError("-o FILE.h5 holds one run; choose --neuron if or --neuron dual")
    check_folder("-o", path)
    if directory and path.exists() and not path.is_dir():
        raise UsageError(f"-o {path}: is a file, not a run directory")
    if not directory and path.is_dir():
        raise UsageError(f"-o {path}: is a directory")
    check_parquet(path)


def check_parquet(path: Path) -> None:
    """Refuse a Parquet file before any work where it could not be written.

    Raises
    ------
    UsageError
        pyarrow is not installed.
    """
    if path.suffix == ".parquet":
        from refsim.reports.files import require_parquet

        require_parquet()


def check_folder(option: str, path: Path) -> None:
    """Refuse a file in a folder that does not exist.

    Raises
    ------
    UsageError
        There is none.
    """
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {path.absolute().parent}")

"""Where weight files are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from refsim.exceptions import UsageError
from refsim.formats.untrusted.text import clean
from refsim.formats.weights import hdf5
from refsim.formats.weights.parts import WeightFile

DEFAULT = "fashion-vgg7.h5"
"""The weight file that travels with the package and is used when none is named."""

VARIABLE = "REFSIM_WEIGHTS"
"""Environment variable with a list of directories, separated like PATH."""

_PACKAGE = Path(__file__).resolve().parents[2]


def search_path() -> tuple[Path, ...]:
    """The directories in which a weight file's name is looked up, first come first."""
    # Of a user who does not exist, os.path.expanduser leaves the name; Path.expanduser raises.
    listed = [Path(os.path.expanduser(entry)) for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry]
    # A wheel has the networks of weights/ inside the package, a checkout beside it.
    return (*listed, Path("weights"), _PACKAGE / "data", _PACKAGE / "weights", _PACKAGE.parent / "weights")


def find_weights(name: str | os.PathLike[str] | None = None) -> Path:
    """The weight file called `name`: a path, or a name with or without `.h5` in one of `search_path`.

    None is the packaged default. The file is only found here, not opened.

    Raises
    ------
    UsageError
        Nothing of that name; the message lists where it looked and what is there.
    """
    if name is None:
        name = _PACKAGE / "data" / DEFAULT
    path = Path(name)
    if _is_file(path):
        return path
    # A path with directories in it means that file and no other.
    directories = search_path() if len(path.parts) == 1 else ()
    for directory in directories:
        for candidate in (directory / path, directory / f"{path}.h5"):
            if _is_file(candidate):
                return candidate
    if _exists(path):
        raise UsageError(f"{clean(str(path))} is a directory; name a weight file in it{_available((path,))}")
    looked = f"; looked in {', '.join(clean(str(entry)) for entry in (Path(), *directories))}" if directories else ""
    raise UsageError(f"no weight file '{clean(os.fsdecode(name))}'{looked}{_available(directories)}")


def load(name: str | os.PathLike[str] | None = None) -> WeightFile:
    """Find a weight file as `--weights` does, and read it.

    Parameters
    ----------
    name
        A path, or the name of a shipped network with or without `.h5`, e.g. "vgg16"; None: the small Fashion-MNIST
        network in the package.

    Raises
    ------
    UsageError
        Nothing of that name.
    FormatError, NetworkError
        A damaged or foreign file, in one line.
    """
    return hdf5.load(find_weights(name))


def _is_file(path: Path) -> bool:
    """Whether there is something to open: a file, or a pipe that the reader will refuse."""
    return _exists(path) and not path.is_dir()


def _exists(path: Path) -> bool:
    """Whether the path exists; a name that no file can have does not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _available(directories: tuple[Path, ...]) -> str:
    names: list[str] = []
    for directory in directories:
        try:
            names += [entry.name for entry in directory.iterdir() if entry.suffix == ".h5"]
        except OSError:
            continue
    if not names:
        return ""
    shown = ", ".join(clean(name, 60) for name in sorted(set(names))[:10])
    return f"; there is {shown}"

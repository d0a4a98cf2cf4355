"""The public names: all there, all documented, none imported before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import refsim
from refsim.model import LAYER_KINDS


@pytest.mark.parametrize("name", [name for name in refsim.__all__ if name != "__version__"])
def test_every_public_name_exists_and_says_what_it_is(name: str) -> None:
    assert getattr(refsim, name).__doc__
    assert name in dir(refsim)


def test_every_kind_of_layer_is_public() -> None:
    assert {cls.__name__ for cls in LAYER_KINDS.values()} <= set(refsim.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'refsim' has no attribute 'scatter'"):
        refsim.scatter  # noqa: B018


def test_importing_refsim_imports_nothing_else() -> None:
    code = "import sys, refsim; print(sorted({'numpy', 'numba', 'h5py', 'click'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

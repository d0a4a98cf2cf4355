"""An empty panel of an unseen figure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from matplotlib.axes import Axes

from refsim.plots.style import new_figure, styled


@pytest.fixture
def ax() -> Iterator[Axes]:
    with styled():
        yield new_figure().subplots()

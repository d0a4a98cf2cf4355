"""Labels as data sets keep them: integers, one-hot rows, columns, whole numbers stored as floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import DataError

Array = NDArray[Any]
Labels = NDArray[np.int64]


def as_labels(values: Array, where: str) -> Labels:
    """The classes (N,).

    Parameters
    ----------
    values : (N,) or (N, 1) whole numbers, or (N, K) rows with a single one among zeros

    Raises
    ------
    DataError
        Something else.
    """
    if values.dtype.kind not in "iufb" or values.ndim not in (1, 2) or not values.size:
        raise DataError(f"{where}: labels must be integers (N,), (N, 1) or one-hot (N, K), got {_shown(values)}")
    if values.ndim == 2 and values.shape[1] > 1:
        hot = values == 1
        if not ((hot.sum(axis=1) == 1).all() and (hot | (values == 0)).all()):
            raise DataError(f"{where}: labels {_shown(values)} are not one-hot: a row must have a single 1 and zeros")
        return np.asarray(hot.argmax(axis=1), np.int64)
    flat = values.reshape(-1)
    if flat.dtype.kind == "f" and not (np.isfinite(flat).all() and (flat == np.rint(flat)).all()):
        raise DataError(f"{where}: labels must be integers (N,), got {_shown(values)} that are not whole")
    if flat.dtype.kind == "b":
        raise DataError(f"{where}: labels must be integers (N,), got {_shown(values)}")
    return flat.astype(np.int64)


def _shown(values: Array) -> str:
    return f"{values.dtype} {values.shape}"

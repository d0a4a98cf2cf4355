import gzip
import struct
from pathlib import Path

import numpy as np
import pytest


def write_idx(path: Path, values: np.ndarray) -> None:
    header = b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


@pytest.fixture(scope="session")
def tiny_fashion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like Fashion-MNIST's: ten classes of noise around ten fixed images."""
    folder = tmp_path_factory.mktemp("fashion")
    rng = np.random.default_rng(0)
    prototypes = rng.integers(0, 256, (10, 28, 28))
    for prefix, n in (("train", 600), ("t10k", 100)):
        labels = np.arange(n) % 10
        images = (prototypes[labels] + rng.integers(-60, 60, (n, 28, 28))).clip(0, 255)
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return folder

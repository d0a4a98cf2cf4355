"""What was computed with what: refsim, Python, the libraries, and what the processor can do."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass

from refsim.version import __version__

WORTH_SAYING = ("avx2", "fma", "avx512f", "avx512vnni", "avx512bf16", "neon", "sve")
"""Features of a processor on which the speed of the kernels depends."""


@dataclass(frozen=True, kw_only=True)
class Versions:
    """Versions of what decides speed, and, should there be a bug, numbers.

    cpu
        As LLVM names it; features: those of `WORTH_SAYING` that it has.
    """

    refsim: str
    python: str
    numpy: str
    numba: str
    llvm: str
    system: str
    cpu: str
    features: tuple[str, ...]

    @classmethod
    def here(cls) -> Versions:
        """Of this process."""
        import numba
        import numpy
        from llvmlite import binding

        has = binding.get_host_cpu_features()
        return cls(
            refsim=__version__,
            python=platform.python_version(),
            numpy=numpy.__version__,
            numba=numba.__version__,
            llvm=".".join(map(str, binding.llvm_version_info)),
            system=f"{platform.system()} {platform.machine()}",
            cpu=binding.get_host_cpu_name(),
            features=tuple(each for each in WORTH_SAYING if has.get(each)),
        )

    def to_json(self) -> dict[str, object]:
        """As it stands in a report."""
        return asdict(self)

    def lines(self) -> list[str]:
        """A line each, for people."""
        return [
            f"refsim, version {self.refsim}",
            f"Python {self.python}, NumPy {self.numpy}, Numba {self.numba}, LLVM {self.llvm}",
            f"{self.system}, {self.cpu}: {' '.join(self.features) or 'no vector features known'}",
        ]

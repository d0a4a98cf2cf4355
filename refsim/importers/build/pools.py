"""Pools, and means over the plane."""

from __future__ import annotations

from collections.abc import Sequence

from refsim.importers.build.shapes import Shapes
from refsim.importers.build.values import pair
from refsim.importers.operators import (
    AvgPool,
    MaxPool,
    Pads,
)


class Pools(Shapes):
    """Pools, and means over the plane."""

    def avg_pool(
        self, out: str, x: str, *, kernel: Sequence[int], stride: Sequence[int], pads: Pads, ceil: bool
    ) -> None:
        """Average pooling."""
        b, c, h, w = self.plane(x)
        kernel, stride = pair(kernel), pair(stride)
        if kernel == (1, 1) and stride == (1, 1) and not any(pads):
            self.alias(out, x)
        elif any(pads):
            self.foreign(out, (x,), "average pools with padding have windows of unequal size; pool without padding")
        elif ceil and any((n - k) % s for n, k, s in zip((h, w), kernel, stride)):
            self.foreign(out, (x,), "ceil_mode cuts windows at the border; pool without it")
        else:
            shape = (b, c, *((n - k) // s + 1 for n, k, s in zip((h, w), kernel, stride)))
            self._emit(AvgPool, out, (x,), shape, kernel=kernel, stride=stride)

    def adaptive_avg_pool(self, out: str, x: str, size: Sequence[int | None]) -> None:
        """Average pooling to a given size; None keeps it."""
        _, _, h, w = self.plane(x)
        wanted = [n if k is None else k for n, k in zip((h, w), size, strict=True)]
        if any(k < 1 or n % k for n, k in zip((h, w), wanted)):
            self.foreign(
                out,
                (x,),
                f"adaptive average pool {(h, w)} to {tuple(wanted)}: windows of unequal position; give it a size that "
                "divides its input",
            )
            return
        kernel = (h // wanted[0], w // wanted[1])
        self.avg_pool(out, x, kernel=kernel, stride=kernel, pads=(0, 0, 0, 0), ceil=False)

    def max_pool(
        self,
        out: str,
        x: str,
        *,
        kernel: Sequence[int],
        stride: Sequence[int],
        pads: Pads,
        dilation: Sequence[int],
        ceil: bool,
    ) -> None:
        """Maximum pooling."""
        b, c, h, w = self.plane(x)
        kernel, stride, dilation = pair(kernel), pair(stride), pair(dilation)
        rest = [n + pads[i] + pads[i + 2] - dilation[i] * (kernel[i] - 1) - 1 for i, n in enumerate((h, w))]
        if pads[:2] != pads[2:]:
            self.foreign(
                out, (x,), f"a max pool padded unequally, {pads} (top, left, bottom, right), has no layer here"
            )
        elif ceil and any(n % s for n, s in zip(rest, stride)):
            self.foreign(out, (x,), "ceil_mode cuts windows at the border; pool without it")
        else:
            shape = (b, c, *(n // s + 1 for n, s in zip(rest, stride)))
            self._emit(MaxPool, out, (x,), shape, kernel=kernel, stride=stride, padding=pads[:2], dilation=dilation)

    def mean(self, out: str, x: str, axes: Sequence[int], *, keepdims: bool) -> None:
        """The mean over the whole plane."""
        _, _, h, w = self.plane(x)
        if sorted(axis % 4 for axis in axes) != [2, 3]:
            self.foreign(out, (x,), f"mean over the axes {tuple(axes)}; only over height and width")
            return
        pooled = out if keepdims else f"{out} before flatten"
        self.avg_pool(pooled, x, kernel=(h, w), stride=(h, w), pads=(0, 0, 0, 0), ceil=False)
        if not keepdims:
            self.flatten(out, pooled, 1, -1)

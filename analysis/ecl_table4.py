"""ECL Table 4: energy of the converted VGG-16 (CIFAR-100), every printed cell.

Claim: 77 fJ per synaptic operation, 12.5 pJ per FLOP; ANN 4.170 mJ. The ANN's cell comes out exactly as what thop
counts for the official VGG-16 (one per MAC, four per BN element, one per pool output), so a MAC is charged as one FLOP:
half of what QCFS charges for it. Of the SNN only energies are printed; ours are the operations they stand for.
"""

from __future__ import annotations

from collections.abc import Sequence

from common import options, table
from qcfs_tableS5 import agrees
from vgg16 import vgg16

from refsim.analysis.energy import BUILT_IN
from refsim.analysis.operations import ann_operations

SNN = ("0.004", "0.008", "0.017", "0.034", "0.068")


def main(argv: Sequence[str] | None = None) -> None:
    """Print every cell beside ours."""
    options(__doc__, argv)
    model = BUILT_IN["ecl2025"]
    per_sop = model.joules["sop"]
    rows: list[list[object]] = [["SNN, cell", "mJ printed", "GSOP", "+-", "mJ of those"]]
    for i, printed in enumerate(SNN, start=1):
        gsop = round(float(printed) * 1e-3 / per_sop / 1e9, 3)
        mj = gsop * 1e9 * per_sop / 1e-3
        assert agrees(mj, printed)
        rows.append([i, printed, f"{gsop:.3f}", f"{0.0005e-3 / per_sop / 1e9:.4f}", f"{mj:.5f}"])
    table(rows)
    counted = ann_operations(vgg16((4096, 4096, 100)))
    thop = counted.mac_dense + 4 * counted.bn_element + counted.pool_output
    parts = [("MAC", counted.mac_dense), ("4 x BN elements", 4 * counted.bn_element), ("pool", counted.pool_output)]
    table(
        [
            ["ANN", "operations", "mJ ours", "mJ printed"],
            *([name, f"{n:,}", f"{n * 12.5e-12 / 1e-3:.6f}", ""] for name, n in parts),
            ["all, as thop", f"{thop:,}", f"{model.ann(counted) / 1e-3:.6f}", "4.170"],
        ]
    )
    ratio = BUILT_IN["qcfs2022"].ann(counted) / model.ann(counted)
    print(f"  the same network by QCFS's prices: {ratio:.2f} times as much; the printed ANN cells: {7.85 / 4.17:.2f}")


if __name__ == "__main__":
    main()

"""QCFS Table S5: energy of the converted VGG-16 (CIFAR-100), every printed cell from its printed operations.

Claim: 77 fJ per synaptic operation and 12.5 pJ per FLOP give the printed energies. One cell is a decimal error
(SNNC-AP at T = 32: 0.660 mJ is printed, 0.857 GSOP are 0.066 mJ). The ANN's 0.628 GFLOP are two per MAC.
"""

from __future__ import annotations

from collections.abc import Sequence

from common import options, table
from vgg16 import vgg16

from refsim.analysis.energy import BUILT_IN
from refsim.analysis.operations import ann_operations

# Printed GSOP and printed mJ, from left to right in each row.
CELLS = {
    "QCFS": [
        ("0.094", "0.007"),
        ("0.185", "0.014"),
        ("0.364", "0.028"),
        ("0.724", "0.056"),
        ("1.444", "0.111"),
        ("2.884", "0.222"),
    ],
    "RTS": [("0.508", "0.039"), ("0.681", "0.052")],
    "SNNC-AP": [("0.857", "0.660"), ("1.22", "0.094")],
}


def agrees(value: float, printed: str) -> bool:
    """Whether the value rounds to what is printed."""
    return abs(value - float(printed)) <= 0.5 * 10.0 ** -len(printed.partition(".")[2]) + 1e-12


def main(argv: Sequence[str] | None = None) -> None:
    """Print every cell beside ours."""
    options(__doc__, argv)
    model = BUILT_IN["qcfs2022"]
    rows: list[list[object]] = [["row, cell", "GSOP", "mJ printed", "mJ ours", ""]]
    for name, cells in CELLS.items():
        for i, (gsop, printed) in enumerate(cells, start=1):
            mj = float(gsop) * 1e9 * model.joules["sop"] / 1e-3
            rows.append([f"{name} {i}", gsop, printed, f"{mj:.5f}", "" if agrees(mj, printed) else "MISPRINT"])
    counted = ann_operations(vgg16((100,)))
    thop = counted.mac_dense + 4 * counted.bn_element
    gflop = 2 * round(thop / 1e9, 3)
    mj = gflop * 1e9 * model.joules["ann_mac_dense"] / 2 / 1e-3
    rows.append(["ANN", "0.628 GFLOP", "7.85", f"{mj:.5f}", "" if agrees(mj, "7.85") else "MISPRINT"])
    table(rows)
    print(f"  ANN: thop counts {thop:,} for VGG-16 with one linear layer; twice 0.314 G is the printed 0.628 GFLOP.")
    print(f"  {model.describe()[1]}")


if __name__ == "__main__":
    main()

"""Numbers the papers print twice, or copy from each other, set side by side (findings F2, F3, F4, F9 of the notes).

Nothing is simulated here: the numbers are the papers', the sums are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from common import options, table

QCFS_RESNET18 = {2: 75.44, 4: 90.43, 8: 94.82, 16: 95.92}
OPI_RESNET18 = {8: 75.44, 16: 90.43, 32: 94.82, 64: 95.92}


def main(argv: Sequence[str] | None = None) -> None:
    """Print them."""
    options(__doc__, argv)
    print("F2: ECL App. D gives these as its accuracies at one time step; its Table 7 has them at T = 2")
    table(
        [
            ["", "printed as T=1", "Table 7, T=1", "Table 7, T=2"],
            ["CIFAR-10", "94.35", "85.33", "94.35"],
            ["CIFAR-100", "73.78", "65.70", "73.78"],
        ]
    )
    print(
        "F3: VGG-16, CIFAR-10, L = 4, T = 1: the dual threshold is IF there, so the two must agree on the same network"
    )
    table([["ECL", "QCFS", "difference"], ["87.27", "88.41", f"{87.27 - 88.41:+.2f}"]])
    print("F4: ResNet-18, CIFAR-10: QCFS's row is, digit for digit, OPI's row at four times the steps")
    table(
        [
            ["QCFS T", *QCFS_RESNET18],
            ["QCFS %", *QCFS_RESNET18.values()],
            ["OPI T", *OPI_RESNET18],
            ["OPI %", *OPI_RESNET18.values()],
        ]
    )
    same = list(QCFS_RESNET18.values()) == list(OPI_RESNET18.values())
    print(f"    equal: {same}; gains at T = 2 that rest on 75.44: ECL {94.75 - 75.44:+.2f}, NQ +18.28")
    print("F9: RTS, VGG-16, CIFAR-100, T = 32: QCFS prints 7.64, ECL and NQ print 69.80")


if __name__ == "__main__":
    main()

"""NQ Tables 1, 2: networks trained with NQ against networks trained with QCFS, the same seeds and epochs.

Claim: inducing the noise of the conversion while the ANN trains raises the accuracy of the SNN at few steps (by 18.28
points at T = 2 for a ResNet on CIFAR-10; that baseline is doubtful, docs/notes-on-the-papers.md F4). Name networks of
both kinds by -w, one of each kind for each seed; the method and the seed that their files name tell them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev

from common import NEURONS, Study, accuracies, options, powers_of_two, table


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds, in points."""
    return f"{mean(values):.2f} +- {stdev(values):.2f}" if len(values) > 1 else f"{values[0]:.2f}"


def main(argv: Sequence[str] | None = None) -> None:
    """Print mean and spread over seeds, and the gain of NQ seed by seed."""
    args = options(__doc__, argv, T=8)
    steps = powers_of_two(args.T)
    if not args.weights:
        raise SystemExit("name networks trained with QCFS and with NQ by -w, one of each for each seed")
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for path in args.weights:
        study = Study.load(args, path)
        method, seed = (study.network.metadata.get(key, "?") for key in ("method", "training_seed"))
        ann = 100 * study.ann()
        for label, kind in NEURONS.items():
            by_seed = found.setdefault((method, label), {})
            if seed in by_seed:
                raise SystemExit(f"{path}: a second {method} network with seed {seed}")
            by_seed[seed] = [
                ann,
                *(100 * a for a in accuracies(study.run(study.with_neuron(kind), args.T), steps).accuracy),
            ]
    print(f"  {len(study.images)} images; accuracies in %, mean and standard deviation over seeds")
    rows: list[list[object]] = [["trained with", "neuron", "seeds", "ANN", *(f"T={t}" for t in steps)]]
    for (method, kind), by_seed in sorted(found.items(), key=lambda each: each[0][::-1]):
        rows.append([method, kind, len(by_seed), *map(spread, zip(*by_seed.values()))])
    for kind in NEURONS:
        nq, qcfs = (found.get((method, kind), {}) for method in ("nq", "qcfs"))
        if pairs := [[a - b for a, b in zip(nq[seed], qcfs[seed])] for seed in nq.keys() & qcfs.keys()]:
            rows.append(["nq - qcfs", kind, len(pairs), *map(spread, zip(*pairs))])
    table(rows)


if __name__ == "__main__":
    main()

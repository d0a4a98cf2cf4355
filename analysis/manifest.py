"""weights/MANIFEST.json: what the shipped networks are, how they were made, and how accurate they are.

Runs the ANN, and the SNN with IF and with dual-threshold neurons, on the images of --data (the test set), and writes or
replaces the entry of each network named by -w.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import NEURONS, ROOT, Study, options, powers_of_two, table

from refsim.formats.weights.locate import find_weights

MANIFEST = ROOT / "weights" / "MANIFEST.json"


def entry(study: Study, T: int) -> dict[str, Any]:
    """Accuracies in % and SOPs per image at T = 1, 2, 4, ..."""
    steps = powers_of_two(T)
    measured: dict[str, Any] = {"images": len(study.images), "ann": round(100 * study.ann(), 2)}
    for kind in NEURONS.values():
        result = study.run(study.with_neuron(kind), T)
        sops = sum(each.unit for each in result.ops.values()).cumsum()
        measured[kind] = {str(t): round(100 * int(result.correct[t - 1]) / result.n_labelled, 2) for t in steps}
        measured[f"{kind}_sops_per_image"] = {str(t): round(int(sops[t - 1]) / result.n_images) for t in steps}
    return measured


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    args = options(__doc__, argv, T=32)
    manifest = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else {}
    rows: list[list[object]] = [["network", "neuron", "ANN %", *(f"T={t}" for t in powers_of_two(args.T))]]
    for name in args.weights or [None]:
        path, study = find_weights(name), Study.load(args, name)
        metadata = sorted(study.network.metadata.items())
        made = {key: value for key, value in metadata if key.startswith(("ann_", "training_"))}
        measured = entry(study, args.T)
        manifest[path.name] = {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "content_sha256": study.file.sha256,
            "bytes": path.stat().st_size,
            **made,
            "test": {"data": Path(study.images.path).name if study.images.path else "samples of the file", **measured},
        }
        for kind in NEURONS.values():
            rows.append([path.name, kind, measured["ann"], *(f"{a:.2f}" for a in measured[kind].values())])
    table(rows)
    MANIFEST.parent.mkdir(exist_ok=True)
    MANIFEST.write_text(json.dumps(dict(sorted(manifest.items())), indent=1) + "\n")
    print(f"wrote {MANIFEST.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

"""What the scripts share: their options, a network with images, runs of it, tables, and where figures go."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import refsim
from refsim.analysis.statistics import wilson_interval
from refsim.engine.batches import run_ann, run_snn
from refsim.plots.accuracy import Accuracies
from refsim.plots.style import new_figure, save_figure, styled

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "docs" / "figures"


def options(
    text: str | None, argv: Sequence[str] | None, T: int | None = None, limit: int | None = None
) -> argparse.Namespace:
    """Parse a script's options; with T, the ones of a script that runs a network for T steps."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", help="write the figure here (.png, .svg, .pdf) and not to docs/figures")
    if T is not None:
        parser.add_argument(
            "-w", "--weights", action="append", help="weight file [default: the network in the package]"
        )
        parser.add_argument("-T", type=int, default=T, help=f"time steps [default: {T}]")
        parser.add_argument(
            "--limit", type=int, default=limit, help=f"images of the file, evenly strided [default: {limit or 'all'}]"
        )
        parser.add_argument("--threads", type=int, default=1)
        parser.add_argument("--data", help="data set, padded to the network's input [default: the file's images]")
    return parser.parse_args(argv)


NEURONS = {"IF": "if", "dual": "dual"}
"""The two neurons that a study sets side by side: what tables call them, and `Study.with_neuron`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """A weight file, and the images that it is run on."""

    file: refsim.WeightFile
    images: refsim.Images
    threads: int

    @classmethod
    def load(cls, args: argparse.Namespace, weights: str | None = None) -> Study:
        """What the options ask for; of several weight files the one named, or the first."""
        file = refsim.load(weights or (args.weights or [None])[0])
        images = refsim.open_images(file, args.data, limit=args.limit, pad=args.data is not None)
        return cls(file=file, images=images, threads=args.threads)

    @property
    def network(self) -> refsim.Network:
        """Of the weight file."""
        return self.file.network

    @property
    def title(self) -> str:
        """Network, images and weights in one line."""
        return f"{self.network.name}, {len(self.images)} images, weights {self.file.sha256[:12]}"

    def neurons(self, change: Any) -> refsim.Network:
        """The network with `change(neuron)` in place of every neuron."""
        return self.network.with_neurons({each.name: change(each.neuron) for each in self.network.spiking})

    def with_neuron(self, kind: str) -> refsim.Network:
        """The network with "if" or "dual" neurons."""
        return self.network.with_kind(kind)

    def run(self, network: refsim.Network, T: int, **more: Any) -> refsim.Result:
        """Simulate all images."""
        plan = refsim.compile_network(network)
        return run_snn(plan, self.images.data, self.images.indices, T, threads=self.threads, **more)

    def ann(self) -> float:
        """Accuracy of the source ANN on the same images."""
        plan = refsim.compile_network(self.network, fold=False)
        return run_ann(plan, self.images.data, self.images.indices, threads=self.threads) / len(self.images)


def accuracies(result: refsim.Result, steps: Sequence[int] | None = None) -> Accuracies:
    """Accuracy after these numbers of steps (default: all) with its 95 % Wilson interval."""
    steps = range(1, result.T + 1) if steps is None else steps
    n = result.n_labelled
    bounds = [wilson_interval(int(result.correct[t - 1]), n) for t in steps]
    low, high = zip(*bounds)
    return Accuracies(list(steps), [int(result.correct[t - 1]) / n for t in steps], list(low), list(high))


def powers_of_two(T: int) -> list[int]:
    """1, 2, 4, ... up to T."""
    return [1 << i for i in range(T.bit_length())]


def table(rows: Sequence[Sequence[object]]) -> None:
    """Print rows of cells in columns; the first row is the head."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(texts[0]))]
    for row in texts:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        print("  " + "  ".join(cells).rstrip())


def publish(figure: Any, script: str, output: str | None) -> None:
    """Write a script's figure, to docs/figures unless told otherwise."""
    path = Path(output) if output else FIGURES / f"{Path(script).stem}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, path)
    print(f"figure: {path.name}")


def source_L(network: refsim.Network) -> int:
    """Quantization steps of the source ANN's activations, 0 if the file does not say."""
    activation = network.spiking[0].neuron.activation
    return (activation.L if activation else None) or 0


__all__ = [
    "NEURONS",
    "ROOT",
    "Study",
    "accuracies",
    "new_figure",
    "options",
    "powers_of_two",
    "publish",
    "source_L",
    "styled",
    "table",
]

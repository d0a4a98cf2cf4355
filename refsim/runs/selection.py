"""Which neurons and steps of a layer a recording keeps: `layer3.2:0,5,7@1,4`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod

from refsim.exceptions import UsageError
from refsim.formats.untrusted.text import clean
from refsim.model import Network

_NUMBERS = r"[0-9]{1,9}(-[0-9]{1,9})?(,[0-9]{1,9}(-[0-9]{1,9})?)*"
_FORM = re.compile(rf"(?P<layer>.+?)(:(?P<neurons>{_NUMBERS})?)?(@(?P<steps>{_NUMBERS}))?", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What of one spiking layer is kept.

    neurons
        Flat indices, row-major over (C, H, W), ascending; None: all.
    steps
        From 1, ascending; None: all steps of spikes, and of potentials the last.
    """

    neurons: tuple[int, ...] | None = None
    steps: tuple[int, ...] | None = None


def parse_selections(network: Network, T: int, texts: Collection[str]) -> Mapping[str, Selection]:
    """The selections that texts say, by the names of spiking layers.

    Parameters
    ----------
    texts
        LAYER, LAYER:NEURONS, LAYER@STEPS or LAYER:NEURONS@STEPS, the layer by name or by number from 1, numbers as in
        0,5,7-9.

    Raises
    ------
    UsageError
        Another text, or a layer, neuron or step that there is not.
    """
    found: dict[str, Selection] = {}
    for text in texts:
        match = _FORM.fullmatch(text)
        if match is None:
            raise UsageError(f"{clean(text, 60)!r} selects nothing: LAYER, LAYER:0,5,7 or LAYER:0-9@1,4")
        try:
            layer = network.find_spiking(match["layer"])
        except UsageError as error:
            words = clean(match["layer"], 60)
            raise UsageError(f"'{words}' is not one of counts, n, v, spikes, and {error}") from None
        size = prod(network.shapes[layer.name])
        if layer.name in found:
            raise UsageError(f"layer '{layer.name}' is selected twice; name all its neurons at once")
        found[layer.name] = Selection(
            neurons=_numbers(match["neurons"], 0, size - 1, f"layer '{layer.name}' has no neuron"),
            steps=_numbers(match["steps"], 1, T, "the run has no step"),
        )
    return found


def _numbers(text: str | None, least: int, most: int, what: str) -> tuple[int, ...] | None:
    if text is None:
        return None
    numbers: set[int] = set()
    for part in text.split(","):
        first, last = (int(each) for each in (part.split("-") * 2)[:2])
        for n in (first, last):
            if not least <= n <= most:
                raise UsageError(f"{what} {n}; there are {least} to {most}")
        numbers.update(range(first, last + 1))
    if not numbers:
        raise UsageError(f"'{text}' is empty: ranges go from the lower to the higher number")
    return tuple(sorted(numbers))

"""diff: where two networks, two runs, or refsim and another tool part."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.analysis.divergence import First, LayerDifference, compare_counts, compare_events, counts_of
from refsim.analysis.life import BITS, LifeMode, life_of, place_of
from refsim.analysis.margin import rounding_bound
from refsim.analysis.suspects import Scene, Suspect, suspects
from refsim.engine.batches import run_snn
from refsim.engine.modes import Mode
from refsim.engine.plan import compile_network
from refsim.engine.results import Result
from refsim.engine.simulator import simulate
from refsim.engine.trace import Trace
from refsim.exceptions import UsageError
from refsim.formats.images.inputs import Data, Images, open_images
from refsim.formats.images.preparation import Preparation
from refsim.formats.spike_lists import Events
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.parts import WeightFile
from refsim.model import Network, NeuronKind, Spiking
from refsim.reports.diff import Decision, Difference
from refsim.runs.happened import Happened
from refsim.runs.settings import Effort, Settings
from refsim.runs.sides import open_side

Array = NDArray[Any]
Indices = NDArray[np.int64]

MOST_EXPLAINED = 8
"""Images on which mistakes are tried."""

DEFAULT_IMAGES = 8
"""Images on which two weight files are compared, if nobody says how many."""


def diff(
    a: WeightFile | str | os.PathLike[str],
    b: WeightFile | str | os.PathLike[str],
    *,
    images: Images | Data = None,
    weights: WeightFile | None = None,
    T: int | None = None,
    neuron: NeuronKind | None = None,
    dtype: Mode | None = None,
    layers: Sequence[str] = (),
    limit: int | None = None,
    pad: bool = False,
    scale: float | None = None,
    currents: bool = False,
    resize: int | None = None,
    crop: int | None = None,
    explain: bool = False,
    threads: int | None = None,
) -> Difference:
    """Compare what two sides did on the same images, spike by spike: the first difference, and how it spreads.

    Parameters
    ----------
    a, b
        Each a weight file, which is simulated; a recording (`refsim.run(recording=...)`); a run directory, of which
        numbers of spikes are known; golden vectors (`refsim.export_golden`); or another tool's spikes as .npz, .h5 or
        .csv with the columns layer, t (from 1), neuron (flat index), and if there, sign and image.
    images, limit, pad, scale, currents, resize, crop
        As in `refsim.run`, for what is simulated. Where the other side says which images it ran, those are taken;
        another tool's `image` is the number of an image in the data set, or with `limit` its place among those chosen.
    weights
        The network of two recordings, to say how closely it decided, and why.
    T, neuron, dtype
        As in `refsim.run`; None: as the other side says, else 4 steps, the file's neurons, "exact".
    layers
        Compare these spiking layers only; by default all, and one that a list of spikes does not name was silent.
    explain
        Try the usual mistakes on the first layer that differs.

    Raises
    ------
    UsageError
        Sides that cannot be compared.
    FormatError, DataError, NetworkError
        Files that cannot be used.

    Examples
    --------
    >>> import refsim
    >>> refsim.diff(refsim.load(), refsim.load(), T=2, limit=2).equal
    True
    """
    sides = [open_side(each) for each in (a, b)]
    known = next((each for each in sides if isinstance(each, Happened)), None)
    file = weights or next((each for each in sides if isinstance(each, WeightFile)), None)
    if known is not None:
        neuron = neuron or (known.neuron or "file")  # type: ignore[assignment]
        dtype = dtype or (known.dtype or "exact")  # type: ignore[assignment]
        T = T or (min(each.T for each in sides if isinstance(each, Happened)) or 4)
    settings = Settings(T=T or 4, neuron=neuron or "file", dtype=dtype or "exact")
    preparation = Preparation(pad=pad, scale=scale, currents=currents, resize=resize, crop=crop)
    chosen = None if file is None else _images(file, images, known, limit, preparation)
    done = [
        each if isinstance(each, Happened) else _simulated(each, chosen, settings, threads)  # type: ignore[arg-type]
        for each in sides
    ]
    pairs = _pairs(done[0], done[1], layers, None if file is None else file.network)
    report = _compare(done[0], done[1], pairs, settings.T)
    if report.first is None or file is None or chosen is None or report.first.neuron is None:
        return report
    network = file.network.with_kind(settings.kinds[0])
    layer = network.find_spiking(report.first.layer)
    report = replace(report, decision=_decision(network, layer, chosen, settings, report.first))
    if not explain:
        return report
    theirs = done[1] if isinstance(sides[0], WeightFile) or weights is not None else done[0]
    name = dict(pairs)[layer.name] if theirs is done[1] else layer.name
    return replace(report, suspects=tuple(_explained(network, layer, chosen, settings, theirs, name, report)))


def _images(
    file: WeightFile, images: Images | Data, known: Happened | None, limit: int | None, preparation: Preparation
) -> Images:
    """Those that the other side has run, or those that are asked for."""
    if isinstance(images, Images):
        return images
    if known is None:
        limit = limit or DEFAULT_IMAGES
    opened = open_images(file, images, limit=limit, **asdict(preparation))
    if limit is not None or known is None:
        return opened
    indices = np.arange(max(known.n_images, 1)) if known.indices is None else known.indices
    if indices.max() >= len(opened.data):
        raise UsageError(
            f"{known.name}: ran image {indices.max()}; there are {len(opened.data)} images: name its data with --data"
        )
    return replace(opened, indices=indices, description=f"{len(indices)} images of {opened.description}")


def _simulated(file: WeightFile, images: Images, settings: Settings, threads: int | None) -> Happened:
    """What refsim does on these images."""
    network = file.network.with_kind(settings.kinds[0])
    found: dict[str, list[Events]] = {layer.name: [] for layer in network.spiking}
    done = 0

    def keep(part: Indices, trace: Trace, result: Result) -> None:
        nonlocal done
        for name, each in trace.populations.items():
            assert each.spikes is not None
            events = Events.of(each.spikes)
            found[name].append(replace(events, image=events.image + done))
        done += len(part)

    run_snn(
        compile_network(network, settings.dtype),
        images.data,
        images.indices,
        settings.T,
        threads=Effort(threads=threads).n_threads,
        record=("spikes",),
        on_batch=keep,
    )
    spikes = {
        name: Events(
            **{key: np.concatenate([getattr(each, key) for each in parts]) for key in ("image", "t", "neuron", "sign")}
        )
        for name, parts in found.items()
    }
    return Happened(
        name=clean(file.name),
        layers=tuple(spikes),
        ordered=True,
        T=settings.T,
        n_images=len(images),
        spikes=spikes,
        indices=images.indices,
        dtype=settings.dtype,
    )


def _pairs(a: Happened, b: Happened, only: Sequence[str], network: Network | None) -> list[tuple[str, str]]:
    """The layers that are compared, by their names on either side, in the order of the network."""
    if a.ordered and b.ordered:
        if len(a.layers) != len(b.layers):
            raise UsageError(f"{a.name} has {len(a.layers)} spiking layers, {b.name} has {len(b.layers)}")
        pairs = list(zip(a.layers, b.layers))
    else:
        order = a.layers if a.ordered else b.layers if b.ordered else tuple(dict.fromkeys(a.layers + b.layers))
        names = [_names(each, order) for each in (a, b)]
        pairs = [(names[0].get(layer, layer), names[1].get(layer, layer)) for layer in order]
        if network is not None and not (a.ordered or b.ordered):
            pairs.sort(key=lambda pair: [layer.name for layer in network.spiking].index(pair[0]))
    if not only:
        return pairs
    kept = [pair for i, pair in enumerate(pairs, start=1) if {*pair, str(i)} & set(only)]
    unknown = sorted(set(only) - {key for i, pair in enumerate(pairs, start=1) for key in (*pair, str(i))})
    if unknown:
        raise UsageError(f"no layer '{clean(unknown[0])}' to compare; there are {', '.join(p[0] for p in pairs)}")
    return kept


def _names(each: Happened, order: Sequence[str]) -> dict[str, str]:
    """By the network's name of a layer, what this side calls it: the name, or its number from 1."""
    found = {}
    for name in each.layers:
        if name in order:
            found[name] = name
        elif name.isdecimal() and 1 <= int(name) <= len(order):
            found[order[int(name) - 1]] = name
        else:
            raise UsageError(f"{each.name}: layer '{clean(name)}' is none of {', '.join(map(clean, order))}")
    return found


def _compare(a: Happened, b: Happened, pairs: list[tuple[str, str]], T: int) -> Difference:
    n_images = max(a.n_images, b.n_images)
    if a.indices is not None and b.indices is not None and not np.array_equal(a.indices, b.indices):
        raise UsageError(f"{a.name} and {b.name} are of different images")
    for each in (a, b):
        if each.T < T and each.ordered:
            raise UsageError(f"{each.name} has {each.T} steps, not {T}")
    by_neuron = a.spikes is not None and b.spikes is not None
    found: list[LayerDifference] = []
    for ours, theirs in pairs:
        if by_neuron:
            one, two = (_until(each.events(name), T) for each, name in ((a, ours), (b, theirs)))
            found.append(compare_events(ours, one, two, T))
        else:
            numbers = (_counts(each, name, T, n_images) for each, name in ((a, ours), (b, theirs)))
            found.append(compare_counts(ours, *numbers))
    return Difference(a=a.name, b=b.name, T=T, n_images=n_images, by_neuron=by_neuron, layers=tuple(found))


def _counts(each: Happened, layer: str, T: int, n_images: int) -> Array:
    if each.counts is not None:
        return each.counts[layer][:, :T]
    return counts_of(_until(each.events(layer), T), T, n_images)


def _until(events: Events, T: int) -> Events:
    """The events of the first T steps."""
    if not len(events) or events.t.max() <= T:
        return events
    kept = events.t <= T
    return Events(**{key: getattr(events, key)[kept] for key in ("image", "t", "neuron", "sign")})


def _decision(network: Network, layer: Spiking, images: Images, settings: Settings, first: First) -> Decision | None:
    """How closely refsim decided where the sides part."""
    shape = network.shapes[layer.name]
    assert first.neuron is not None
    if first.neuron >= int(np.prod(shape)) or first.image >= len(images):
        return None
    dtype: LifeMode = settings.dtype if settings.dtype in ("int8", "int16") else "float64"
    x = images[first.image : first.image + 1].currents()
    life = life_of(network, x, first.t, layer, place_of(layer, shape, (first.neuron,)), dtype)
    step = life.steps[-1]
    bound = rounding_bound(network, layer, first.t, float(np.abs(x).max(initial=0.0)), settings.dtype)
    return Decision(m=step.m, theta=life.theta, margin=step.margin, tie=step.margin <= bound)


def _explained(
    network: Network,
    layer: Spiking,
    images: Images,
    settings: Settings,
    theirs: Happened,
    name: str,
    report: Difference,
) -> list[Suspect]:
    """Try the usual mistakes on the first images, the one with the first difference among them."""
    assert report.first is not None
    events = theirs.events(name)
    first = max(0, min(report.first.image, len(images) - MOST_EXPLAINED))
    some = images[first : first + MOST_EXPLAINED]
    x, shape = some.currents(), network.shapes[layer.name]
    trace = simulate(compile_network(network, settings.dtype), x, settings.T, record=("spikes",))
    foreign = np.zeros((settings.T, len(some), int(np.prod(shape))), dtype=np.int8)
    kept = (events.image >= first) & (events.image < first + len(some)) & (events.t <= settings.T)
    kept &= events.neuron < foreign.shape[2]
    foreign[events.t[kept] - 1, events.image[kept] - first, events.neuron[kept]] = events.sign[kept]
    scene = Scene(
        network=network,
        layer=layer,
        x=x,
        spikes={key: each.spikes for key, each in trace.populations.items() if each.spikes is not None},
        bits=BITS[settings.dtype] if settings.dtype in ("int8", "int16") else 0,
    )
    return suspects(scene, foreign.reshape(settings.T, len(some), *shape))

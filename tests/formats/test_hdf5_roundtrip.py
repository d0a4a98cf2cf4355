"""Whatever network can be built can be saved, and comes back the same to the last bit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from refsim.formats.untrusted.content import content_sha256
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.encode import encode
from refsim.formats.weights.hdf5 import Golden, Samples, load, save
from refsim.model import (
    LAYER_KINDS,
    Activation,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    InputSpec,
    Layer,
    Linear,
    MaxMode,
    MaxPool2d,
    Network,
    Neuron,
    Pool,
    Spiking,
)

from .support import assert_same, digest_of, in_process

names = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/"), min_size=1, max_size=12).filter(
    lambda name: name not in ("input", ".") and name.isprintable()
)
weight_types = st.sampled_from(["f2", "f4", "f8", "i1", "i2", "i4", ">f4", ">f8", ">i2"])
positive = st.floats(2.0**-40, 2.0**40)
texts = st.text(max_size=20)


@st.composite
def arrays(draw: st.DrawFn, shape: tuple[int, ...], dtype: str = "f8") -> Any:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if "i" in dtype:
        return rng.integers(-100, 101, shape).astype(dtype)
    return (rng.normal(size=shape) * draw(st.sampled_from([1.0, 1e-6, 1e3]))).astype(dtype)


@st.composite
def neurons(draw: st.DrawFn, shape: tuple[int, ...]) -> Neuron:
    def parameter_shape() -> tuple[int, ...]:
        return draw(st.sampled_from([(), shape[:1], shape]))

    theta = np.exp2(draw(arrays(parameter_shape())).clip(-8, 8))
    more: dict[str, Any] = {}
    if draw(st.booleans()):
        mode = draw(st.sampled_from(["absolute", "relative"]))
        factor = -draw(st.floats(1e-6, 1.0))
        least = factor * (1.0 if mode == "relative" else float(theta.min()))
        more = {"theta_neg": np.full(parameter_shape(), least), "theta_neg_mode": mode}
    numbers = {"lambda_": positive, "shift": st.floats(0, 1, exclude_max=True), "delta": st.floats(0, 10)}
    source = st.builds(Activation, L=st.integers(0, 64), **numbers) | st.builds(
        Activation, L=st.none(), clipped=st.booleans(), **numbers
    )
    return Neuron(
        theta=theta,
        v0=draw(arrays(parameter_shape())),
        gate=draw(st.sampled_from(["net", "gross"])),
        reset=draw(st.sampled_from(["subtract", "zero"])),
        leak=draw(st.floats(0, 1)),
        activation=draw(st.none() | source),
        **more,
    )


class Builder:
    """Appends layers that fit what came before."""

    def __init__(self, draw: st.DrawFn, shape: tuple[int, ...]) -> None:
        self.draw, self.shape, self.last = draw, shape, "input"
        self.layers: list[Layer] = []

    def append(self, layer: Layer, shapes: tuple[tuple[int, ...], ...]) -> None:
        self.layers.append(layer)
        self.last, self.shape = layer.name, layer.output_shape(shapes)

    def name(self) -> str:
        taken = {layer.name for layer in self.layers}
        return self.draw(names.filter(lambda name: name not in taken))

    def weights(self, *shape: int) -> dict[str, Any]:
        arguments = {"weight": self.draw(arrays(shape, self.draw(weight_types)))}
        arguments["bias"] = self.draw(arrays(shape[:1]))
        if self.draw(st.booleans()):
            arguments["scale"] = self.draw(arrays(shape[:1]))
        return arguments

    def spiking(self) -> None:
        neuron = self.draw(neurons(self.shape))
        self.append(Spiking(name=self.name(), inputs=(self.last,), neuron=neuron), (self.shape,))

    def pool(self) -> None:
        kernel = tuple(self.draw(st.integers(1, n)) for n in self.shape[1:])
        stride = tuple(self.draw(st.integers(1, 3)) for _ in range(2))
        layer: Pool = AvgPool2d(name=self.name(), inputs=(self.last,), kernel=kernel, stride=stride)
        read = self.layers[-1] if self.layers else None
        one_size = not isinstance(read, Spiking) or read.neuron.theta.ndim < 3
        if one_size and self.draw(st.booleans()):
            padding = tuple(self.draw(st.integers(0, k // 2)) for k in kernel)
            mode = self.draw(st.sampled_from(get_args(MaxMode)))
            options = {"kernel": kernel, "stride": stride, "padding": padding, "mode": mode}
            layer = MaxPool2d(name=self.name(), inputs=(self.last,), **options)
        self.append(layer, (self.shape,))

    def conv(self) -> None:
        groups = self.draw(st.sampled_from([g for g in (1, 2, 3) if self.shape[0] % g == 0]))
        dilation, padding = (tuple(self.draw(st.integers(low, 2)) for _ in range(2)) for low in (1, 0))
        kernel = [
            self.draw(st.integers(1, min(3, (n + 2 * p - 1) // d + 1)))
            for n, p, d in zip(self.shape[1:], padding, dilation)
        ]
        c_out = groups * self.draw(st.integers(1, 3))
        layer = Conv2d(
            name=self.name(),
            inputs=(self.last,),
            stride=tuple(self.draw(st.integers(1, 3)) for _ in range(2)),
            padding=padding,
            dilation=dilation,
            groups=groups,
            **self.weights(c_out, self.shape[0] // groups, *kernel),
        )
        self.append(layer, (self.shape,))

    def residual(self) -> None:
        source, shape = self.last, self.shape
        layer = Conv2d(name=self.name(), inputs=(source,), **self.weights(shape[0], shape[0], 1, 1))
        self.append(layer, (shape,))
        inputs = self.draw(st.permutations([layer.name, source]))
        self.append(Add(name=self.name(), inputs=tuple(inputs)), (shape, shape))

    def linear(self, n_out: int) -> None:
        if len(self.shape) > 1 and self.draw(st.booleans()):
            self.append(Flatten(name=self.name(), inputs=(self.last,)), (self.shape,))
        n_in = int(np.prod(self.shape))
        self.append(Linear(name=self.name(), inputs=(self.last,), **self.weights(n_out, n_in)), (self.shape,))


@st.composite
def networks(draw: st.DrawFn) -> Network:
    shape = draw(st.tuples(*[st.integers(1, 4)] * 3))
    builder = Builder(draw, shape)
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            builder.pool()
        builder.conv()
        builder.spiking()
        if draw(st.booleans()):
            builder.residual()
            builder.spiking()
    if builder.layers and draw(st.booleans()):
        builder.linear(draw(st.integers(1, 4)))
        builder.spiking()
    n_classes = draw(st.integers(1, 4))
    builder.linear(n_classes)
    classes = draw(st.just(()) | st.lists(texts, min_size=n_classes, max_size=n_classes).map(tuple))
    keys = names.filter(lambda key: key not in ("format", "format_version", "name", "content_sha256"))
    return Network(
        name=draw(texts),
        input=InputSpec(
            shape=shape,
            scale=draw(positive),
            mean=draw(arrays(shape[:1])),
            std=np.exp(draw(arrays(shape[:1])).clip(-5, 5)),
            color=draw(st.sampled_from([None, "RGB", "L"])),
            dataset=draw(texts),
        ),
        layers=tuple(builder.layers),
        classes=classes,
        metadata=draw(st.dictionaries(keys, texts, max_size=4)),
    )


@st.composite
def extras(draw: st.DrawFn, network: Network) -> tuple[Samples | None, tuple[Golden, ...]]:
    n = draw(st.integers(0, 3))
    if n == 0:
        return None, ()
    c, h, w = network.input.shape
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    samples = Samples(
        images=rng.integers(0, 256, (n, h, w, c), dtype=np.uint8), labels=rng.integers(0, network.n_classes, n)
    )
    golden = []
    for _ in range(draw(st.integers(0, 2))):
        T, n_golden = draw(st.integers(1, 3)), draw(st.integers(1, n))
        counts = [{each.name: rng.integers(0, 99, (T, n_golden)) for each in network.spiking} for _ in range(2)]
        golden.append(
            Golden(
                T=T,
                neuron=draw(st.sampled_from(["if", "dual"])),
                logits=rng.normal(size=(T, n_golden, network.n_classes)),
                counts_pos=counts[0],
                counts_neg=counts[1],
            )
        )
    return samples, tuple(golden)


def cleaned(network: Network) -> Network:
    """The network with its free texts as they are stored."""
    from dataclasses import replace

    spec = replace(network.input, dataset=clean(network.input.dataset, None))
    return replace(
        network,
        name=clean(network.name, None),
        input=spec,
        classes=tuple(clean(name, None) for name in network.classes),
        metadata={key: clean(value, None) for key, value in network.metadata.items()},
    )


@settings(max_examples=60)
@given(st.data())
def test_save_and_load_are_inverse(data: st.DataObject) -> None:
    network = data.draw(networks())
    samples, golden = data.draw(extras(network))
    with tempfile.TemporaryDirectory() as folder, in_process():
        path = Path(folder) / "net.h5"
        digest = save(path, network, samples=samples, golden=golden)
        file = load(path)
    assert_same(file.network, cleaned(network))
    assert_same(file.samples, samples)
    assert_same(file.golden, golden)
    assert file.warnings == ()
    assert digest == file.sha256 == digest_of(file)


@settings(max_examples=60)
@given(st.data())
def test_the_digest_is_another_when_one_number_is_another(data: st.DataObject) -> None:
    network = data.draw(networks())
    tree = encode(network, None, ())
    before = content_sha256(tree)
    path = data.draw(st.sampled_from([path for path, node in tree.items() if node.data is not None]))
    array = np.array(tree[path].data)
    raw = array.reshape(-1).view(np.uint8)
    raw[data.draw(st.integers(0, raw.size - 1))] ^= 1 << data.draw(st.integers(0, 7))
    tree[path] = type(tree[path])(data=array)
    assert content_sha256(tree) != before


def test_the_strategy_draws_every_kind_of_layer() -> None:
    seen: set[str] = set()

    @settings(max_examples=40, database=None, derandomize=True)
    @given(networks())
    def collect(network: Network) -> None:
        seen.update(layer.kind for layer in network.layers)

    collect()
    assert seen == set(LAYER_KINDS)

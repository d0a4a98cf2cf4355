"""refsim: an exact, event-driven reference simulator for spiking networks obtained by ANN-SNN conversion.

    import refsim

    file = refsim.load("vgg16.h5")
    plan = refsim.compile_network(file.network)
    trace = refsim.simulate(plan, file.network.input.normalize(file.samples.images[:8]), T=4)
    refsim.predictions(trace.logits)  # (T, B): the class after each step

The names below are imported when they are first used, so that `import refsim` itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from refsim.version import __version__

_HOMES = {
    "Activation": "refsim.model",
    "Add": "refsim.model",
    "AvgPool2d": "refsim.model",
    "Conv2d": "refsim.model",
    "Flatten": "refsim.model",
    "InputSpec": "refsim.model",
    "Linear": "refsim.model",
    "MaxPool2d": "refsim.model",
    "Network": "refsim.model",
    "Neuron": "refsim.model",
    "RefsimError": "refsim.exceptions",
    "Result": "refsim.engine.results",
    "Samples": "refsim.formats.weights.parts",
    "Spiking": "refsim.model",
    "Trace": "refsim.engine.trace",
    "WeightFile": "refsim.formats.weights.parts",
    "compile_network": "refsim.engine.plan",
    "forward": "refsim.engine.simulator",
    "load": "refsim.formats.weights.hdf5",
    "predictions": "refsim.engine.results",
    "read_result": "refsim.runs.recording",
    "save": "refsim.formats.weights.hdf5",
    "simulate": "refsim.engine.simulator",
}

__all__ = [
    "Activation",
    "Add",
    "AvgPool2d",
    "Conv2d",
    "Flatten",
    "InputSpec",
    "Linear",
    "MaxPool2d",
    "Network",
    "Neuron",
    "RefsimError",
    "Result",
    "Samples",
    "Spiking",
    "Trace",
    "WeightFile",
    "__version__",
    "compile_network",
    "forward",
    "load",
    "predictions",
    "read_result",
    "save",
    "simulate",
]

if TYPE_CHECKING:
    from refsim.engine.plan import compile_network
    from refsim.engine.results import Result, predictions
    from refsim.engine.simulator import forward, simulate
    from refsim.engine.trace import Trace
    from refsim.exceptions import RefsimError
    from refsim.formats.weights.hdf5 import load, save
    from refsim.formats.weights.parts import Samples, WeightFile
    from refsim.model import (
        Activation,
        Add,
        AvgPool2d,
        Conv2d,
        Flatten,
        InputSpec,
        Linear,
        MaxPool2d,
        Network,
        Neuron,
        Spiking,
    )
    from refsim.runs.recording import read_result


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'refsim' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

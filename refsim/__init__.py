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

__version__ = "0.1.0"

_HOMES = {
    "Activation": "refsim.model",
    "Add": "refsim.model",
    "AvgPool2d": "refsim.model",
    "Conv2d": "refsim.model",
    "Flatten": "refsim.model",
    "InputSpec": "refsim.model",
    "Linear": "refsim.model",
    "Network": "refsim.model",
    "Neuron": "refsim.model",
    "RefsimError": "refsim.errors",
    "Result": "refsim.results",
    "Samples": "refsim.formats.parts",
    "Spiking": "refsim.model",
    "Trace": "refsim.simulator",
    "WeightFile": "refsim.formats.parts",
    "compile_network": "refsim.plan",
    "forward": "refsim.simulator",
    "load": "refsim.formats.hdf5",
    "predictions": "refsim.results",
    "read_result": "refsim.recording",
    "save": "refsim.formats.hdf5",
    "simulate": "refsim.simulator",
}

__all__ = [
    "Activation",
    "Add",
    "AvgPool2d",
    "Conv2d",
    "Flatten",
    "InputSpec",
    "Linear",
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
    from refsim.errors import RefsimError
    from refsim.formats.hdf5 import load, save
    from refsim.formats.parts import Samples, WeightFile
    from refsim.model import Activation, Add, AvgPool2d, Conv2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking
    from refsim.plan import compile_network
    from refsim.recording import read_result
    from refsim.results import Result, predictions
    from refsim.simulator import Trace, forward, simulate


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'refsim' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

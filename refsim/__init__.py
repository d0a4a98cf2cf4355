"""refsim: an exact, event-driven reference simulator for spiking networks obtained by ANN-SNN conversion.

    import refsim

    file = refsim.load()  # the small Fashion-MNIST network in the package; or a path, or "vgg16"
    run = refsim.run(file, T=4, neuron="dual", limit=100)
    run.accuracy, run.interval(4), run.sops_per_image, run.energy("horowitz45")
    refsim.layer_errors(file, layer=2, T=4, limit=100)[2].unevenness.mean
    refsim.compare(file, methods=["qcfs", "ecl"], T=(1, 2, 4), limit=100).to_pandas()

Every command of the command line is one such call and a printing, with the same defaults. Below them,
`compile_network`, `simulate` and `forward` work on arrays. The names are imported when they are first used, so that
`import refsim` itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from refsim.version import __version__

_HOMES = {
    "Activation": "refsim.model",
    "Add": "refsim.model",
    "AvgPool2d": "refsim.model",
    "Comparison": "refsim.reports.compare",
    "Conv2d": "refsim.model",
    "Difference": "refsim.reports.diff",
    "ErrorReport": "refsim.reports.errors",
    "Flatten": "refsim.model",
    "Images": "refsim.formats.images.inputs",
    "InputSpec": "refsim.model",
    "Linear": "refsim.model",
    "MaxPool2d": "refsim.model",
    "Network": "refsim.model",
    "Neuron": "refsim.model",
    "NeuronTrace": "refsim.reports.trace",
    "Page": "refsim.reports.page",
    "RefsimError": "refsim.exceptions",
    "Result": "refsim.engine.results",
    "Run": "refsim.reports.run",
    "Samples": "refsim.formats.weights.parts",
    "SnnRun": "refsim.reports.run",
    "Spiking": "refsim.model",
    "Trace": "refsim.engine.trace",
    "WeightFile": "refsim.formats.weights.parts",
    "compare": "refsim.runs.compare",
    "compile_network": "refsim.engine.plan",
    "convert": "refsim.runs.convert",
    "diff": "refsim.runs.diff",
    "export_golden": "refsim.exporters.golden",
    "export_nir": "refsim.exporters.nir",
    "forward": "refsim.engine.simulator",
    "layer_errors": "refsim.runs.errors",
    "load": "refsim.formats.weights.locate",
    "merge": "refsim.runs.merge",
    "open_images": "refsim.formats.images.inputs",
    "predictions": "refsim.engine.results",
    "read_result": "refsim.runs.recording",
    "report": "refsim.runs.report",
    "run": "refsim.runs.run",
    "save": "refsim.formats.weights.hdf5",
    "simulate": "refsim.engine.simulator",
    "trace": "refsim.runs.trace",
    "verify": "refsim.verification.verify",
}

__all__ = [
    "Activation",
    "Add",
    "AvgPool2d",
    "Comparison",
    "Conv2d",
    "Difference",
    "ErrorReport",
    "Flatten",
    "Images",
    "InputSpec",
    "Linear",
    "MaxPool2d",
    "Network",
    "Neuron",
    "NeuronTrace",
    "Page",
    "RefsimError",
    "Result",
    "Run",
    "Samples",
    "SnnRun",
    "Spiking",
    "Trace",
    "WeightFile",
    "__version__",
    "compare",
    "compile_network",
    "convert",
    "diff",
    "export_golden",
    "export_nir",
    "forward",
    "layer_errors",
    "load",
    "merge",
    "open_images",
    "predictions",
    "read_result",
    "report",
    "run",
    "save",
    "simulate",
    "trace",
    "verify",
]

if TYPE_CHECKING:
    from refsim.engine.plan import compile_network
    from refsim.engine.results import Result, predictions
    from refsim.engine.simulator import forward, simulate
    from refsim.engine.trace import Trace
    from refsim.exceptions import RefsimError
    from refsim.exporters.golden import export_golden
    from refsim.exporters.nir import export_nir
    from refsim.formats.images.inputs import Images, open_images
    from refsim.formats.weights.hdf5 import save
    from refsim.formats.weights.locate import load
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
    from refsim.reports.compare import Comparison
    from refsim.reports.diff import Difference
    from refsim.reports.errors import ErrorReport
    from refsim.reports.page import Page
    from refsim.reports.run import Run, SnnRun
    from refsim.reports.trace import NeuronTrace
    from refsim.runs.compare import compare
    from refsim.runs.convert import convert
    from refsim.runs.diff import diff
    from refsim.runs.errors import layer_errors
    from refsim.runs.merge import merge
    from refsim.runs.recording import read_result
    from refsim.runs.report import report
    from refsim.runs.run import run
    from refsim.runs.trace import trace
    from refsim.verification.verify import verify


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'refsim' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Network: the source ANN as a graph of layers, with the spiking neuron that replaces each activation.

A `Network` can be run as the ANN (its activations) and as the SNN (its neurons). Everything that does not fit
together is refused here, on construction, with the layer's name; whoever holds a `Network` need not check.
"""

from refsim.model.image import InputSpec
from refsim.model.layers import (
    INPUT,
    LAYER_KINDS,
    Add,
    AnyLayer,
    AvgPool2d,
    Conv2d,
    Flatten,
    Kind,
    Layer,
    Linear,
    MaxMode,
    MaxPool2d,
    Pair,
    Passive,
    Pool,
    Shape,
    Spiking,
)
from refsim.model.network import Network
from refsim.model.neuron import (
    DUAL_THETA_NEG,
    NEURON_KINDS,
    Activation,
    ActivationKind,
    Array,
    Floats,
    Neuron,
    NeuronKind,
)

__all__ = [
    "DUAL_THETA_NEG",
    "INPUT",
    "LAYER_KINDS",
    "NEURON_KINDS",
    "Activation",
    "ActivationKind",
    "Add",
    "AnyLayer",
    "Array",
    "AvgPool2d",
    "Conv2d",
    "Flatten",
    "Floats",
    "InputSpec",
    "Kind",
    "Layer",
    "Linear",
    "MaxMode",
    "MaxPool2d",
    "Network",
    "Neuron",
    "NeuronKind",
    "Pair",
    "Passive",
    "Pool",
    "Shape",
    "Spiking",
]

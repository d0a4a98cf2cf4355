"""Every method by its name, in the order in which tables show them."""

from __future__ import annotations

from dataclasses import replace

from refsim.exceptions import UsageError
from refsim.methods.balancing import Balanced
from refsim.methods.base import Method, Number
from refsim.methods.cos import Cos
from refsim.methods.dual import Dual
from refsim.methods.fixed import Diehl, Fixed, PerNeuron
from refsim.methods.positive_sum import PositiveSum
from refsim.methods.shift import Rts
from refsim.methods.snnc import Snnc
from refsim.methods.srp import Srp
from refsim.model import DUAL_THETA_NEG

SIGNED_THETA_NEG = -1e-5
"""Of signed IF neurons, in units of theta (Zou 2023): as good as 0, which itself would fire for ever."""

DUAL = "+dual"

_MAX = Number(what="the percentile of positive activations", default=100, least=1, most=100)
_PERCENTILE = replace(_MAX, default=99.9)
_BETA = Number(what="beta", default=0.8, least=0.01, most=1)
_STEPS = Number(what="the number of trial steps", default=4, least=1, most=1024, whole=True)

_ALL: tuple[Method, ...] = (
    Fixed(
        name="qcfs",
        source="QCFS (Bu 2022), Alg. 1",
        summary="theta = trained bound, v0 = theta / 2, IF",
        bounds="trained",
        v0=None,
    ),
    Fixed(
        name="ecl",
        source="ECL (Liu 2025), Eq. 4-5",
        summary="theta = trained bound or largest activation, v0 = theta / 2, dual threshold -0.001",
        bounds="either",
        v0=0.5,
        theta_neg=DUAL_THETA_NEG,
        number=_MAX,
    ),
    Fixed(
        name="tcl",
        source="TCL (Ho & Chang 2021)",
        summary="theta = trained bound, v0 = 0, IF",
        bounds="trained",
        v0=0.0,
    ),
    Fixed(
        name="opi",
        source="OPI (Bu 2022b)",
        summary="theta = trained bound or largest activation, v0 = theta / 2, IF",
        bounds="either",
        v0=0.5,
        number=_MAX,
    ),
    Fixed(
        name="signed",
        source="signed IF (Li, Ma & Furber 2022; Zou 2023)",
        summary="as opi, and negative spikes below -0.00001 theta",
        bounds="either",
        v0=0.5,
        theta_neg=SIGNED_THETA_NEG,
        mode="relative",
        number=_MAX,
    ),
    PerNeuron(
        name="snm",
        source="SNM (Wang 2022)",
        summary="theta of each neuron = its largest activation, v0 = 0, negative threshold -theta",
    ),
    Fixed(
        name="max",
        source="max normalisation (Diehl 2015; Rueckauer 2016)",
        summary="theta = largest activation, v0 = 0, IF",
        bounds="calibrated",
        v0=0.0,
        number=_MAX,
    ),
    Fixed(
        name="percentile",
        source="robust normalisation (Rueckauer 2017)",
        summary="theta = 99.9th percentile of positive activations, v0 = 0, IF",
        bounds="calibrated",
        v0=0.0,
        number=_PERCENTILE,
    ),
    Diehl(
        name="diehl",
        source="Diehl 2015, Alg. 2",
        summary="theta = largest activation or weight, v0 = 0, reset to zero (here with constant input)",
        bounds="calibrated",
        v0=0.0,
        reset="zero",
        number=_MAX,
    ),
    PositiveSum(
        name="theorem3",
        source="QCFS Theorem 3; Diehl 2015, Alg. 1",
        summary="theta = largest sum of positive weights x theta of the layer before; no biases allowed",
    ),
    Rts(
        name="rts",
        source="RTS (Deng & Gu 2021)",
        summary="theta = trained bound or largest activation, v0 = 0, bias + theta / (2 T)",
        bounds="either",
        v0=0.0,
        number=_MAX,
    ),
    Balanced(
        name="rmp",
        source="RMP (Han 2020)",
        summary="theta = 0.8 x largest current of the SNN, layer after layer, v0 = 0, soft reset",
        reset="subtract",
        number=_BETA,
    ),
    Balanced(
        name="spike-norm",
        source="Spike-Norm (Sengupta 2019)",
        summary="theta = largest current of the SNN, layer after layer, v0 = 0, reset to zero",
        reset="zero",
    ),
    Snnc(
        name="snnc",
        source="SNNC, light pipeline (Li 2021)",
        summary="theta of least squared error, bias + theta / (2 T), bias correction",
    ),
    Snnc(
        name="snnc-channel",
        source="SNNC, light pipeline (Li 2021)",
        summary="as snnc, theta of each channel",
        per_channel=True,
    ),
    Snnc(
        name="snnc-potential",
        source="SNNC (Li 2021)",
        summary="as snnc, correcting v0 of each neuron instead of the bias",
        correction="potential",
    ),
    Srp(
        name="srp",
        source="SRP (Hao 2023a)",
        summary="as qcfs; after 4 trial steps, neurons with v <= 0.001 theta are silenced",
        bounds="trained",
        v0=0.5,
        number=_STEPS,
    ),
    Cos(
        name="cos",
        source="COS (Hao 2023b)",
        summary="as qcfs; in each layer v0 is moved by one spike where 4 trial steps end with v < 0 or v >= theta",
        bounds="trained",
        v0=0.5,
        number=_STEPS,
    ),
)

METHODS: dict[str, Method] = {method.name: method for method in _ALL}


def find_method(text: str) -> Method:
    """The method that a text such as "opi", "percentile:99" or "percentile:99+dual" names.

    Raises
    ------
    UsageError
        There is none, or it cannot have that number or a negative threshold.
    """
    base, plus, _ = text.partition(DUAL)
    name, colon, number = base.partition(":")
    if name not in METHODS or text != base + plus:
        raise UsageError(f"no method {text!r}; there are {', '.join(METHODS)}, and each IF method with {DUAL}")
    method = METHODS[name]
    if colon:
        if method.number is None:
            raise UsageError(f"method {name} takes no number, got {text!r}")
        method = replace(method, value=method.number.parse(number, name))
    method = replace(method, name=base)
    if not plus:
        return method
    if method.per_image or method.signed:
        raise UsageError(f"method {name} has its own rule for what a neuron sends; {DUAL} is for IF methods")
    return Dual(name=text, source=method.source, summary=f"{method.summary}; dual threshold", inner=method)

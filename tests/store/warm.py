"""Imported once by the server that forks the children of runs.py: everything a run needs, compiled."""

import numpy as np

import refsim.cli.merge
import refsim.cli.run
import refsim.runs.study  # noqa: F401
from refsim.engine.batches import run_ann, run_snn
from refsim.engine.plan import compile_network
from refsim.formats.images.currents import InputCurrents
from tests.simulation.networks import raw_images, small_network

for dual in (False, True):
    network = small_network(dual)
    images = InputCurrents(network.input, raw_images(1), np.zeros(1, dtype=np.int64))
    run_snn(compile_network(network), images, np.arange(1), 2)
    run_ann(compile_network(network, fold=False), images, np.arange(1))

"""A PyTorch model in the user's own process: exported by torch.export, then read as an archive is."""

from __future__ import annotations

import io
import sys
from typing import Any

from refsim.exceptions import FormatError, UsageError
from refsim.formats.untrusted.text import clean
from refsim.importers.graphs import Source
from refsim.importers.operators import Graph
from refsim.importers.pt2 import read_pt2


def is_model(source: object) -> bool:
    """Whether it is a PyTorch module. PyTorch is not imported for that: who has a module has imported it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.nn.Module)


def read_model(model: Any, example: Any) -> tuple[Graph, Source]:
    """Export a model in evaluation mode; it keeps its mode and its parameters.

    Parameters
    ----------
    model
        A torch.nn.Module that takes images and returns logits.
    example : (B, C, H, W) tensor, or a tuple that holds it

    Raises
    ------
    UsageError
        No example.
    FormatError
        torch.export cannot trace the model, or what it traces does not fit together.
    """
    import torch

    where = type(model).__name__
    inputs = example if isinstance(example, tuple) else (example,)
    if len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor) or inputs[0].ndim != 4:
        raise UsageError(f"{where}: give an example input, a tensor (B, C, H, W): refsim.convert(model, example)")
    modes = {module: module.training for module in model.modules()}
    model.eval()
    buffer = io.BytesIO()
    try:
        with torch.no_grad():
            torch.export.save(torch.export.export(model, inputs), buffer)
    except Exception as error:  # whatever the user's own forward raises, and torch's own kinds
        lines = str(error).strip().splitlines()
        reason = clean(lines[0] if lines else "", 300)
        raise FormatError(f"{where}: torch.export cannot trace it: {type(error).__name__}: {reason}") from error
    finally:
        for module, training in modes.items():
            module.training = training
    size = buffer.seek(0, io.SEEK_END)
    buffer.seek(0)
    return read_pt2(buffer, size, where, None), Source(
        where=where, name=where, metadata={"source": where, "source_format": "torch.export"}
    )

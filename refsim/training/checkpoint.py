"""Checkpoints that survive a kill at any moment: written beside, synced, then renamed over the old one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from refsim.exceptions import FormatError
from refsim.formats.atomic import replacing
from refsim.formats.untrusted.opening import open_file
from refsim.importers.checkpoint import MAX_BYTES


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """Write `content` so that `path` holds the old file or the new one, never a part."""
    with replacing(path) as file:
        torch.save(content, file)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain Python values are accepted, nothing is executed."""
    try:
        with open_file(path, what="checkpoint", most=MAX_BYTES) as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except FormatError:
        raise
    except Exception as error:  # torch raises half a dozen unrelated types for a file that is not its own
        raise FormatError(f"{path}: not a readable checkpoint ({str(error).splitlines()[0]})") from error
    if not isinstance(content, dict):
        raise FormatError(f"{path}: expected a dictionary of tensors, got {type(content).__name__}")
    return content


def warm_start(model: torch.nn.Module, path: Path, *, readout: bool) -> list[str]:
    """Copy what fits from a checkpoint in the official key layout into `model`; return the keys left alone.

    A first convolution trained on RGB images is summed over its input channels where the model reads grey
    ones: that is what it would compute on a grey image repeated three times.

    Parameters
    ----------
    readout
        Also copy the last linear layers (`classifier.*`, `fc.*`), which belong to the old classes.
    """
    source = load(path)
    source = source.get("state_dict", source)
    target = model.state_dict()
    for key, value in target.items():
        if not readout and key.startswith(("classifier.", "fc.")):
            continue
        found = source.get(key)
        if found is None:
            continue
        if found.ndim == 4 and found.shape[1] == 3 and value.shape[1] == 1:
            found = found.sum(1, keepdim=True)
        if found.shape == value.shape:
            target[key] = found.to(value.dtype)
            source[key] = None
    model.load_state_dict(target)
    return [key for key in target if source.get(key, 0) is not None]

"""Devices by name, and tables moved to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..errors import InvalidGame


def resolve_device(name: str) -> torch.device:
    """A device: "auto" (CUDA if there is one, else the CPU), "cpu", "cuda" or "cuda:1".

    Raises:
        InvalidGame: a CUDA device is asked for and there is none, or the name is unknown.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidGame(f"device {name!r} is unknown; choose auto, cpu or cuda.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InvalidGame("there is no CUDA device here; use --device cpu or auto.")
    if device.type not in ("cpu", "cuda"):
        raise InvalidGame(f"device {name!r} is not supported; choose auto, cpu or cuda.")
    return device


def to_device(table: Any, device: torch.device, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """An array as a tensor on `device`."""
    return torch.as_tensor(np.asarray(table), dtype=dtype).to(device)

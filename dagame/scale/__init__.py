"""Torch and CUDA: devices, gradients through an equilibrium, deterministic sums. No mathematics of its own.

Importing this package loads torch; `import dagame` does not import it.
"""

from __future__ import annotations

from .device import resolve_device, to_device
from .equilibrium import equilibrium
from .segments import SegmentSum

__all__ = ["SegmentSum", "equilibrium", "resolve_device", "to_device"]

"""What draws completions: transformers in this process, a server, or vLLM, behind one interface."""

from .base import Drawn, Engine

__all__ = ["Drawn", "Engine"]

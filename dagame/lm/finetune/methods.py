"""Every method of `dagame finetune` by name: the file's checks, the run and the card read these."""

from __future__ import annotations

from .method import Method
from .played import GRPO
from .weighted import DPO, SFT

METHODS: dict[str, Method] = {method.name: method for method in (GRPO, SFT, DPO)}

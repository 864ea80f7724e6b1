"""JSON without NaN and infinities, as text and as lines."""

from __future__ import annotations

import json
import math
import re
from typing import Any

_NUMBERS = re.compile(r"(?<=\[)\n\s+(?:[-+.\deE]+,\n\s+)*[-+.\deE]+\n\s+(?=\])")
"""The inside of an indented list of numbers; text holds no line break in JSON."""


def json_text(value: Any, ensure_ascii: bool = False) -> str:
    """Strict JSON, NaN and infinities as null; a list of numbers is one line."""
    plain = _plain(value)
    text = json.dumps(plain, indent=2, ensure_ascii=ensure_ascii, allow_nan=False)
    return _NUMBERS.sub(lambda found: " ".join(found[0].split()), text) + "\n"


def json_line(value: Any) -> str:
    """One line of JSONL, strict as `json_text`."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)

"""Where a result comes from: command, time, machine and versions, for pages and JSON."""

from __future__ import annotations

import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "polars", "scipy", "torch", "transformers", "trl")


def provenance() -> dict[str, Any]:
    """Command line, date (UTC), dagame, Python, platform, and versions of the packages in use."""
    from . import __version__

    used = [name for name in PACKAGES if name in sys.modules]
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]) if sys.argv[0] else ""
    return {
        "command": command.encode("utf-8", "replace").decode("utf-8"),  # file names may be no text
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "dagame": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: found for name in used if (found := _version(name)) is not None},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

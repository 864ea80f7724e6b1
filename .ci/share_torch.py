"""Give the environment of this Python the torch of another, by hard links: python .ci/share_torch.py BASE.

torch is four fifths of an environment and the same in all of them; every other package is installed anew.
A hard link may be removed or replaced here without a change there; a symbolic link would be written through.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path


def link(source: str, target: str) -> None:
    """A hard link where both lie on one file system, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


if __name__ == "__main__":
    own = Path(sysconfig.get_path("purelib"))
    base = Path(sys.argv[1]).resolve() / own.relative_to(Path(sys.prefix))
    parts = [p for name in ("torch", "torch-*", "torchgen", "functorch") for p in base.glob(name)]
    if not any(part.name.endswith(".dist-info") for part in parts):
        sys.exit(f"{base} has no torch; make {sys.argv[1]} first, with the same Python.")
    for part in parts:
        shutil.copytree(part, own / part.name, copy_function=link)

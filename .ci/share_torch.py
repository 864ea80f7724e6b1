"""Give the environment of this Python the torch of another, by links: python .ci/layer.py BASE.

torch is four fifths of an environment and the same in all of them; every other package is installed anew.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

if __name__ == "__main__":
    own = Path(sysconfig.get_path("purelib"))
    base = Path(sys.argv[1]).resolve() / own.relative_to(Path(sys.prefix))
    parts = [p for name in ("torch", "torch-*", "torchgen", "functorch") for p in base.glob(name)]
    if not any(part.name.endswith(".dist-info") for part in parts):
        sys.exit(f"{base} has no torch; make {sys.argv[1]} first, with the same Python.")
    for part in parts:
        link = own / part.name
        link.unlink(missing_ok=True)
        link.symlink_to(part)

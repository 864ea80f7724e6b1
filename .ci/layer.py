"""Lay the environment of this Python over another: packages it lacks are those of BASE.

    .venv-newest/bin/python .ci/layer.py .venv

Its own packages come first on the path, so that pip installs other versions over those of BASE without
touching them, as it does in an environment with `--system-site-packages`.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

if __name__ == "__main__":
    own = Path(sysconfig.get_path("purelib"))
    base = Path(sys.argv[1]).resolve() / own.relative_to(Path(sys.prefix))
    if not base.is_dir():
        sys.exit(
            f"{base} is no folder of packages; make {sys.argv[1]} first, with the same Python."
        )
    (own / "base.pth").write_text(
        f"import site; site.addsitedir({str(base)!r})\n", encoding="utf-8"
    )

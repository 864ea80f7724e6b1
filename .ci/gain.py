"""Whether a demo gained what it trains for: python .ci/gain.py NUMBERS; exit code 1 if not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    moves = [
        (name, found["before"][name], found["after"][name])
        for name in ("agreement", "sampled_accuracy")
    ]
    print(", ".join(f"{name} {before:.3f} -> {after:.3f}" for name, before, after in moves))
    sys.exit(0 if all(after > before for _, before, after in moves) else "no gain")

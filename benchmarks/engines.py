"""One step of each training engine that is importable, its own code around our adapter, rewards recounted.

    python benchmarks/engines.py                 # every engine that is found, kept in results/engines.json
    python benchmarks/engines.py slime tinker    # those

Two questions in three phrasings are completed four times each by the embedded model, and pi0 is that model
with its output layer disturbed. The engine's own functions carry the completions to the adapter and the
payment to its training batch; `recount` computes the same advantages from the definition. docs/engines.md
says how each engine is installed.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
from engine_queues import nemo_rl, prime_rl, verl
from engine_single import slime, tinker

ENGINES = {
    "slime": (slime, "slime"),
    "tinker": (tinker, "tinker_cookbook"),
    "nemo_rl": (nemo_rl, "nemo_rl"),
    "prime_rl": (prime_rl, "prime_rl"),
    "verl": (verl, "verl"),
}
"""Each engine's step, and the module that shows whether it is there."""


def measured(name: str) -> dict[str, Any]:
    """The row of one engine: what ran, and how far its payment is from the recount."""
    step = ENGINES[name][0]()
    paid, right = step.pop("paid"), step.pop("wanted")
    return step | {
        "completions": len(paid),
        "largest_advantage": float(np.abs(right).max()),
        "largest_difference": float(np.abs(paid - right).max()),
    }


def main(names: list[str]) -> None:
    """Run the engines of these names, or those that are there, and keep their rows beside the others'."""
    import json

    from common import RESULTS, keep

    chosen = names or [name for name, (_, module) in ENGINES.items() if find_spec(module)]
    file = RESULTS / "engines.json"
    kept = json.loads(file.read_text())["rows"] if file.exists() else []
    rows = {row["engine"]: row for row in kept}
    rows |= {row["engine"]: row for row in map(measured, chosen)}
    keep("engines", [rows[name] for name in sorted(rows)])


if __name__ == "__main__":
    main(sys.argv[1:])

"""Answer-set programs: what a semantic key tells apart, and what the published metric does not.

    python paper_figs/fig14_asp/make.py

Data: benchmarks/results/asp_keys.json. (a) Share of near misses whose key is not that of the right program,
and of rewrites whose key is, on 24 problems of each family. (b) The published metric on the same
programs, 10 problems of each family: the share of right programs that are not equal to themselves with four
threads, and of rewrites that are called different with one. (c) On facts drawn without care: the share of
problems where the empty program passes, and of near misses that pass.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import COLOURS, PAGE, Data, figure, letters, main, results

PANELS = (
    ("semantic key", ("near misses different", "rewrites equal")),
    ("published, right ones refused", ("itself different, 4 threads", "rewrites different")),
    ("published, wrong ones passed", ("empty passes", "near misses pass")),
)


def compute() -> Data:
    """The shares by family."""
    rows = results("asp_keys")["rows"]
    columns = [name for _, names in PANELS for name in names]
    return {
        "families": [row["family"] for row in rows],
        "shares": {name: [row[name] for row in rows] for name in columns},
    }


def draw(data: Data) -> Any:
    """Three panels of bars, a family a line."""
    made = figure(PAGE, 2.7)
    axes = made.subplots(1, 3, sharey=True)
    place = np.arange(len(data["families"]))
    for one, (_, names) in zip(axes, PANELS, strict=True):
        for k, name in enumerate(names):
            one.barh(
                place + 0.36 * k - 0.18, data["shares"][name], 0.34, color=COLOURS[2 * k],
                hatch=("", "///")[k], edgecolor="white", linewidth=0.3, label=name,
            )  # fmt: skip
        one.set_xlim(0, 1.02)
        one.set_xlabel("share")
        one.legend(loc="lower center", bbox_to_anchor=(0.5, -0.5), fontsize=6.5, frameon=False)
    axes[0].set_yticks(place, data["families"], fontsize=6.5)
    axes[0].invert_yaxis()
    letters(axes, [title for title, _ in PANELS])
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)

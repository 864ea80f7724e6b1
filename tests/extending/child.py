"""What `test_extending.py` asks of the extended copy, in a process of its own: prints findings as JSON."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import mpmath as mp
import numpy as np

import dagame as dg

ROOT = Path(dg.__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
REFERENCE = np.array([[0.5, 0.3, 0.2, 0.0], [0.1, 0.0, 0.6, 0.3]])
COUNTS = np.array([[[3, 1, 0, 4], [2, 2, 2, 2]]])


def objective() -> dict:
    """Exported, solved to a certificate, judged by the referee, named, drawn at random, documented."""
    from referee import value_and_bound

    from dagame.games.random_games import OBJECTIVES, random_game_of
    from dagame.objectives.names import by_name

    phi = dg.KaniadakisDiversity(0.7, 0.4)
    game = dg.AlignmentGame(REFERENCE, phi, beta=0.6)
    solutions = {method: dg.solve(game, method) for method in ("auto", "newton", "anderson")}
    best = solutions["auto"]
    mp.mp.dps = 50
    value, bound = value_and_bound(REFERENCE, game.weights, phi, 0.6, best.log_policy)
    drawn = random_game_of("kaniadakis", np.random.default_rng(0), 2, 3)
    table = np.asarray(dg.estimators.reward_table(phi, 6, "jackknife"))
    return {
        "gaps": {method: float(s.certificate.relative_gap) for method, s in solutions.items()},
        "referee": [float(value) - float(best.value), float(bound - value), float(best.gap)],
        "command": type(by_name("kaniadakis", 2.0)).__name__,
        "random": "kaniadakis" in OBJECTIVES,
        "drawn": float(dg.solve(drawn).certificate.relative_gap),
        "table": bool(np.isfinite(table).all()),
        "public": "KaniadakisDiversity" in dir(dg),
    }


def solver() -> dict:
    """Solves, and plays rounds, by name."""
    game = dg.AlignmentGame(REFERENCE, dg.ShannonDiversity(0.5), beta=0.6)
    exact, found = dg.solve(game), dg.solve(game, "halfway")
    return {
        "off": float(np.abs(exact.marginals - found.marginals).max()),
        "gap": float(found.certificate.relative_gap),
        "run": [float(g) for g in dg.run(game, "halfway", 6).gaps],
        "class": dg.solvers.Halfway.__name__,
    }


def estimator() -> dict:
    """A table, counts of single answers and of whole marginals, a trainer's setting, the bench."""
    from dagame.bench import estimators as bench

    phi, spread = dg.ShannonDiversity(), dg.WorstCase(np.eye(2, 4))
    table = np.asarray(dg.estimators.reward_table(phi, 8, "quarter"))
    columns = dg.estimators.count_rewards(COUNTS, dg.Coherence(), "quarter").rewards
    rows = dg.estimators.count_rewards(COUNTS, spread, "quarter").rewards
    return {
        "table": table.tolist(),
        "counts": bool(np.isfinite(columns).all() and np.isfinite(rows).all()),
        "setting": dg.lm.GameSpec(phi, 0.1, estimator="quarter").estimator,
        "bench": "quarter" in bench.METHODS,
    }


def trainer() -> dict:
    """A file of `dagame finetune` names it, and its job has the rows drawn by weight."""
    from dagame.lm.finetune.config import read_config
    from dagame.lm.finetune.methods import METHODS

    folder = ROOT / "run"
    folder.mkdir()
    rows = [{"prompt": f"{k}?", "completion": str(k), "weight": 2.0 * (k % 2)} for k in range(8)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    text = f"model: none\noutput: {folder / 'out'}\nmethod: resampled\n"
    text += (
        f"data: {{samples: {folder / 'rows.jsonl'}}}\ntraining: {{use_cpu: true, bf16: false}}\n"
    )
    (folder / "run.yaml").write_text(text)
    config = read_config(folder / "run.yaml")
    job = METHODS[config.method].job(config, folder)
    return {"completions": [row["completion"] for row in job.prompts], "told": job.told}


def pages() -> dict:
    """The reference pages and the command line, as they are built."""
    hooks = runpy.run_path(str(ROOT / "docs" / "hooks.py"))
    read = {p: (ROOT / "docs" / p).read_text(encoding="utf-8") for p in PAGES}
    return {page: hooks["filled"](text) for page, text in read.items()} | {
        "command line": hooks["command_line_page"]()
    }


PAGES = ("reference/objectives.md", "reference/solvers.md", "choose.md")
PARTS = (objective, solver, estimator, trainer, pages)
print(json.dumps({part.__name__: part() for part in PARTS}))

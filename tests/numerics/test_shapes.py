"""Shapes in signatures: `pytest --shapes` refuses what does not fit, and states what the package does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jaxtyping")
pytest.importorskip("beartype")

CHILD = """
import json, sys
sys.path.insert(0, sys.argv[1])
import shape_checks
shape_checks.install()
import numpy as np
import dagame as dg
from dagame.objectives.pairing import pairing, weighted

wrong = {
    "weights": lambda: dg.Coherence().value_log(np.zeros((2, 3)), np.ones(4)),
    "batch": lambda: dg.Coherence().value_log(np.zeros((5, 2, 3)), np.ones((4, 2))),
    "no contexts": lambda: dg.GiniDiversity().reward_log(np.zeros(3), np.ones(1)),
    "integers": lambda: weighted(np.zeros((2, 2), int), np.ones(2)),
    "set": lambda: dg.SoftConstraint(dg.Cap([0], 0.5)).value_log(np.zeros((2, 3)), np.ones(3)),
}
refused = []
for name, call in wrong.items():
    try:
        call()
    except Exception as error:
        refused += [name] * (type(error).__name__ == "TypeCheckError")
right = float(pairing(np.ones((1, 2, 3)), np.log(np.full((1, 2, 3), 1 / 3)), np.ones(2) / 2)[0])
print(json.dumps([list(wrong), refused, right]))
"""


def test_shapes_that_do_not_fit_are_refused():
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", CHILD, tests], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    wrong, refused, right = json.loads(done.stdout)
    assert refused == wrong
    assert right == pytest.approx(1.0)

"""Results do not depend on what they must not depend on; docs/reproducibility.md lists each promise."""

import hashlib
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import polars as pl
import pytest
from budget import scale, settings
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.estimators import count_rewards
from dagame.games.random_games import OBJECTIVES, random_game_of
from dagame.lm import certificate_from_samples
from dagame.scale.streaming import answer_masses
from tests.kinds import ROWS, made, of_any_size, those

TOLERANCE = 1e-6
"""Of weights and rewards where bits are not promised: the root of the gap 1e-12 of solved samples."""

SEEDS = st.integers(0, 2**32 - 1)
SAMPLED = {
    name: made(name, 3.0, 3, 6)
    for name in those(lambda phi: phi.concave is True and not phi.on_traces, ROWS)
    if of_any_size(name)
}


@st.composite
def frames(draw):
    """A file of samples: some contexts miss, some answers are none, groups are uneven."""
    rng = np.random.default_rng(draw(SEEDS))
    size, answers = draw(st.integers(20, 120)), draw(st.integers(2, 6))
    keys = [None if a == 0 else f"a{a}" for a in rng.integers(0, answers, size)]
    return pl.DataFrame(
        {
            "class": rng.integers(0, 3, size),
            "context": rng.integers(0, 3, size),
            "answer": keys,
            "correct": rng.integers(0, 2, size).astype(float),
        }
    )


def solved(frame, objective):
    found = dg.Samples.from_answers(frame, "class", "context", correct="correct").solve(
        objective, beta=1.0
    )
    return found.rows.select("reward", "weight", "weight_normalised"), found


def bits(frame):
    return [column.to_numpy().tobytes() for column in frame]


def apart(one, other):
    """Largest difference of two tables, nulls alike, relative to 1 or the largest entry."""
    a, b = one.to_numpy().astype(float), other.to_numpy().astype(float)
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    size = max(1.0, np.nan_to_num(np.abs(a)).max(initial=0))
    return float(np.nan_to_num(np.abs(a - b)).max(initial=0)) / size


@settings(35)
@given(frames(), st.sampled_from(sorted(SAMPLED)), SEEDS)
def test_the_order_of_rows_changes_no_bit(frame, name, seed):
    order = np.random.default_rng(seed).permutation(len(frame))
    before, found = solved(frame, SAMPLED[name])
    after, again = solved(frame[order], SAMPLED[name])
    assert bits(before[order].select("reward", "weight")) == bits(after.select("reward", "weight"))
    assert apart(before[order], after) < 1e-14  # the weights' means are summed in the order of rows
    assert found.classes.equals(again.classes)
    for key in ("mean_value", "max_gap", "accuracy_equilibrium", "agreement_equilibrium"):
        assert found.summary[key] == again.summary[key]


@settings(30)
@given(frames(), st.sampled_from(sorted(SAMPLED)), SEEDS)
def test_names_of_classes_contexts_and_answers_do_not_matter(frame, name, seed):
    rng = np.random.default_rng(seed)
    answers = {f"a{k}": f"z{p}" for k, p in enumerate(rng.permutation(6))}
    renamed = frame.with_columns(
        pl.Series("class", [f"q{k}" for k in rng.permutation(3)[frame["class"].to_numpy()]]),
        pl.Series("context", rng.permutation(3)[frame["context"].to_numpy()]),
        pl.col("answer").replace(answers),
    )
    before, found = solved(frame, SAMPLED[name])
    after, again = solved(renamed, SAMPLED[name])
    assert apart(before, after) < TOLERANCE
    for key, allowed in (("mean_value", 1e-11), ("accuracy_equilibrium", TOLERANCE)):
        one, other = found.summary[key], again.summary[key]
        assert one is other is None or one == pytest.approx(other, abs=allowed)


@settings(20)
@given(frames(), st.sampled_from(sorted(SAMPLED)))
def test_a_class_does_not_see_the_others(frame, name):
    together, _ = solved(frame, SAMPLED[name])
    for k in frame["class"].unique():
        mine = (frame["class"] == k).arg_true()
        alone, _ = solved(frame[mine], SAMPLED[name])
        assert apart(together[mine], alone) < TOLERANCE


@settings(10)
@given(st.sampled_from(sorted(SAMPLED)), SEEDS)
def test_a_repeated_file_has_the_same_equilibrium(name, seed):
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "class": np.zeros(40, int),
            "context": np.repeat([0, 1], 20),
            "answer": [str(a) for a in rng.integers(0, 4, 40)],
            "correct": np.zeros(40),
        }
    )
    once, _ = solved(frame, SAMPLED[name])
    thrice, _ = solved(pl.concat([frame] * 3), SAMPLED[name])
    assert apart(pl.concat([once] * 3), thrice) < TOLERANCE


@settings(len(OBJECTIVES))
@given(st.sampled_from(sorted(OBJECTIVES)), SEEDS)
def test_games_are_solved_alone_as_in_a_batch_in_pieces_in_any_layout_and_in_torch(kind, seed):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    drawn = random_game_of(kind, np.random.default_rng(seed), 3, 5, batch=(9,))
    reference, w = np.exp(drawn.log_reference), np.asarray(drawn.weights)

    def solve(table, weights=w, rows=None, **options):
        game = dg.AlignmentGame(table, drawn.objective, beta=drawn.beta, weights=weights)
        game = game if rows is None else game.rows(np.array(rows))
        return dg.solve(game, throw=False, **options)

    whole = solve(reference)
    others = {
        "alone": (solve(reference, rows=[4]), slice(4, 5)),
        "part": (solve(reference, rows=[7, 0]), [7, 0]),
        "pieces": (solve(reference, max_bytes=1), slice(None)),
        "Fortran": (solve(np.asfortranarray(reference)), slice(None)),
        "torch": (solve(torch.as_tensor(reference), torch.as_tensor(w)), slice(None)),
    }
    beta = drawn.beta + min(0.0, float(np.min(drawn.objective.curvature_for(w))))
    for how, (other, at) in others.items():
        away = np.abs(np.asarray(other.policy) - whole.policy[at]).sum((-1, -2)) / 2
        gaps = np.maximum(whole.gap[at], 0) + np.maximum(np.asarray(other.gap), 0)
        assert (whole.statuses[at] == other.statuses).all(), (how, whole.statuses[at])
        if beta <= 0:
            continue  # games without a bound on the distance
        allowed = 2 * 3 * np.sqrt(gaps / beta) + 1e-11  # w_x >= 1/30, sum over 3 contexts
        assert (away <= np.sqrt(30) * allowed).all(), (how, away, gaps)
        size = np.maximum(1, np.abs(whole.value[at]))
        assert (np.abs(np.asarray(other.value) - whole.value[at]) <= (gaps + 1e-12) * size).all()


@settings(12)
@given(SEEDS, st.integers(1, 3))
def test_count_rewards_of_a_batch_are_those_of_its_games_to_the_bit(seed, m):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, (6, m, 4))
    counts[..., 0] += 1
    for objective in SAMPLED.values():
        if isinstance(objective, dg.HardCoherence):
            continue
        whole = count_rewards(counts, objective).advantages
        fortran = count_rewards(np.asfortranarray(counts), objective).advantages
        np.testing.assert_array_equal(whole, fortran)
        for b in range(6):
            np.testing.assert_array_equal(
                count_rewards(counts[[b]], objective).advantages[0], whole[b]
            )


@settings(15)
@given(SEEDS, st.integers(1, 400), st.integers(1, 400))
def test_streamed_counts_do_not_depend_on_the_piece_and_masses_to_rounding(seed, one, other):
    rng = np.random.default_rng(seed)
    index, p = rng.integers(0, 7, 1000), rng.random((2, 1000))
    pieces = [answer_masses(None, index, 7, piece=k) for k in (one, other)]
    np.testing.assert_array_equal(*pieces)
    masses = [answer_masses(p, index, 7, piece=k) for k in (one, other)]
    np.testing.assert_allclose(*masses, rtol=1e-13)


@settings(10)
@given(SEEDS)
def test_the_sampled_certificate_does_not_depend_on_names(seed):
    rng = np.random.default_rng(seed)
    rows = {"class_id": np.repeat([0, 1], 40), "member_id": np.tile(np.repeat([0, 1], 20), 2)}
    rows |= {"answer": rng.integers(0, 4, 80), "log_policy": -rng.random(80)}
    rows |= {"log_reference": -rng.random(80)}
    renamed = rows | {"answer": rng.permutation(4)[rows["answer"]] + 10}
    one, other = (certificate_from_samples(r, None, dg.Coherence(), 0.5) for r in (rows, renamed))
    assert one.gap == pytest.approx(other.gap, abs=1e-9)
    assert one.interval == pytest.approx(other.interval, abs=1e-9)


DIGEST = """
    import hashlib, json, sys
    import numpy as np, polars as pl, torch
    import dagame as dg
    from dagame.estimators import reward_table
    from dagame.lm import certificate_from_samples, group_rewards
    from dagame.games.random_games import random_game
    from dagame.scale.streaming import answer_masses

    threads, folder = int(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(threads)
    rng, out = np.random.default_rng(0), {}

    def keep(name, *arrays):
        data = b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)
        out[name] = hashlib.sha256(data).hexdigest()

    samples = dg.Samples.read(folder + "/s.csv", "question", "form", extract=r"is (.*)",
                              canonical="number", correct="right")
    for strength in (1.0, 10.0):
        rows = samples.solve(dg.Coherence(strength), beta=1.0).rows
        keep(f"samples {strength}", *(rows[c].to_numpy() for c in ("reward", "weight")))
    game = random_game(rng, batch=(300,), contexts=3, answers=30, objective=dg.Coherence(5.0))
    keep("batch", dg.solve(game).policy)
    keep("pieces", dg.solve(game, max_bytes=200_000).policy)
    table = torch.as_tensor(np.exp(game.log_reference))
    keep("torch", dg.solve(dg.AlignmentGame(table, dg.Coherence(5.0), beta=1.0)).policy.numpy())
    big = random_game(rng, contexts=2, answers=40_000, objective=dg.ShannonDiversity(2.0))
    keep("big", dg.solve(big).policy)
    p, index = rng.random((2, 1_000_000)), rng.integers(0, 9, 1_000_000)
    keep("streamed", answer_masses(p, index, 9, piece=10_000))
    for method in ("minimax", "variance_optimal", "jackknife", "u_statistic"):
        phi = dg.GiniDiversity() if method == "u_statistic" else dg.ShannonDiversity()
        keep(method, reward_table(phi, 12, method).entries)
    n = 3000
    classes, contexts = rng.integers(0, 40, n), rng.integers(0, 3, n)
    keys = [None if k == 0 else f"k{k}" for k in rng.integers(0, 8, n)]
    paid = group_rewards(classes, contexts, keys, dg.Coherence(), baseline="group_mean")
    keep("rewards", paid.rewards, paid.advantages)
    rows = {"class_id": np.zeros(400, int), "member_id": np.repeat([0, 1], 200),
            "answer": keys[:400], "log_policy": -rng.random(400), "log_reference": -rng.random(400)}
    keep("certificate", certificate_from_samples(rows, None, dg.Coherence(), 0.5).interval)
    print(json.dumps(out))
"""

ENVIRONMENTS = [
    {"threads": "1", "PYTHONHASHSEED": "0", "TZ": "UTC"},
    {"threads": "4", "PYTHONHASHSEED": "2", "TZ": "America/St_Johns"},
    {"threads": "2", "PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu"},
]


def digest(environment, folder):
    """Hashes of the bits of every kind of result, in a process of its own."""
    threads = environment["threads"]
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
    variables = os.environ | environment | dict.fromkeys(names, threads) | {"DAGAME_CACHE_DIR": ""}
    command = [sys.executable, "-c", textwrap.dedent(DIGEST), threads, str(folder)]
    done = subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_threads_hash_seed_and_time_zone_change_no_bit(tmp_path):
    rng = np.random.default_rng(1)
    lines = ["question,form,completion,right"]
    for k in range(600):
        value = rng.choice(["1,000", "1e3", "0.5", "1/2", "none"])
        lines.append(f'q{k % 7},f{rng.integers(3)},"it is {value}",{int(value != "none")}')
    (tmp_path / "s.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = [digest(environment, tmp_path) for environment in ENVIRONMENTS[: 1 + min(2, scale(1))]]
    for other in found[1:]:
        assert other == found[0]
    assert found[0]["batch"] == found[0]["pieces"]
    assert len(set(found[0].values())) == len(found[0]) - 1
    assert hashlib.sha256(b"").hexdigest() not in found[0].values()

"""The estimated gap against exact games, its coverage over many seeds, and plain recomputation."""

import json
from collections import Counter

import numpy as np
import polars as pl
import pytest
import scipy.stats

import dagame as dg
from dagame.errors import InvalidGame, NotConcave, SamplesError
from dagame.files.output import write_json
from dagame.lm.certificates.bounds import SampleTables, estimate, exceeding, intervals
from dagame.lm.certificates.estimate import certificate_from_samples
from dagame.numerics.fast import on_arrays
from tests.kinds import everywhere, made, those


def drawn(rng, nu0, nu, copies, reference, policy):
    """Independent replicates of one class whose traces are its answers, as tables."""

    def halves(p, size):
        parts = [[rng.multinomial(s, row, copies) for row in p] for s in (size // 2, -(-size // 2))]
        return np.array(parts, float).transpose(0, 2, 1, 3)

    first, second = halves(nu0, reference), halves(nu, policy)
    return as_tables(first, second, np.log(nu / nu0))


def as_tables(reference, policy, log_ratio):
    counts = policy.sum(0)
    return SampleTables(
        reference=reference,
        reference_squares=reference,
        reference_sizes=reference.sum(-1),
        policy=policy,
        log_ratio=counts * log_ratio,
        log_ratio_squares=(counts * log_ratio**2).sum(-1),
        answers=(reference.sum((0, 2)) + counts.sum(1)) > 0,
    )


def a_reference(rng, m, n):
    nu0 = rng.dirichlet(np.ones(n), m) + 0.02
    return nu0 / nu0.sum(-1, keepdims=True)


CASES = [
    (dg.ShannonDiversity(1.0), 1.0, 1, 6),
    (dg.GiniDiversity(1.0), 0.1, 1, 6),
    (dg.Coherence(1.0), 0.2, 4, 10),
    (dg.Coherence(1.0), 1.0, 3, 5),
    (dg.PairwiseCoherence(1.0, "jensen_shannon"), 0.5, 3, 5),
]


@pytest.mark.parametrize(("objective", "beta", "m", "n"), CASES)
@pytest.mark.parametrize("trained", [False, True])
def test_both_ends_cover_the_largest_gain(rng, objective, beta, m, n, trained):
    nu0 = a_reference(rng, m, n)
    game = dg.AlignmentGame(nu0, objective, beta=beta)
    best = dg.solve(game)
    nu = best.marginals if trained else nu0
    gain = float(best.value - game.value(nu))
    widths, errors = [], []
    for size in (32, 128, 512):
        parts = estimate(drawn(rng, nu0, nu, 500, size, size), objective, beta)
        found = intervals(parts, beta, 0.9, weighted=False)
        assert (found["upper"] >= gain - 1e-12).mean() >= 0.9
        assert (found["lower"] <= gain + 1e-12).mean() >= 0.9 - 3 * (0.09 / 500) ** 0.5
        assert (found["lower"] <= found["upper"]).all()
        plain = parts.upper - (parts.phi - beta * parts.kl)
        assert plain.mean() >= gain - 3 * plain.std() / 500**0.5
        widths.append(found["upper"].mean() - gain)
        errors.append(abs(found["gap"].mean() - gain))
        seen = found["gap"].std()
        assert found["standard_error"].mean() == pytest.approx(seen, rel=0.35 if size > 32 else 0.6)
    assert widths[1] < 0.75 * widths[0]
    assert widths[2] < 0.75 * widths[1]
    assert errors[2] < max(0.5 * errors[0], 0.01)


def test_in_sample_is_anti_conservative_and_the_policys_own_marginals_are_loose(rng):
    """J* is concave in the reference, so the optimum of an empirical one is low on average."""
    objective, beta = dg.ShannonDiversity(1.0), 1.0
    nu0 = a_reference(rng, 1, 12)
    game = dg.AlignmentGame(nu0, objective, beta=beta)
    best = float(dg.solve(game).value)
    parts = estimate(drawn(rng, nu0, nu0, 2000, 32, 32), objective, beta)
    low, high = parts.in_sample.mean() - best, parts.upper.mean() - best
    assert low < -5 * parts.in_sample.std() / 2000**0.5
    assert low < -0.05
    assert high > 0
    certificate = dg.certify(game, nu0)
    gain = best - float(certificate.value)
    assert float(certificate.gap) > 1.5 * gain


def test_the_mean_over_classes_is_tighter_than_its_parts_and_covers(rng):
    objective, beta, classes = dg.Coherence(1.0), 0.3, 30
    references = [a_reference(rng, 3, 6) for _ in range(classes)]
    gains, tables = [], []
    for nu0 in references:
        game = dg.AlignmentGame(nu0, objective, beta=beta)
        gains.append(float(dg.solve(game).value - game.value(nu0)))
        tables.append(drawn(rng, nu0, nu0, 60, 64, 64))
    parts = [estimate(t, objective, beta) for t in tables]
    covered = 0
    for k in range(60):
        chosen = {
            name: np.stack([np.asarray(getattr(p, name))[..., k] for p in parts], -1)
            for name in vars(parts[0])
        }
        joined = type(parts[0])(**chosen)
        single = intervals(joined, beta, 0.95, weighted=False)
        whole = intervals(joined.mean(), beta, 0.95, weighted=False)
        assert whole["gap"][0] == pytest.approx(single["gap"].mean())
        assert whole["upper"][0] < single["upper"].mean() - 0.05
        above = exceeding(
            joined.scale.max(-1) / classes,
            joined.expected.sum(-1) / classes**2,
            joined.seen.sum(-1) / classes**2,
            0.05 / 4,
        )
        plain = (joined.upper - joined.phi + beta * joined.kl).mean()
        error = joined.value_variance.sum() ** 0.5 / classes
        assert whole["upper"][0] == pytest.approx(plain + above.mean() + 1.96 * error, rel=0.01)
        covered += whole["lower"][0] <= np.mean(gains) <= whole["upper"][0]
    assert covered >= 56


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("size", [16, 64])
def test_few_samples_of_many_answers_do_not_break_the_mean(rng, size, trained):
    """Tails that samples miss bias every class alike; averaging must not make an end invalid."""
    objective, beta, m, n, classes, copies = dg.Coherence(1.0), 0.1, 8, 14, 60, 40
    tail = 0.6 ** np.arange(n)
    nu0 = np.stack([rng.permuted(np.tile(tail, (m, 1)), axis=1) for _ in range(classes)])
    nu0[:, :, 0] += 1.0
    nu0 /= nu0.sum(-1, keepdims=True)
    game = dg.AlignmentGame(nu0, objective, beta=beta)
    solution = dg.solve(game)
    policy = solution.marginals if trained else nu0
    gain = float(np.mean(solution.value - game.value(policy)))
    parts = [
        estimate(drawn(rng, a, b, copies, size, size), objective, beta)
        for a, b in zip(nu0, policy, strict=True)
    ]
    covered = np.zeros(2)
    for k in range(copies):
        chosen = {
            name: np.stack([np.asarray(getattr(p, name))[..., k] for p in parts], -1)
            for name in vars(parts[0])
        }
        whole = intervals(type(parts[0])(**chosen).mean(), beta, 0.95, weighted=False)
        covered += whole["lower"][0] <= gain + 1e-9, gain <= whole["upper"][0]
    assert covered.min() >= 0.9 * copies


def test_exceeding_holds_where_the_normal_limit_fails(rng):
    """Rare large values: the sample mean is low most of the time, and so is its variance."""
    size, top, p, risk = 60, 20.0, 0.02, 0.05
    y = np.where(rng.random((20_000, size)) < p, top, 0.1)
    mean = p * top + (1 - p) * 0.1
    seen = ((y - mean) ** 2).sum(-1)
    margin = exceeding(np.array(top - mean), np.array(seen.mean()), seen, risk)
    assert (size * mean - y.sum(-1) > margin).mean() <= risk
    naive = 1.645 * y.std(-1) * size**0.5
    assert (size * mean - y.sum(-1) > naive).mean() > 2 * risk
    assert margin.mean() < 6 * seen.mean() ** 0.5
    np.testing.assert_array_equal(exceeding(np.array(0.0), np.array(0.0), np.zeros(3), risk), 0)


def test_exceeding_is_near_the_normal_limit_for_many_bounded_values(rng):
    """sqrt(2 log(1/risk)) = 2.45 standard deviations, against 1.64 that would do; different scales."""
    risk, top = 0.05, np.repeat([1.0, 0.3], 2000)
    y = top * rng.integers(0, 2, (4000, 4000))
    seen = ((y - top / 2) ** 2).sum(-1)
    margin = exceeding(np.array(0.5), np.array(seen.mean()), seen, risk)
    np.testing.assert_allclose(margin / seen.mean() ** 0.5, 2.45, atol=0.1)
    assert (top.sum() / 2 - y.sum(-1) > margin).mean() <= risk


def test_an_answer_that_no_sample_shows_needs_unseen(rng):
    """Diversity at strength >> beta pays a rare answer like any other, whatever its probability."""
    objective, beta = dg.ShannonDiversity(1.0), 0.1
    nu0 = np.array([[0.6, 0.25, 0.15 - 1e-3, 1e-3]])
    game = dg.AlignmentGame(nu0, objective, beta=beta)
    gain = float(dg.solve(game).value - game.value(nu0))
    tables = drawn(rng, nu0, nu0, 300, 200, 200)
    covered = []
    for unseen in (0, 1):
        parts = estimate(tables, objective, beta, unseen=unseen)
        covered.append((intervals(parts, beta, 0.95, weighted=False)["upper"] >= gain).mean())
    assert covered[0] < 0.9
    assert covered[1] >= 0.95


@pytest.mark.parametrize("kind", those(lambda phi: phi.concave is True and everywhere(phi)))
def test_with_all_the_samples_in_the_world_it_is_the_exact_gap(rng, kind):
    beta, size, objective = 0.3, 1e10, made(kind, 0.7, 3, 4)
    nu0, nu = a_reference(rng, 3, 4), a_reference(rng, 3, 4)
    tables = as_tables(
        np.stack([nu0, nu0])[:, None] * size, np.stack([nu, nu])[:, None] * size, np.log(nu / nu0)
    )
    found = intervals(estimate(tables, objective, beta), beta, 0.95, weighted=False)
    game = dg.AlignmentGame(nu0, objective, beta=beta)
    gain = float(dg.solve(game).value - game.value(nu))
    ends = ("gap", "upper") if np.isinf(gain) else ("gap", "lower", "upper")
    for name in ends:
        assert found[name][0] == pytest.approx(gain, abs=1e-3)
    assert found["value"][0] == pytest.approx(float(game.value(nu)), abs=1e-6)


def rows_of(rng, classes, m, size, answers="abcd", model="policy"):
    columns = {"class_id": [], "member_id": [], "answer": []}
    for c in classes:
        for x in range(m):
            p = rng.dirichlet(np.ones(len(answers)))
            columns["class_id"] += [c] * size
            columns["member_id"] += [x] * size
            columns["answer"] += [a or None for a in rng.choice(list(answers), size, p=p)]
    if model == "policy":
        ratio = rng.normal(0.2, 0.3, len(columns["answer"]))
        columns |= {"log_policy": -3 + ratio, "log_reference": np.full(len(ratio), -3.0)}
    return columns


def test_against_a_plain_recomputation(rng):
    """One class, one context: halves, equilibria, bound, J and the upper end, by dictionaries."""
    beta, phi = 0.5, dg.ShannonDiversity(1.0)
    policy, reference = rows_of(rng, ["q"], 1, 20), rows_of(rng, ["q"], 1, 30, model="reference")
    found = certificate_from_samples(policy, reference, phi, beta, smoothing=0.3, seed=4)
    order = np.random.default_rng(4).random(50)[20:].argsort()
    halves = [[reference["answer"][i] for i in order[h::2]] for h in (0, 1)]
    names = sorted(set(policy["answer"]) | set(reference["answer"]))
    bounds, margins, level = [], [], np.log(4 / 0.05)
    for fit, use in ((0, 1), (1, 0)):
        count = Counter(halves[fit])
        nu0 = np.array([count[a] + 0.3 for a in names]) / (len(halves[fit]) + 0.3 * len(names))
        q = nu0 ** (beta / (beta + 1))
        q /= q.sum()
        a = (nu0 * q ** (-1 / beta)).sum()
        x = dict(zip(names, q ** (-1 / beta) / a, strict=True))
        bounds.append(beta * (np.log(a) + np.mean([x[z] for z in halves[use]]) - 1))
        scale = beta / 15 * (max(x.values()) - 1)
        expected = beta**2 / 15 * sum(p * (x[z] - 1) ** 2 for p, z in zip(nu0, names, strict=True))
        seen = (beta / 15) ** 2 * sum((x[z] - 1) ** 2 for z in halves[use])
        t = 1 / (1 + (expected / scale**2 / 2 / level) ** 0.5)
        margins.append(scale / t * (level + (-np.log(1 - t) - t) * seen / scale**2))
    assert found.upper_bound == pytest.approx(np.mean(bounds), abs=1e-7)
    share = {a: policy["answer"].count(a) / 20 for a in names}
    entropy = -sum(p * np.log(p) for p in share.values() if p)
    ratio = policy["log_policy"] - policy["log_reference"]
    assert found.classes["phi"][0] == pytest.approx(entropy)
    assert found.kl == pytest.approx(ratio.mean())
    assert found.gap == pytest.approx(found.upper_bound - found.value)
    assert found.value > entropy - beta * ratio.mean()
    paid = -np.log([share[a] for a in policy["answer"]]) - beta * ratio
    noise = scipy.stats.t.ppf(0.975, 19) * paid.std(ddof=1) / 20**0.5
    high = np.mean(bounds) + np.mean(margins) - entropy + beta * ratio.mean() + noise
    assert found.upper_if_light == pytest.approx(high, abs=1e-6)
    assert found.interval[1] == np.inf
    assert found.samples_needed == 738
    stated = certificate_from_samples(
        policy, reference, phi, beta, smoothing=0.3, seed=4, largest_log_ratio=2.0
    )
    due = scipy.stats.chi2.ppf(0.975, 2) / 2 / 20 * (2.0 - np.median(ratio))
    assert stated.interval[1] == pytest.approx(high + beta * due, abs=1e-6)


@on_arrays()  # bits are compared, and kernels may be loaded by any game
def test_classes_together_are_the_classes_alone(rng):
    """Also of different numbers of contexts and answers; nothing depends on the order of rows."""
    parts = [
        (rows_of(rng, ["p"], 2, 24), rows_of(rng, ["p"], 2, 16, model="reference")),
        (rows_of(rng, ["r"], 3, 24, "vwxyz"), rows_of(rng, ["r"], 3, 16, "vwxyz", "reference")),
    ]
    ours, theirs = (pl.concat([pl.DataFrame(p[k]) for p in parts]) for k in (0, 1))
    phi, beta = dg.Coherence(1.0), 0.4
    both = certificate_from_samples(ours, theirs, phi, beta)
    assert both.classes["class_id"].to_list() == ["p", "r"]
    assert both.classes["contexts"].to_list() == [2, 3]
    assert both.classes["policy_samples"].to_list() == [48, 72]
    assert both.classes["reference_samples"].to_list() == [32, 48]
    for k, part in enumerate(parts):
        alone = certificate_from_samples(*part, phi, beta)
        for name in ("phi", "kl"):
            assert alone.classes[name][0] == pytest.approx(both.classes[name][k])
        low, high = alone.interval
        assert low <= both.classes["upper"][k]
        assert both.classes["lower"][k] <= high
    for name in ("gap", "value", "upper_bound", "kl"):
        assert getattr(both, name) == pytest.approx(both.classes[name].mean())
    assert both.interval[0] <= both.gap <= both.interval[1]
    assert certificate_from_samples(ours, theirs, phi, beta).gap == both.gap
    assert certificate_from_samples(ours, theirs, phi, beta, seed=1).gap != both.gap


def test_the_policys_own_samples_can_stand_for_the_reference(rng):
    """Weights pi0/pi: the same gap from twice as many samples, and almost no noise at the optimum."""
    objective, beta = dg.ShannonDiversity(1.0), 1.0
    nu0 = a_reference(rng, 1, 5)
    game = dg.AlignmentGame(nu0, objective, beta=beta)
    best = dg.solve(game)
    for nu, tolerance in ((best.marginals, 0.01), (0.5 * best.marginals + 0.5 * nu0, 0.03)):
        z = rng.choice(5, 4000, p=nu[0])
        log_nu, log_nu0 = np.log(nu[0])[z], np.log(nu0[0])[z]
        rows = {
            "class_id": ["q"] * 4000,
            "member_id": [0] * 4000,
            "answer": z.astype(str),
            "log_policy": log_nu - 2.0,
            "log_reference": log_nu0 - 2.0,
        }
        found = certificate_from_samples(rows, None, objective, beta)
        gain = float(best.value - game.value(nu))
        assert found.gap == pytest.approx(gain, abs=tolerance)
        assert found.interval[0] <= gain <= found.interval[1]
        assert "asymptotic" in str(found)
        assert found.classes["reference_samples"].to_list() == [0]


def test_objectives_of_buckets_and_no_answer(rng):
    policy = rows_of(rng, ["p", "q"], 1, 40, ["a", "b", ""])
    reference = rows_of(rng, ["p", "q"], 1, 40, ["a", "b", ""], "reference")
    for rows in (policy, reference):
        rows["ok"] = [float(a == "a") for a in rows["answer"]]

    def phi(bucket):
        return dg.Reward(np.nan_to_num(bucket.correct)[:, None, :])

    found = certificate_from_samples(policy, reference, phi, 0.5, correct="ok")
    right = pl.DataFrame(policy).group_by("class_id").agg(pl.col("ok").mean()).sort("class_id")
    np.testing.assert_allclose(found.classes["phi"].to_numpy(), right["ok"].to_numpy())
    assert found.classes["answers"].to_list() == [3, 3]
    with pytest.raises(InvalidGame, match="unseen"):
        certificate_from_samples(policy, reference, phi, 0.5, correct="ok", unseen=1)


def test_it_prints_as_an_estimate_and_writes_json(rng, tmp_path):
    policy, reference = rows_of(rng, "pq", 2, 20), rows_of(rng, "pq", 2, 20, model="reference")
    found = certificate_from_samples(policy, reference, dg.Coherence(1.0), 0.4)
    assert str(found).startswith("estimate of the gap")
    assert "estimate" in found._repr_html_()
    write_json(tmp_path / "gap.json", found.as_dict())
    read = json.loads((tmp_path / "gap.json").read_text())
    assert read["gap"] == pytest.approx(found.gap)
    assert len(read["classes"]) == 2


def test_a_policy_without_a_finite_value_is_said_to_be_so(rng):
    policy, reference = rows_of(rng, "pq", 1, 20), rows_of(rng, "pq", 1, 20, model="reference")
    policy["answer"][:20] = ["a"] * 20

    def phi(bucket):
        c = np.zeros((len(bucket.classes), 1, bucket.counts.shape[-1]))
        c[..., 1] = 1.0
        return dg.LogSuccess(c)

    found = certificate_from_samples(policy, reference, phi, 0.4)
    assert found.gap == np.inf
    assert found.interval[1] == np.inf
    assert found.classes["gap"].is_finite().to_list() == [False, True]
    assert "1 classes have no finite value" in str(found)
    assert found.as_dict()["classes"][0]["lower"] == 0


@pytest.mark.parametrize("kind", those(lambda phi: not (phi.concave and everywhere(phi))))
def test_objectives_without_a_bound_from_samples_are_refused(rng, kind):
    objective = made(kind, 0.1, 2, 4)
    reason = "off a set" if objective.hard else "traces" if objective.on_traces else "not concave"
    policy, reference = rows_of(rng, "p", 2, 20), rows_of(rng, "p", 2, 20, model="reference")
    with pytest.raises(NotConcave, match=reason):
        certificate_from_samples(policy, reference, objective, 1.0)


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        ({}, {"smoothing": 0.0}, InvalidGame, "smoothing"),
        ({}, {"confidence": 1.0}, InvalidGame, "confidence"),
        ({}, {"unseen": -1}, InvalidGame, "unseen"),
        ({}, {"answer": "a"}, SamplesError, "no column 'a'"),
        ({"log_policy": np.full(12, np.nan)}, {}, SamplesError, "row 1"),
        (
            {"member_id": [0] * 9 + [1] * 3},
            {},
            SamplesError,
            "context 1 has 3 samples of the policy",
        ),
        ({"class_id": [7] * 12}, {}, SamplesError, "differ in type"),
    ],
)
def test_what_is_wrong_is_named(rng, change, options, error, message):
    policy = rows_of(rng, "p", 1, 12) | change
    reference = rows_of(rng, "p", 2, 12, model="reference")
    with pytest.raises(error, match=message):
        certificate_from_samples(policy, reference, dg.GiniDiversity(), 1.0, **options)


# -- rare completions that carry the KL -----------------------------------------------------------------


def rare_rows(rng, e, d, classes, size):
    """Policy and reference samples of classes with the answers p; a rare completion has log-ratio d."""
    p = np.array([0.5, 0.3, 0.2])
    n = classes * size
    answer = rng.choice(3, (2, n), p=p)
    base = {"class_id": np.repeat(np.arange(classes), size), "member_id": np.zeros(n, int)}
    common = np.log((1 - e) / (1 - e * np.exp(-d)))
    ratio = np.where(rng.random(n) < e, d, common)
    ours = base | {
        "answer": answer[0].astype(str),
        "log_policy": ratio - 60,
        "log_reference": np.full(n, -60.0),
    }
    return ours, base | {"answer": answer[1].astype(str)}, e * d + (1 - e) * common, p


RARE = [
    (0.02, 40, 16),
    (0.005, 40, 64),
    (0.05, 20, 8),
    (0.05, 20, 16),
    (0.02, 20, 16),
    (0.02, 40, 8),
]


@pytest.mark.parametrize(("e", "d", "size"), RARE)
def test_rare_completions_in_few_samples_are_no_upper_end_but_a_number_of_samples(rng, e, d, size):
    phi, beta, covered = dg.ShannonDiversity(0.5), 1.0, 0
    for k in range(20):
        ours, theirs, kl, p = rare_rows(rng, e, d, 1, size)
        found = certificate_from_samples(ours, theirs, phi, beta, seed=k)
        game = dg.AlignmentGame(p[None], phi, beta=beta)
        gain = float(dg.solve(game).value - game.value(p[None])) + beta * kl
        covered += found.interval[1] >= gain and found.interval[0] <= gain + 1e-9
        assert found.samples_needed == 738
        assert np.isfinite(found.upper_if_light)
        assert "draw 738 in all" in str(found)
        stated = certificate_from_samples(ours, theirs, phi, beta, seed=k, largest_log_ratio=d)
        assert gain <= stated.interval[1] < np.inf
        assert stated.samples_needed == 0
    assert covered >= 19


@pytest.mark.parametrize(("e", "d"), [(0.02, 40.0), (0.005, 40.0), (0.05, 20.0), (0.02, 0.0)])
def test_classes_together_show_the_tail_and_their_ends_cover(rng, e, d):
    """Eight samples a class: 96 classes say it together, the mean and each class by the pool."""
    phi, beta, classes, covered, each = dg.ShannonDiversity(0.5), 1.0, 96, 0, []
    for k in range(30):
        ours, theirs, kl, p = rare_rows(rng, e, d, classes, 8)
        found = certificate_from_samples(ours, theirs, phi, beta, seed=k)
        game = dg.AlignmentGame(p[None], phi, beta=beta)
        gain = float(dg.solve(game).value - game.value(p[None])) + beta * kl
        low, high = found.interval
        covered += low <= gain <= high
        assert found.samples_needed == 0
        assert high < np.inf
        each.append((found.classes["upper"] >= gain).mean())
        if d == 0:
            assert found.tail_samples == 0
            assert high < 0.5
    assert covered >= 27
    assert np.mean(each) >= 0.93


def test_smooth_log_ratios_have_no_tail():
    """Normal log-ratios with standard deviations 0, 1 and 4: none of 6,000 lies in it; a lump does."""
    from dagame.lm.certificates.tail import pooled_tail

    rng = np.random.default_rng(0)
    group, owner = np.repeat(np.arange(12), 500), np.repeat(np.arange(4), 3)
    for deviation in (0.0, 1.0, 4.0):
        ratio = rng.normal(group.astype(float), deviation)
        tail = pooled_tail(ratio, group, owner, 0.05)
        assert tail.counts.sum() == 0
        assert tail.unseen_kl(0.975)[0] == 0
        assert tail.enough
        ratio[:5] += 60
        tail = pooled_tail(ratio, group, owner, 0.05)
        np.testing.assert_array_equal(tail.counts, [5, 0, 0, 0])
        due = scipy.stats.chi2.ppf(0.975, [12, 2]) / 2 - [5, 0]
        whole, each = tail.unseen_kl(0.975)
        assert whole == pytest.approx(due[0] / 6000 * tail.excess)
        assert each[1] == pytest.approx(due[1] / 1500 * tail.excess)


def test_the_spread_between_classes_is_johnsons_interval():
    from dagame.lm.certificates.pooling import across_classes

    rng = np.random.default_rng(0)
    nu0 = [a_reference(rng, 2, 4) for _ in range(20)]
    objective = dg.Coherence(1.0)
    parts = [estimate(drawn(rng, p, p, 1, 16, 16), objective, 0.5) for p in nu0]
    joined = type(parts[0])(
        **{n: np.concatenate([getattr(q, n) for q in parts], -1) for n in vars(parts[0])}
    )
    above = joined.upper - joined.phi + joined.phi_bias / 2 + 0.5 * joined.kl
    t, s = scipy.stats.t.ppf(0.95, 19), above.std(ddof=1)
    third = ((above - above.mean()) ** 3).mean()
    corrected = max(third, 0) * (1 + 2 * t**2) / (6 * s**2 * 20)
    assert across_classes(joined, 0.5, 0.95)[1] == pytest.approx(
        above.mean() + t * s / 20**0.5 + corrected
    )


def test_a_largest_log_ratio_is_a_number_of_nats(rng):
    policy, reference = rows_of(rng, "p", 1, 12), rows_of(rng, "p", 1, 12, model="reference")
    for wrong in (-1.0, np.nan, np.inf, "a"):
        with pytest.raises(InvalidGame, match="largest_log_ratio"):
            certificate_from_samples(
                policy, reference, dg.GiniDiversity(), 1.0, largest_log_ratio=wrong
            )

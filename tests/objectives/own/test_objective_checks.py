"""Objectives of users are tried when a game is made: wrong ones refused for their cause, right ones taken."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.errors import FalseCertificate
from dagame.theory.checks.own import named_objective
from tests.objective_zoo import RIGHT, WRONG, Own, entropy, gini, log, mean, one_answer

WEIGHTS = np.array([0.5, 0.3, 0.2])


def references(rng):
    """Uniform, random, with zeros, with masses of 1e-12, one context, and a batch."""
    p = rng.dirichlet(np.ones(4), 3)
    zeros, tiny = p.copy(), p.copy()
    zeros[0, 3] = zeros[2, 2] = 0
    tiny[:, 3] = 1e-12
    return {
        "uniform": np.full((3, 4), 0.25),
        "random": p,
        "zeros": zeros / zeros.sum(-1, keepdims=True),
        "tiny": tiny / tiny.sum(-1, keepdims=True),
        "one context": p[:1],
        "batch": rng.dirichlet(np.ones(4), (2, 3)),
    }


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_objective_is_refused_for_its_cause(name, rng):
    make, cause = WRONG[name]
    reference = references(rng)["zeros" if "0 log 0" in cause else "random"]
    with pytest.raises(dg.DagameError, match=cause) as refused:
        dg.AlignmentGame(reference, make(), beta=1.0, weights=WEIGHTS)
    assert type(refused.value).__name__ == "InvalidObjective"


@pytest.mark.parametrize("kind", ["uniform", "random", "zeros", "tiny", "one context", "batch"])
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_objective_is_taken(name, kind, rng):
    reference = references(rng)[kind]
    weights = None if kind in ("uniform", "one context") else WEIGHTS
    game = dg.AlignmentGame(reference, RIGHT[name](), beta=1.0, weights=weights)
    assert any("differences at" in c or "not decided" in c for c in game.conditions)


def test_forty_of_each():
    assert len(RIGHT) >= 40
    assert len(WRONG) >= 40


# -- what a certificate says of it ------------------------------------------------------------------

NU = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])


def conditions(objective, beta=1.0, **options):
    certificate = dg.certify(dg.AlignmentGame(NU, objective, beta=beta, **options), NU)
    return certificate, "; ".join(certificate.conditions)


def test_a_built_in_objective_is_proved():
    certificate, text = conditions(dg.ShannonDiversity())
    assert (text, certificate.conditional, certificate.needs) == ("concave: proved", False, "")
    certificate, text = conditions(dg.Sharpening(0.4))
    assert (text, certificate.conditional) == ("curvature mu = -0.4 (T6): proved", False)


def test_what_is_declared_is_checked_and_what_is_not_is_a_condition():
    certificate, text = conditions(RIGHT["entropy"]())
    assert not certificate.conditional
    assert "gradient of value: checked by differences at 2 points" in text
    assert "concave: declared, checked on" in text
    certificate, text = conditions(Own(entropy, lambda nu, w: -log(nu)))
    assert certificate.needs == "the objective is concave"
    assert "concave: not stated, no violation on" in text
    refuted = dg.AlignmentGame(NU, RIGHT["half of the squares, unstated"](), beta=1.0)
    assert "refuted" in "; ".join(refuted.conditions)
    with pytest.raises(FalseCertificate, match="or it is not concave"):
        dg.certify(refuted, NU)  # J of a power of the reference is above the bound


def test_check_false_is_said_and_believes_everything():
    wrong = WRONG["sign"][0]()
    certificate, text = conditions(wrong, check=False)
    assert "not checked (check=False)" in text
    assert certificate.conditional
    assert "if reward is the gradient of value" in str(certificate)
    certificate, text = conditions(RIGHT["entropy"](), check=False)
    assert "concave: declared, not checked" in text


def test_conditions_of_sums_and_of_t6():
    own = RIGHT["sharpening"]()
    certificate, text = conditions(own)
    assert "curvature mu = -0.5 (T6): declared, checked on" in text
    assert not certificate.conditional
    certificate, text = conditions(own + dg.ShannonDiversity(0.2))
    assert "built-in terms" in text
    minus = -0.3 * Own(entropy, lambda nu, w: -log(nu), concave=True, smoothness=1.0, curvature=1.0)
    certificate, text = conditions(minus)
    assert "smoothness L = 1: declared, checked" in text
    unknown = Own(lambda nu, w: -2 * entropy(nu, w), lambda nu, w: 2 * log(nu), curvature=-2.0)
    certificate, text = conditions(unknown, beta=3.0)
    assert not certificate.conditional
    with pytest.raises(FalseCertificate, match="or it is not concave"):
        conditions(unknown)


def test_conditions_follow_derived_games_and_are_said_in_json_and_tables():
    game = dg.AlignmentGame(np.stack([NU, NU]), RIGHT["coherence"](), beta=1.0)
    for other in (game.rows(np.array([1])), game.with_objective(game.objective), game.flat()):
        assert other.conditions == game.conditions
    found = dg.solve(game)
    assert found.certificate.conditions == game.conditions
    assert "stands on" in found.certificate._repr_html_()
    with pytest.raises(dg.DagameError, match="sign is reversed"):
        game.with_objective(WRONG["sign"][0]())


# -- an objective that is not concave (A4), a wrong gradient (A5) --------------------------------------


def convex(**facts):
    return Own(
        lambda nu, w: 4 * mean((nu**2).sum(-1), w), lambda nu, w: 8 * nu, concave=False, **facts
    )


def test_the_curvature_of_an_own_objective_that_is_not_concave_is_unknown():
    class Bare(dg.Objective):
        concave = False

        def value(self, marginals, weights=None):
            return 4 * mean((marginals**2).sum(-1), weights)

        def reward(self, marginals, weights=None):
            return 8 * marginals

    reference = np.array([[0.36, 0.33, 0.31]])
    for objective in (Bare(), convex(curvature=None), convex(curvature=-np.inf), 2.0 * Bare()):
        game = dg.AlignmentGame(reference, objective, beta=1.0)
        assert not game.provable
        for ask in (dg.solve, lambda g: dg.certify(g, reference)):
            with pytest.raises(dg.DagameError, match="no finite curvature mu") as error:
                ask(game)
            assert type(error.value).__name__ == "NotConcave"
    known = dg.AlignmentGame(reference, convex(curvature=-8.0), beta=9.0)
    solution = dg.solve(known)
    assert solution.solved
    for p in np.random.default_rng(0).dirichlet(np.ones(3), 200):
        assert known.value(p[None]) <= solution.certificate.upper_bound + 1e-9


@pytest.mark.parametrize("wrong", [-1.0, 0.5, 2.0, 0.0])
def test_a_wrong_gradient_never_reaches_a_certificate(wrong):
    phi = Own(
        lambda nu, w: 2 * np.log1p(nu[..., 0]).mean(-1),
        lambda nu, w: wrong * one_answer(2 / (1 + nu[..., 0]), nu),
    )
    with pytest.raises(dg.DagameError, match="not the gradient"):
        dg.AlignmentGame(np.array([[0.385, 0.315, 0.3]]), phi, beta=1.0)


# -- once, batches, kinds of array ------------------------------------------------------------------


class Counted(dg.Objective):
    concave = True

    def __init__(self, strength=1.0):
        self.strength, self.calls = strength, [0]

    def value(self, marginals, weights):
        self.calls[0] += 1
        return self.strength * gini(marginals, weights)

    def reward(self, marginals, weights):
        return -2 * self.strength * marginals


def test_an_object_is_tried_once_for_each_size():
    phi, seen = Counted(), []
    for reference in (NU, NU, np.stack([NU, NU]), NU[:1], NU):
        dg.AlignmentGame(reference, phi, beta=1.0)
        seen.append(phi.calls[0])
    assert seen[0] > 0
    assert seen[0] == seen[1] == seen[2]
    assert seen[3] > seen[2]
    assert seen[4] == seen[3]
    phi.strength = 2.0
    dg.AlignmentGame(NU, phi, beta=1.0)
    assert phi.calls[0] > seen[4]


def test_a_declaration_made_later_is_tried_too():
    class Later(Counted):
        concave = None

        def value(self, marginals, weights):
            return -super().value(marginals, weights)

        def reward(self, marginals, weights):
            return -super().reward(marginals, weights)

    phi = Later()
    dg.AlignmentGame(NU, phi, beta=1.0)
    Later.concave = True
    with pytest.raises(dg.DagameError, match="declared concave"):
        dg.AlignmentGame(NU, phi, beta=1.0)


def test_weights_are_uniform_where_none_are_given_and_lists_are_arrays():
    class Mean(dg.Objective):
        """Its weights have another name."""

        def value(self, nu, w):
            return mean(np.log1p(nu[..., 0]), w)

        def reward(self, nu, w):
            return one_answer(1 / (1 + nu[..., 0]), nu)

    phi = Mean()
    assert phi.value(NU.tolist()) == pytest.approx(np.log1p(NU[:, 0]).mean())
    assert phi.value(nu=NU, w=WEIGHTS[:2]) == pytest.approx(np.log1p(NU[:, 0]) @ WEIGHTS[:2])
    assert repr(phi) == "Mean"
    assert "object at" not in repr(dg.AlignmentGame(NU, 2 * phi, beta=1.0))


def test_weights_of_every_game():
    weights = np.array([[0.5, 0.5], [0.9, 0.1]])
    dg.AlignmentGame(np.stack([NU, NU]), Counted(), beta=1.0, weights=weights)
    wrong = Own(gini, lambda nu, w: -2 * nu * w[..., None])
    with pytest.raises(dg.DagameError, match="value only"):
        dg.AlignmentGame(np.stack([NU, NU]), wrong, beta=1.0, weights=weights)


def test_tensors():
    torch = pytest.importorskip("torch")
    reference = torch.tensor(NU)
    dg.AlignmentGame(reference, RIGHT["Gini"](), beta=1.0)
    dg.AlignmentGame(reference.to(torch.float32), RIGHT["Gini"](), beta=1.0)
    with pytest.raises(dg.DagameError, match="give the game numpy arrays"):
        dg.AlignmentGame(reference, RIGHT["entropy"](), beta=1.0)
    with pytest.raises(dg.DagameError, match="context weights belong to value only"):
        dg.AlignmentGame(
            reference, Own(gini, lambda nu, w: -2 * nu * w[..., None]), beta=1.0, weights=[0.3, 0.7]
        )


def test_one_answer_one_context():
    for shape in ((1, 1), (3, 1), (1, 2)):
        game = dg.AlignmentGame(np.full(shape, 1 / shape[1]), Counted(), beta=1.0)
        assert dg.solve(game).solved


# -- verify and testing -----------------------------------------------------------------------------


def test_verify_takes_an_objective_and_says_what_it_skipped():
    report = dg.verify(objective=RIGHT["entropy"], games=12)
    assert report.passed, str(report)
    assert report.objective == "Own"
    assert {c.theorem for c in report.checks} >= {"objective", "T1", "T2", "T4", "T5", "mirror"}
    assert all(c.cases >= 12 for c in report.checks)
    assert dict(report.skipped)["closed form"] == "it has no closed form"
    assert max(len(line) for line in str(report).splitlines()) <= 80
    for name in ("a table", "not hashable", "-inf outside a set", "max", "forward KL"):
        assert dg.verify(objective=RIGHT[name](), games=6).checks[0].passed, name


def test_verify_stops_at_a_wrong_gradient():
    report = dg.verify(objective=WRONG["weights twice"][0], games=50)
    assert not report.passed
    assert [c.theorem for c in report.checks] == ["objective"]
    assert "context weights belong to value only" in " ".join(str(report).split())
    assert report.as_dict()["passed"] is False


def test_what_verify_cannot_make_is_told():
    class Needs(Counted):
        def __init__(self, strength):
            super().__init__(strength)

    for wrong, message in (
        (Needs, "without arguments"),
        (3, "give an Objective"),
        (dict, "is a dict"),
    ):
        with pytest.raises(dg.DagameError, match=message):
            dg.verify(objective=wrong)


def test_a_theorem_that_fails_is_seen():
    """On half of the simplex the chords of this one are fine: theorems see what the chords miss."""
    with pytest.raises(dg.DagameError, match=r"violated by|declared concave"):
        dg.testing.check_objective(
            lambda: Own(
                lambda nu, w: mean(np.maximum(nu[..., 0] - 0.9, 0) ** 2, w),
                lambda nu, w: one_answer(2 * np.maximum(nu[..., 0] - 0.9, 0), nu),
                concave=True,
            ),
            games=60,
        )


def test_check_objective_returns_a_report_or_raises_the_cause():
    assert dg.testing.check_objective(Counted, games=9).passed
    with pytest.raises(dg.DagameError, match="sign is reversed"):
        dg.testing.check_objective(WRONG["sign"][0])


@given(st.data())
def test_strategies(data):
    game = data.draw(dg.testing.games(objective=Counted, batch=(2,)))
    assert game.reference.shape[0] == 2
    policy = data.draw(dg.testing.policies(game, zeros=0.5))
    np.testing.assert_allclose(policy.sum(-1), 1)
    assert not (policy > 0)[~game.support].any()
    phi = data.draw(dg.testing.objectives(contexts=game.contexts, answers=game.n))
    assert np.isfinite(phi.value(np.full(game.reference.shape, 1 / game.n))).all()


def test_without_hypothesis_the_sentence_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(dg.DagameError, match="pip install hypothesis"):
        dg.testing.games()


def test_objectives_by_name(tmp_path, monkeypatch):
    (tmp_path / "my_own.py").write_text(
        "import dagame as dg\n"
        "class Mine(dg.Objective):\n"
        "    def __init__(self, c=1.0): self.c = c\n"
        "    def value(self, nu, w): return self.c * ((nu[..., 0]) * w).sum(-1)\n"
        "    def reward(self, nu, w): return self.c * (0 * nu + [1.0] + [0.0] * (nu.shape[-1] - 1))\n"
        "ready = Mine(3.0)\n"
        "def factory(): return Mine(4.0)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for text, c in (("Mine", 1), ("Mine(2.0)", 2), ("Mine(c=5)", 5), ("ready", 3), ("factory", 4)):
        assert named_objective(f"my_own:{text}").c == c
    for text, message in (
        ("my_own", "has no name"),
        ("my_own:Nine", "its objectives are Mine"),
        ("no_such_module:X", "cannot be imported"),
        ("my_own:Mine(open('x'))", "literals"),
        ("my_own:Mine(1, 2)", "without arguments|arguments"),
        ("os:getcwd", "not a dagame Objective"),
    ):
        with pytest.raises(dg.DagameError, match=message):
            named_objective(text)


def test_the_atlas_is_a_dictionary_that_prints_as_a_table():
    assert dg.methods["MaxRL"].concave
    assert isinstance(dg.methods, dict)
    for name in dg.methods:
        assert name in repr(dg.methods)
    assert "object at" not in repr(dg.methods)
    assert "<th" in dg.methods._repr_html_()


@pytest.mark.parametrize("m", [2, 3])
def test_half_a_gradient_is_not_taken_for_a_context_weight(m):
    """With two even contexts both are a factor of 2; contexts alike hide whether the value weighs."""

    class Half(dg.Objective):
        def value(self, marginals, weights):
            return (np.log(0.05 + marginals[..., 0]) * weights).sum(-1)

        def reward(self, marginals, weights):
            u = np.zeros_like(marginals)
            u[..., 0] = 0.5 / (0.05 + marginals[..., 0])
            return u

    class Weighted(Half):
        def reward(self, marginals, weights):
            return 2 * super().reward(marginals, weights) * np.asarray(weights)[..., None]

    reference = np.full((m, 3), 1 / 3)
    with pytest.raises(dg.DagameError, match=r"a factor 2 is missing|or by another 2"):
        dg.AlignmentGame(reference, Half(), beta=1.0)
    with pytest.raises(dg.DagameError, match="context weight too much"):
        dg.AlignmentGame(reference, Weighted(), beta=1.0)

"""The experiment on a real model without the model: questions, consistency, votes, predictions."""

import json
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg

questions = pytest.importorskip("real_questions")
pytest.importorskip("transformers")

ANSWERS = st.lists(st.sampled_from(["Paris", "Rome", "Lima", None]), min_size=2, max_size=7)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (" Paris.", "Paris"),
        (" the city of Ottawa, which", "Ottawa"),
        (" is São Paulo", "São"),
        ("\n“Ürümqi” is", "Ürümqi"),
        (" Canada's largest", "Canada"),
        (" St. Louis", "St"),
        (" iPad 12 and Xi'an", "Xi'an"),
        (" a small town in the", None),
        (" 1923", None),
        ("", None),
    ],
)
def test_an_answer_is_the_first_word_that_begins_with_a_capital(text, found):
    assert questions.first_name(text) == found


def test_only_patterns_that_end_in_the_object_are_prompts():
    patterns = ["The capital of [X] is [Y] .", "[Y] is the capital of [X].", "[X]'s capital, [Y]."]
    patterns += ["The law in [X] defines the [Y] language."]
    assert questions.stems(patterns) == ["The capital of [X] is", "[X]'s capital,"]


@pytest.fixture
def folder(tmp_path):
    """A folder like ParaRel's: capitals of countries and of counties, and continents."""

    def write(name, rows):
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")

    def fact(a, b):
        return {"sub_label": a, "obj_label": b}

    countries = [f"Land{i}" for i in range(12)]
    capitals = [fact(c, f"Town{i} City") for i, c in enumerate(countries)]
    write("P36_facts.jsonl", [*capitals, capitals[0], fact("Cook County", "Chicago")])
    write("P17_facts.jsonl", [fact(f"Place{i}", c) for i, c in enumerate(countries[:7])])
    write("P1376_facts.jsonl", [fact(f"Town{i}", c) for i, c in enumerate(countries[7:])])
    places = [fact(f"Hill{i}", "Asia") for i in range(9)] + [fact("Elbe", "Europe")]
    write("P30_facts.jsonl", [*places, *[fact(c, "Europe") for c in countries]])
    for relation in ("P36", "P30"):
        write(
            f"{relation}_patterns.jsonl", [{"pattern": "[X] has [Y]."}, {"pattern": "In [X]: [Y]"}]
        )
    return tmp_path


def test_the_sets_of_facts_are_disjoint_and_of_countries(folder):
    asked = questions.pararel(folder, 5, 3, 4, 3)
    sets = [{r["class_id"] for r in rows} for rows in (asked.train, asked.dev, asked.test)]
    assert [len(s) for s in sets] == [5, 3, 4]
    assert len(set.union(*sets)) == 12
    assert not any("County" in name for s in sets for name in s)
    others = {r["class_id"] for r in asked.other}
    assert others & {"P30 Elbe"}
    assert not {name[4:] for name in others} & {name[4:] for s in sets for name in s}
    for row in asked.train:
        subject = row["class_id"].removeprefix("P36 ")
        assert row["prompt"] == (f"{subject} has", f"In {subject}:")[row["member_id"]]
        assert row["answer"] == "Town" + subject.removeprefix("Land")


def test_more_facts_than_there_are_is_an_error(folder):
    with pytest.raises(ValueError, match="12 capitals are fewer"):
        questions.pararel(folder, 10, 2, 2, 1)


def test_word_problems_have_the_number_after_the_mark(tmp_path):
    file = tmp_path / "test.jsonl"
    rows = [{"question": f"q{i}?", "answer": f"3-1=<<3-1=2>>2\n#### {i},000"} for i in range(4)]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    asked = questions.gsm8k(file, 2, 0, 2, 9)
    assert [len(asked.train), len(asked.dev), len(asked.test)] == [8, 0, 8]
    assert asked.test[0]["answer"] == "2,000"
    assert all("q2?" in r["prompt"][0]["content"] for r in asked.test[:4])


@given(ANSWERS)
def test_consistency_is_the_share_of_pairs_that_agree(answers):
    pairs = list(combinations(answers, 2))
    agreeing = sum(a == b and a is not None for a, b in pairs)
    assert questions.consistency(answers) == pytest.approx(agreeing / len(pairs))


@given(ANSWERS)
def test_collapse_is_the_share_of_the_commonest_answer(answers):
    share, distinct = questions.collapse(answers)
    known = [a for a in answers if a is not None]
    assert distinct == len(set(known))
    assert share == pytest.approx(max((known.count(a) for a in known), default=0) / len(answers))


def test_the_vote_pays_the_answers_that_most_completions_of_the_class_have():
    from real_arms import majority_vote

    answers = ["b", "a", "a", None, None, None, "c", "c", "d", "d", "d", "e"]
    paid = dg.lm.group_rewards(
        [0] * 6 + [1] * 6, [0, 0, 0, 1, 1, 1] * 2, answers, majority_vote, baseline=None
    )
    wanted = [0, 1, 1, None, None, None, 0, 0, 1, 1, 1, 0]
    for reward, vote in zip(paid.rewards, wanted, strict=True):
        assert reward == (0 if vote is None else vote)


@pytest.fixture
def drawn(rng):
    """Samples of three facts in two phrasings, fact k's right answer "k"."""
    rows = [
        {
            "class_id": f"f{c}",
            "member_id": m,
            "answer": str(a) if a < 4 else None,
            "correct": a == c,
        }
        for c in range(3)
        for m in range(2)
        for a in rng.choice(5, 40, p=rng.dirichlet(np.ones(5)))
    ]
    return pl.DataFrame(rows)


def test_equal_weights_measure_what_the_samples_are(drawn):
    from real_measures import weighted_measures

    found = weighted_measures(drawn, np.ones(len(drawn)))
    for k, (_, rows) in enumerate(drawn.group_by("class_id", maintain_order=True)):
        assert found["accuracy"][k] == pytest.approx(rows["correct"].mean())
        one, two = (rows.filter(member_id=m)["answer"].to_list() for m in (0, 1))
        agreeing = np.mean([a == b for a in one for b in two])
        assert found["agreement"][k] == pytest.approx(agreeing)


def test_entropies_are_means_over_parts_of_equal_size(drawn):
    from real_measures import entropies

    found = entropies(drawn, 10)
    for k, (_, rows) in enumerate(drawn.group_by("class_id", maintain_order=True)):
        parts = [rows["answer"].fill_null("none")[i : i + 10] for i in range(0, 80, 10)]
        shares = [p.value_counts()["count"].to_numpy() / 10 for p in parts]
        wanted = np.mean([-(s * np.log(s)).sum() for s in shares])
        assert found[k] == pytest.approx(wanted)


def test_the_prediction_is_the_equilibrium_of_each_fact(drawn):
    from real_measures import predicted

    found = predicted(drawn, dg.Coherence(1.0), 0.5)
    samples = dg.Samples.from_answers(drawn, "class_id", "member_id", correct="correct")
    summary = samples.solve(dg.Coherence(1.0), beta=0.5).summary
    assert np.mean(found["accuracy"]) == pytest.approx(summary["accuracy_equilibrium"], abs=1e-6)
    assert np.mean(found["agreement"]) == pytest.approx(summary["agreement_equilibrium"], abs=1e-6)


def test_a_regrouped_game_is_measured_by_fact(drawn):
    from real_measures import predicted, regrouped

    def exchange(rows):
        new = {"f0": "f1", "f1": "f2", "f2": "f0"}
        return [
            {**r, "class_id": new[r["class_id"]] if r["member_id"] else r["class_id"]} for r in rows
        ]

    moved = regrouped(drawn, exchange)
    assert moved.drop("class_id").equals(drawn.drop("class_id"))
    assert set(moved.filter(class_id="f1", member_id=1)["correct"]) == set(
        drawn.filter(class_id="f0", member_id=1)["correct"]
    )
    same = predicted(drawn, dg.Coherence(0.0), 0.5, exchange)
    plain = predicted(drawn, dg.Coherence(0.0), 0.5)
    for key in plain:
        assert same[key] == pytest.approx(plain[key])


def test_policies_that_nothing_ties_end_at_the_equilibrium(drawn):
    """The reference's weights are alike, so samples of one answer stay alike and T3 holds."""
    from real_tied import Classes, follow

    phi, beta = dg.Coherence(0.5), 1.0
    samples = dg.Samples.from_answers(drawn, "class_id", "member_id")
    wanted = dg.lm.equilibrium_weights(samples, phi, beta=beta).weight / 40
    prompt = np.repeat(np.arange(6), 40)
    found, reached, _ = follow(
        5 * np.eye(240), prompt, Classes.of(drawn, phi), beta, steps=3000, largest=1.0
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert 0 < reached < 1


def test_the_kernel_of_the_last_layer_is_that_of_autograd():
    import torch
    from real_tied import last_layer_kernel

    from dagame.lm import tiny

    model, tokenizer = tiny.load()
    questions_ = [row["prompt"] for row in tiny.rows("test", 2)][:3]
    rows = [(p, t) for p in questions_ for t in (" 12", " so 7.")]
    head = model.get_output_embeddings().weight
    gradients = []
    for prompt, text in rows:
        before = tokenizer(prompt)["input_ids"]
        after = tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            states = model.get_decoder()(torch.tensor([before + after])).last_hidden_state[0]
        h = states[len(before) - 1 : -1]
        log_p = torch.log_softmax(h @ head.T, -1)[torch.arange(len(after)), torch.tensor(after)]
        (g,) = torch.autograd.grad(log_p.sum(), head)
        gradients.append(g.flatten())
    g = torch.stack(gradients)
    wanted = (g @ g[:4].T).detach().numpy()
    wanted /= np.mean(np.diag(wanted[:4]))
    np.testing.assert_allclose(
        last_layer_kernel(model, tokenizer, rows, 4, 4), wanted, rtol=1e-3, atol=1e-4
    )

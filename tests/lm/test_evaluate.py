"""Measures of a model against counting by hand and enumeration of all its completions."""

import itertools
import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from distributed.runs import word_tokenizer  # noqa: E402

import dagame as dg  # noqa: E402
from dagame.lm.evaluation import evaluate  # noqa: E402

torch.set_num_threads(1)
WORDS = ["<pad>", "<eos>", "p", "q", "r", "A", "B", "C"]


class Scripted(torch.nn.Module):
    """The next token's distribution depends on the last token alone: rows of a (8, 8) table."""

    def __init__(self, table):
        super().__init__()
        self.log_p = torch.nn.Parameter(torch.tensor(table, dtype=torch.float64).log())
        self.config, self.device = transformers.PretrainedConfig(), torch.device("cpu")

    def forward(self, input_ids, attention_mask=None):
        return transformers.modeling_outputs.CausalLMOutput(logits=self.log_p[input_ids])


def scripted(**answers):
    """Prompt word -> probabilities of ending at once, A, B, C; an answer is followed by the end."""
    table = np.zeros((8, 8))
    table[:, 1] = 1
    for word, (end, *letters) in answers.items():
        table[WORDS.index(word), 1] = end
        table[WORDS.index(word), 5:] = letters
    return Scripted(table)


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer(WORDS)


def rows(*triples):
    return [
        {"class_id": c, "member_id": k, "prompt": word, "answer": answer}
        for k, (c, word, answer) in enumerate(triples)
    ]


OPTIONS = {"max_new_tokens": 2, "extract": "([A-C])"}


def test_certain_answers_by_hand(tokenizer):
    """p says A, q says B, r says nothing: every measure is a fraction that can be counted."""
    model = scripted(p=(0, 1, 0, 0), q=(0, 0, 1, 0), r=(1, 0, 0, 0))
    table = rows(
        *((7, w, "A") for w in "ppqr"),  # A, A, B, none: majority A, 1 of 6 pairs agrees
        *((3, w, "C") for w in "pqrr"),  # a tie of two wrong answers; the pair "none" agrees
        *((5, w, "B") for w in "rrr"),  # no answer at all: agreement 1, no majority
        *((4, w, "B") for w in "pq"),  # a tie with the right answer in it: half the credit
    )
    found = evaluate(model, tokenizer, table, samples=3, **OPTIONS)
    assert found.sampled_accuracy == found.greedy_accuracy == pytest.approx(3 / 13)
    assert found.majority_accuracy == pytest.approx((1 + 0 + 0 + 0.5) / 4)
    assert found.agreement == pytest.approx((1 / 6 + 1 / 6 + 1 + 0) / 4)
    assert found.no_answer == pytest.approx(6 / 13)
    assert (found.entropy, found.truncated, found.kl, found.kl_error) == (0, 0, None, None)
    assert found.classes["class_id"].to_list() == [7, 3, 5, 4]
    assert found.classes["majority_accuracy"].to_list() == [1, 0, 0, 0.5]
    assert found.classes["contexts"].to_list() == [4, 4, 3, 2]
    np.testing.assert_allclose(found.classes["agreement"], [1 / 6, 1 / 6, 1, 0])
    np.testing.assert_allclose(found.classes["sampled_accuracy"], [0.5, 0, 0, 0.5])
    assert found.prompts["greedy_accuracy"].to_list()[:4] == [1, 1, 0, 0]
    assert found.completions["answer"].to_list()[9:12] == [None] * 3


def test_samples_converge_to_the_enumerated_measures(tokenizer):
    p, q = (0.1, 0.6, 0.3, 0), (0.2, 0.3, 0.4, 0.1)
    base = {"p": (0.25, 0.25, 0.25, 0.25), "q": (0.1, 0.2, 0.3, 0.4)}
    table = rows((0, "p", "A"), (0, "q", "A"))
    found = evaluate(
        scripted(p=p, q=q), tokenizer, table, samples=20_000, reference=scripted(**base), **OPTIONS
    )
    near = {"abs": 0.012}
    assert found.sampled_accuracy == pytest.approx(0.45, **near)
    assert found.greedy_accuracy == 0.5
    assert found.majority_accuracy == 1
    assert found.agreement == pytest.approx(np.dot(p, q), **near)
    assert found.no_answer == pytest.approx(0.15, **near)
    entropy = [-sum(x * math.log(x) for x in nu if x) for nu in (p, q)]
    assert found.entropy == pytest.approx(np.mean(entropy), **near)
    kl = [
        sum(x * math.log(x / y) for x, y in zip(nu, base[w], strict=True) if x)
        for w, nu in (("p", p), ("q", q))
    ]
    assert abs(found.kl - np.mean(kl)) < 4 * found.kl_error
    variance = [
        sum(x * math.log(x / y) ** 2 for x, y in zip(nu, base[w], strict=True) if x) - k**2
        for (w, nu), k in zip((("p", p), ("q", q)), kl, strict=True)
    ]
    assert found.kl_error == pytest.approx(math.sqrt(sum(variance) / 20_000) / 2, rel=0.05)
    np.testing.assert_allclose(found.prompts["kl"], kl, atol=0.03)


def test_measures_are_those_of_the_completions_it_returns(tokenizer, rng):
    table = rows(*itertools.product(range(4), "pqr", "A"))
    words = {w: rng.dirichlet(np.ones(4)) for w in "pqr"}
    found = evaluate(
        scripted(**words), tokenizer, table, samples=5, reference=scripted(**words), **OPTIONS
    )
    drawn = found.completions
    assert len(drawn) == 60
    assert found.sampled_accuracy == pytest.approx(drawn["correct"].mean())
    for row in drawn.rows(named=True):
        assert (row["answer"] == "A") == row["correct"]
        assert row["completion"] == (row["answer"] or "")
        word = table[row["member_id"]]["prompt"]
        letter = "ABC".find(row["completion"]) + 1 if row["completion"] else 0
        assert row["log_prob"] == pytest.approx(math.log(words[word][letter]))
    assert found.kl == pytest.approx(0, abs=1e-12)
    samples = dg.Samples.from_answers(drawn, "class_id", "member_id", correct="correct")
    solved = samples.solve(dg.Coherence(), beta=1.0).summary
    assert solved["agreement_reference"] == pytest.approx(found.agreement)
    assert solved["majority_accuracy"] == pytest.approx(found.majority_accuracy)
    assert solved["accuracy_reference"] == pytest.approx(found.sampled_accuracy)


def test_what_is_unknown_is_none_and_the_rest_is_json(tokenizer):
    table = [{"class_id": k, "member_id": 0, "prompt": "p"} for k in "xy"]
    model = scripted(p=(0, 0.5, 0.5, 0))
    found = evaluate(model, tokenizer, table, samples=1, reference=model, **OPTIONS)
    for name in ("sampled_accuracy", "greedy_accuracy", "majority_accuracy", "agreement"):
        assert getattr(found, name) is None
    assert found.kl == 0
    assert found.kl_error is None
    shown = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert (shown["classes"], shown["prompts"], shown["completions"]) == (2, 2, 2)
    assert found.completions["correct"].null_count() == 2


def test_truncation_seeds_and_canonical_answers(tokenizer):
    model = scripted(p=(0.4, 0.6, 0, 0))
    table = rows((0, "p", "a"))
    short = {"samples": 200, "max_new_tokens": 1, "extract": "([A-C])"}
    cut = evaluate(model, tokenizer, table, **short)
    assert 0 < cut.truncated < cut.no_answer == 1
    read = evaluate(model, tokenizer, table, truncated="read", **short)
    assert read.truncated == cut.truncated == 1 - read.no_answer
    assert cut.sampled_accuracy == read.sampled_accuracy == 0
    with pytest.raises(dg.DagameError, match="choose one of no-answer, read"):
        evaluate(model, tokenizer, table, truncated="keep", **short)
    folded = evaluate(model, tokenizer, table, samples=200, canonical="casefold", **OPTIONS)
    assert folded.sampled_accuracy == pytest.approx(1 - folded.no_answer)
    again, other = (
        evaluate(model, tokenizer, table, samples=200, canonical="casefold", seed=s, **OPTIONS)
        for s in (0, 1)
    )
    assert again.completions.equals(folded.completions)
    assert not other.completions.equals(folded.completions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.clear(), "no rows"),
        (lambda t: t[1].pop("prompt"), "row 1 has no 'prompt'"),
        (lambda t: t[1].pop("answer"), "row 1 has no 'answer'"),
        (lambda t: t[0].pop("answer"), "row 1 has an 'answer' but row 0"),
    ],
)
def test_incomplete_rows_are_named(tokenizer, change, message):
    table = rows((0, "p", "A"), (0, "q", "A"))
    change(table)
    with pytest.raises(dg.DagameError, match=message):
        evaluate(scripted(p=(1, 0, 0, 0)), tokenizer, table, samples=1, **OPTIONS)

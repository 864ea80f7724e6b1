"""A pretrained model whose answers are a known list: exact scores, exact game, exact and sampled gap.

Five facts and four phrasings of ParaRel (Elazar et al., 2021), relation P30 (continent).
"""

import numpy as np
import pytest

import dagame as dg

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from dagame.lm.models.generation import complete, tokenise  # noqa: E402
from dagame.lm.models.loading import pretrained  # noqa: E402
from dagame.lm.models.smollm2 import ABSENT, cached  # noqa: E402

SUBJECTS = ("Turkey", "Kenya", "Peru", "Portugal", "Herbert Range")
PHRASINGS = (
    "{} is located in",
    "{} is located in the continent",
    "{} belongs to the continent of",
    "{} is a part of the continent of",
)
ANSWERS = [" Africa", " Antarctica", " Asia", " Europe", " North America", " South America"]
BETA = 0.3


@pytest.fixture(scope="module")
def smollm2():
    with pytest.MonkeyPatch.context() as patch:
        folder = cached()
        if folder is None:  # the suite's own cache is empty
            patch.delenv("DAGAME_CACHE_DIR", raising=False)
            folder = cached()
    if folder is None:
        pytest.skip(ABSENT)
    torch.set_num_threads(1)
    model = pretrained(transformers.AutoModelForCausalLM, folder, dtype=torch.float32)
    return model, pretrained(transformers.AutoTokenizer, folder)


@pytest.fixture(scope="module")
def prompts():
    return [phrasing.format(x) for x in SUBJECTS for phrasing in PHRASINGS]


@pytest.fixture(scope="module")
def log_p(smollm2, prompts):
    found = dg.lm.score_answers(smollm2[0], prompts, ANSWERS, smollm2[1])
    return found.reshape(len(SUBJECTS), len(PHRASINGS), len(ANSWERS))


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_scores_are_those_of_the_whole_text(smollm2, prompts, log_p):
    model, tokenizer = smollm2
    for k, a in ((7, 1), (18, 5)):
        head, tail = ids_of(tokenizer, prompts[k]), ids_of(tokenizer, ANSWERS[a])
        with torch.no_grad():
            logits = model(torch.tensor([head + tail]), use_cache=False).logits[0].double()
        steps = logits.log_softmax(-1)[len(head) - 1 : -1]
        plain = sum(float(row[t]) for row, t in zip(steps, tail, strict=True))
        assert log_p.reshape(-1, len(ANSWERS))[k, a] == pytest.approx(plain, abs=1e-3)


def test_answers_are_sampled_as_often_as_they_are_scored(smollm2, prompts, log_p):
    model, tokenizer = smollm2
    answers, n, prompt = [ids_of(tokenizer, a) for a in ANSWERS], 64, prompts[2]
    longest = max(map(len, answers))
    ids = tokenise(tokenizer, [prompt])
    drawn = complete(model, tokenizer, ids, n, max_new_tokens=longest, seed=0).token_ids[0]
    count = np.array([(drawn[:, : len(a)] == a).all(-1).sum() for a in answers])
    p = np.exp(log_p[0, 2])
    assert (np.abs(count - n * p) <= 4.5 * np.sqrt(n * p * (1 - p)) + 1).all()
    assert count.sum() > n / 3


def drawn_from(rng, p, k):
    """K answers of each class and phrasing, as rows."""
    classes, m, n = p.shape
    return {
        "class_id": np.repeat(np.arange(classes), m * k),
        "member_id": np.tile(np.repeat(np.arange(m), k), classes),
        "answer": np.concatenate([rng.choice(n, k, p=row) for row in p.reshape(-1, n)]),
    }


def test_the_sampled_interval_holds_the_exact_gap(rng, log_p):
    objective = dg.Coherence(1.0)
    game, mass = dg.lm.answer_game(log_p, objective, beta=BETA)
    assert ((mass > 0) & (mass < 1)).all()
    assert mass.mean() > 0.2
    pi0, best = np.asarray(game.reference), np.asarray(dg.solve(game).policy)
    mixed = pi0**0.75 * best**0.25
    pi = mixed / mixed.sum(-1, keepdims=True)
    gaps = np.asarray(game.value(best)) - np.asarray(game.value(pi))
    kl = (best * np.log(best / pi)).sum(-1).mean(-1)
    assert (dg.certify(game, pi).gap >= gaps - 1e-9).all()
    assert (gaps >= BETA * kl - 1e-9).all()  # a gap bounds the distance
    exact, held = float(gaps.mean()), 0
    for seed in range(10):
        ours, theirs = drawn_from(rng, pi, 64), drawn_from(rng, pi0, 64)
        at = (ours["class_id"], ours["member_id"], ours["answer"])
        ours |= {"log_policy": np.log(pi[at]), "log_reference": np.log(pi0[at])}
        for rows in (ours, theirs):
            rows["answer"] = rows["answer"].astype(str)
        found = dg.lm.certificate_from_samples(ours, theirs, objective, BETA, seed=seed)
        low, high = found.interval
        held += low <= exact <= high
        assert high < 10 * exact
    assert held >= 8

"""Exact answer probabilities against plain forward passes, and GGUF files that are none."""

import itertools

import numpy as np
import pytest
import torch

import dagame as dg
from dagame.errors import GenerationError, InvalidGame
from dagame.lm import tiny
from dagame.lm.models.gguf import folder_of


@pytest.fixture(scope="module")
def embedded():
    model, tokenizer = tiny.load()
    return model.double(), tokenizer


def plain(model, prompt, answer):
    """The sum of token log-probabilities of the whole text, in one pass without a cache."""
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *answer]]), use_cache=False).logits[0].double()
    at = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
    log_p = logits.log_softmax(-1)
    return sum(float(log_p[i, t]) for i, t in zip(at, answer, strict=True))


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_scores_are_those_of_the_whole_text(rng, embedded, batch_size):
    model, _ = embedded
    size = model.config.vocab_size
    prompts = [rng.integers(3, size, n).tolist() for n in (1, 5, 12)]
    answers = [[3 + k, *rng.integers(3, size, n)] for k, n in enumerate((0, 4, 2, 1, 0))]
    found = dg.lm.score_answers(model, prompts, answers, batch_size=batch_size)
    expected = [[plain(model, p, a) for a in answers] for p in prompts]
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_texts_are_their_tokens_and_an_end_is_one_of_several(embedded):
    model, tokenizer = embedded
    prompts = tiny.prompts(tiny.problems("test")[0])[:2]
    ids = tokenizer(prompts)["input_ids"]
    words = ["1", "1 2", "7"]
    found = dg.lm.score_answers(model, prompts, words, tokenizer, end=[1, 0])
    for p, row in zip(ids, found, strict=True):
        for word, value in zip(words, row, strict=True):
            a = tokenizer(word, add_special_tokens=False)["input_ids"]
            ends = [plain(model, p, [*a, t]) for t in (0, 1)]
            assert value == pytest.approx(np.logaddexp(*ends), abs=1e-10)


def test_all_first_tokens_and_all_pairs_have_mass_one(embedded):
    model, _ = embedded
    size = model.config.vocab_size
    one = dg.lm.score_answers(model, [[5, 9]], [[t] for t in range(size)])
    assert np.exp(one).sum() == pytest.approx(1, abs=1e-12)
    pairs = list(itertools.product(range(size), repeat=2))
    two = dg.lm.score_answers(model, [[5, 9]], pairs, batch_size=4096)
    assert np.exp(two).sum() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("answers", [[[3], [3, 4]], [[3, 4], [5], [3]], [[3], [3]]])
def test_overlapping_answers_are_refused(embedded, answers):
    with pytest.raises(InvalidGame, match="overlap"):
        dg.lm.score_answers(embedded[0], [[5]], answers)


def test_the_game_is_the_model_given_the_list(rng, embedded):
    log_p = dg.lm.score_answers(embedded[0], [[5, 9], [8], [4, 4]], [[3], [4], [6]])
    game, mass = dg.lm.answer_game(log_p, dg.Coherence(1.0), beta=0.3)
    np.testing.assert_allclose(mass, np.exp(log_p).sum(-1), rtol=1e-12)
    expected = np.exp(log_p) / np.exp(log_p).sum(-1, keepdims=True)
    np.testing.assert_allclose(game.reference, expected, rtol=1e-12)
    assert dg.certify(game, dg.solve(game).policy).gap < 1e-6
    with pytest.raises(InvalidGame, match="mass"):
        dg.lm.answer_game(np.zeros((2, 3)), dg.Coherence(1.0), beta=0.3)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"PK\x03\x04zip", "not a GGUF"), (b"GGUF\x03\0\0\0", "cut off"), (None, "read")],
)
def test_files_that_are_no_models(tmp_path, monkeypatch, content, said):
    pytest.importorskip("gguf")
    monkeypatch.setenv("DAGAME_CACHE_DIR", str(tmp_path / "cache"))
    file = tmp_path / "x.gguf"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(GenerationError, match=said):
        folder_of(file)
    assert not [
        p for p in tmp_path.rglob("*") if p.is_dir() and p.name != "cache" and p.name != "models"
    ]


def test_the_sampled_certificate_holds_the_exact_gap_of_the_embedded_model(rng, embedded):
    model, tokenizer = embedded
    ids = tokenizer(tiny.prompts(tiny.problems("test")[0])[:3])["input_ids"]
    log_p = dg.lm.score_answers(model, ids, [[t] for t in range(model.config.vocab_size)])
    game, mass = dg.lm.answer_game(log_p, dg.Coherence(1.0), beta=0.3)
    np.testing.assert_allclose(mass, 1, atol=1e-10)
    pi0, best = np.asarray(game.reference), np.asarray(dg.solve(game).policy)
    exact = float(game.value(best)) - float(game.value(pi0))
    m, k = len(pi0), 256
    held = 0
    for seed in range(20):
        ours, theirs = (
            {
                "class_id": np.zeros(m * k, int),
                "member_id": np.repeat(np.arange(m), k),
                "answer": np.concatenate([rng.choice(len(p), k, p=p) for p in pi0]).astype(str),
                "log_policy": np.zeros(m * k),
                "log_reference": np.zeros(m * k),
            }
            for _ in range(2)
        )
        found = dg.lm.certificate_from_samples(ours, theirs, dg.Coherence(1.0), 0.3, seed=seed)
        held += found.interval[0] <= exact <= found.interval[1]
    assert held >= 16

"""Exact games of language models whose completions can all be enumerated; samples against them."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from distributed import runs  # noqa: E402
from distributed.runs import word_tokenizer  # noqa: E402

import dagame as dg  # noqa: E402
from dagame.errors import DagameError, InvalidGame, SamplesError  # noqa: E402
from dagame.lm.certificates.estimate import certificate  # noqa: E402
from dagame.lm.models.enumerate import enumerate_traces, policy_table, trace_game  # noqa: E402
from dagame.lm.models.sample import generate  # noqa: E402

torch.set_num_threads(1)
WORDS = ["<pad>", "<eos>", "a", "b", "c"]
PROMPTS = ["a b", "b a", "c c"]
T = 3
BETA = 0.3


def random_model(seed, spread=0.5):
    sizes = {"num_hidden_layers": 1, "max_position_embeddings": 16, "initializer_range": spread}
    return runs.random_model(seed, WORDS, **sizes)


def last_word(text):
    return text.split()[-1] if text.split() else None


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer(WORDS)


@pytest.fixture(scope="module")
def models():
    """A policy a few steps away from its reference."""
    policy, reference = random_model(0), random_model(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in policy.parameters():
            p += 0.15 * torch.randn(p.shape, generator=generator)
    return policy, reference


def test_all_completions_once_with_their_probabilities(models, tokenizer):
    found = enumerate_traces(models[1], tokenizer, PROMPTS, max_new_tokens=T)
    others = (0, 2, 3, 4)
    want = {(*body, 1) for n in range(T) for body in itertools.product(others, repeat=n)}
    want |= set(itertools.product(others, repeat=T))
    for p in range(len(PROMPTS)):
        rows = [tuple(t[m]) for t, m in zip(found.token_ids[p], found.mask[p], strict=True)]
        assert len(rows) == len(set(rows)) == len(want)
        assert set(rows) == want
    np.testing.assert_allclose(np.exp(found.log_prob).sum(-1), 1, atol=1e-6)
    np.testing.assert_array_equal(found.truncated, ~(found.token_ids == 1).any(-1))
    few = generate(models[1], tokenizer, PROMPTS, 40, max_new_tokens=T, seed=0)
    for p in range(len(PROMPTS)):
        exact = {
            tuple(t[m]): lp
            for t, m, lp in zip(found.token_ids[p], found.mask[p], found.log_prob[p], strict=True)
        }
        for t, m, lp in zip(few.token_ids[p], few.mask[p], few.log_prob[p], strict=True):
            assert exact[tuple(t[m])] == pytest.approx(lp, abs=1e-5)


def test_several_end_tokens_and_too_many_traces(tokenizer):
    model = random_model(3)
    model.generation_config.eos_token_id = [1, 4]
    found = enumerate_traces(model, tokenizer, ["a"], max_new_tokens=2)
    assert found.log_prob.shape == (1, 2 + 3 * 2 + 3**2)
    np.testing.assert_allclose(np.exp(found.log_prob).sum(), 1, atol=1e-6)
    with pytest.raises(InvalidGame, match="too many"):
        enumerate_traces(model, tokenizer, ["a"], max_new_tokens=12)


def test_the_game_of_all_traces(models, tokenizer):
    policy, reference = models
    traces = enumerate_traces(reference, tokenizer, PROMPTS, max_new_tokens=T)
    game, answers = trace_game(traces, dg.Coherence(1.0), beta=BETA, extract=last_word)
    assert answers == ["a", "b", "c", None]
    nu = np.zeros((len(PROMPTS), 4))
    read = np.zeros((len(PROMPTS), 4))
    for p, i in np.ndindex(*traces.log_prob.shape):
        word = last_word(traces.texts[p][i])
        ended = (traces.token_ids[p, i][traces.mask[p, i]] == 1).any()
        nu[p, answers.index(word if ended else None)] += np.exp(traces.log_prob[p, i])
        read[p, answers.index(word)] += np.exp(traces.log_prob[p, i])
    np.testing.assert_allclose(np.exp(game.log_reference_answers), nu, atol=1e-6)
    all_read, same = trace_game(
        traces, dg.Coherence(1.0), beta=BETA, extract=last_word, truncated="read"
    )
    assert same == answers
    np.testing.assert_allclose(np.exp(all_read.log_reference_answers), read, atol=1e-6)
    assert np.abs(read - nu).max() > 0.1
    table = policy_table(enumerate_traces(policy, tokenizer, PROMPTS, max_new_tokens=T))
    gain = float(dg.solve(game).value - game.value(table))
    assert 0 < gain <= float(dg.certify(game, table).gap) + 1e-12


@pytest.mark.parametrize(
    "objective", [dg.ShannonDiversity(1.0), dg.Coherence(1.0), dg.GiniDiversity(0.5)], ids=repr
)
def test_the_interval_covers_the_exact_gap_and_the_estimate_finds_it(models, tokenizer, objective):
    policy, reference = models
    traces = enumerate_traces(reference, tokenizer, PROMPTS, max_new_tokens=T)
    game, _ = trace_game(traces, objective, beta=BETA, extract=last_word)
    table = policy_table(enumerate_traces(policy, tokenizer, PROMPTS, max_new_tokens=T))
    gain = float(dg.solve(game).value - game.value(table))
    rows = [{"class_id": "q", "member_id": x, "prompt": p} for x, p in enumerate(PROMPTS)]
    widths = []
    for samples, tolerance in ((64, None), (3000, 0.03)):
        found = certificate(
            policy,
            reference,
            rows,
            objective,
            BETA,
            samples,
            tokenizer=tokenizer,
            extract=last_word,
            max_new_tokens=T,
            batch_size=4096,
        )
        low, high = found.interval
        assert low <= gain <= high
        widths.append(high - low)
        if tolerance is not None:
            assert found.gap == pytest.approx(gain, abs=tolerance)
            assert found.value == pytest.approx(float(game.value(table)), abs=tolerance)
    assert widths[1] < 0.4 * widths[0]


def test_the_three_forms_of_prompts_and_a_model_against_itself(models, tokenizer):
    reference = models[1]
    options = {"tokenizer": tokenizer, "extract": last_word, "max_new_tokens": T, "seed": 3}
    phi = dg.Coherence(1.0)
    rows = [
        {"class_id": c, "member_id": x, "prompt": p}
        for c, x, p in ((0, 0, "a b"), (0, 1, "b a"), (1, 0, "c"), (1, 1, "c c"))
    ]
    texts = [row["prompt"] for row in rows]
    said = []
    one = certificate(reference, reference, rows, phi, BETA, 16, progress=said.append, **options)
    other = certificate(reference, reference, [texts[:2], texts[2:]], phi, BETA, 16, **options)
    third = certificate(
        reference, reference, texts, phi, BETA, 16, class_ids=[0, 0, 1, 1], **options
    )
    assert one.gap == other.gap == third.gap
    assert one.kl == pytest.approx(0, abs=1e-6)
    assert any("scoring" in s for s in said)
    seen = []
    certificate(reference, reference, texts, lambda b: seen.append(b) or phi, BETA, 16, **options)
    assert any((b.counts % 2).any() for b in seen)  # the two models' samples are not the same
    alone = certificate(reference, reference, texts, phi, BETA, 8, **options)
    assert alone.classes["contexts"].to_list() == [1] * 4
    assert alone.gap == pytest.approx(0, abs=1e-6)
    for prompts, extra, message in (
        ([], {}, "no prompts"),
        (["a"], {"class_ids": [1, 2]}, "2 class ids for 1 prompts"),
        ([{"prompt": "a"}], {}, "no 'class_id'"),
        ([rows[0], rows[0]], {}, "two prompts"),
    ):
        with pytest.raises(SamplesError, match=message):
            certificate(reference, reference, prompts, phi, BETA, 8, **options, **extra)
    for refused, extra, message in (
        (phi, {"samples": 3}, "at least 4"),
        (phi, {"reference_samples": 0}, "at least 4"),
        (phi, {"smoothing": -1.0}, "smoothing"),
        (dg.Sharpening(0.1), {}, "not concave"),
    ):
        with pytest.raises(DagameError, match=message):
            certificate(None, None, texts, refused, BETA, **options, **extra)
    with pytest.raises(InvalidGame, match="adapter"):
        certificate(reference, None, texts, phi, BETA, 8, **options)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_an_adapter_is_certified_against_its_base(models, tokenizer):
    peft = pytest.importorskip("peft")
    adapter = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    base = random_model(0)
    torch.manual_seed(0)
    wrapped = peft.get_peft_model(random_model(0), adapter)
    with torch.no_grad():
        for name, p in wrapped.named_parameters():
            if "lora_B" in name:
                p += 0.5 * torch.randn(p.shape)
    options = {"tokenizer": tokenizer, "extract": last_word, "max_new_tokens": T}
    one = certificate(wrapped, None, [PROMPTS], dg.Coherence(1.0), BETA, 32, **options)
    two = certificate(wrapped, base, [PROMPTS], dg.Coherence(1.0), BETA, 32, **options)
    assert one.gap == pytest.approx(two.gap, abs=1e-5)
    assert one.kl > 1e-3

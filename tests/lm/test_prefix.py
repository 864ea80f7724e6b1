"""Prompts read once for all their completions give what each sequence by itself gives."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from dagame.lm import tiny  # noqa: E402
from dagame.lm.models import prefix  # noqa: E402
from dagame.lm.models.prefix import token_log_probs_shared  # noqa: E402
from dagame.lm.models.scoring import token_log_probs  # noqa: E402

SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
WIDE = SIZES | {"intermediate_size": 64, "num_key_value_heads": 2, "max_position_embeddings": 64}


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**WIDE))


def sliding():
    return transformers.MistralForCausalLM(transformers.MistralConfig(**WIDE, sliding_window=4))


def learned_positions():
    sizes = {"vocab_size": 60, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))


def offset_positions():
    sizes = {"ffn_dim": 64, "max_position_embeddings": 64, "word_embed_proj_dim": 32}
    return transformers.OPTForCausalLM(transformers.OPTConfig(**SIZES, **sizes))


def no_positions():
    sizes = {"vocab_size": 60, "hidden_size": 32, "n_layer": 2, "n_head": 4}
    return transformers.BloomForCausalLM(transformers.BloomConfig(**sizes))


def recurrent():
    sizes = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}
    return transformers.MambaForCausalLM(transformers.MambaConfig(**sizes))


MODELS = [llama, sliding, learned_positions, offset_positions, no_positions, recurrent]


def built(make):
    torch.manual_seed(0)
    model = make().eval()
    return model if make is no_positions else model.double()  # Bloom in double: see below


def completions(seed, prompts, k=5, width=6, vocabulary=60):
    rng = np.random.default_rng(seed)
    rows = [list(p) for p in prompts for _ in range(k)]
    tokens = rng.integers(0, vocabulary, (len(rows), width))
    length = rng.integers(0, width + 1, len(rows))
    return rows, tokens, np.arange(width) < length[:, None]


LONG = [[7, 8, 9, 10, 11], [3, 4], [12, 13, 14]]
SHORT = [[7, 8, 9], [5], [12, 13]]


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("prompts", [LONG, SHORT], ids=["longer", "one of one token"])
@pytest.mark.parametrize("batch_size", [4, 7, 64])
def test_it_is_what_each_sequence_gives(make, prompts, batch_size):
    model, given = built(make), completions(1, prompts)
    alone = token_log_probs(model, *given, batch_size=1)
    shared = token_log_probs_shared(model, *given, batch_size=batch_size)
    np.testing.assert_allclose(shared, alone, atol=2e-5 if make is no_positions else 1e-9)
    assert (shared[~given[2]] == 0).all()


@pytest.mark.parametrize("make", MODELS[:-1])
def test_each_prompt_is_read_once(make, monkeypatch):
    model, (rows, tokens, mask) = built(make), completions(2, LONG)
    read, inner = [], prefix.forward
    monkeypatch.setattr(prefix, "token_log_probs", None)  # the way without sharing
    monkeypatch.setattr(
        prefix, "forward", lambda m, t, o: read.append(t["input_ids"].shape) or inner(m, t, o)
    )
    token_log_probs_shared(model, rows, tokens, mask)
    different = len({(*p, "|", *t[:n]) for p, t, n in zip(rows, tokens, mask.sum(-1), strict=True)})
    assert [tuple(shape) for shape in read] == [(3, 4), (different, int(mask.sum(-1).max()))]


def test_different_prompts_are_read_as_before(monkeypatch):
    model, (rows, tokens, mask) = built(llama), completions(3, LONG, k=1)
    monkeypatch.setattr(prefix, "forward", None)
    alone = token_log_probs(model, rows, tokens, mask)
    assert (token_log_probs_shared(model, rows, tokens, mask) == alone).all()


def test_where_padding_spoils_the_logits_each_sequence_is_read():
    model, given = built(no_positions).double(), completions(5, LONG)
    alone = token_log_probs(model, *given)
    np.testing.assert_allclose(token_log_probs_shared(model, *given), alone, atol=1e-9)


def test_equal_completions_are_scored_once(monkeypatch):
    model, (rows, tokens, mask) = built(llama), completions(6, LONG)
    again = np.random.default_rng(7).permutation(np.repeat(np.arange(len(rows)), 3))
    given = [rows[k] for k in again], tokens[again], mask[again]
    read, inner = [], prefix.forward
    monkeypatch.setattr(
        prefix, "forward", lambda m, t, o: read.append(len(t["input_ids"])) or inner(m, t, o)
    )
    found = token_log_probs_shared(model, *given)
    empty = {(k // 5, 0) for k in range(len(rows)) if not mask[k].any()}
    different = len(
        {(k // 5, tuple(tokens[k][mask[k]])) for k in range(len(rows)) if mask[k].any()}
    )
    assert read == [3, different + len(empty)]
    np.testing.assert_allclose(found, token_log_probs(model, *given), atol=1e-9)


def test_the_embedded_model_in_single_precision():
    model, tokenizer = tiny.load()
    prompts = [tokenizer(r["prompt"])["input_ids"] for r in tiny.rows("test", 3)]
    given = completions(4, prompts, vocabulary=len(tokenizer))
    np.testing.assert_allclose(
        token_log_probs_shared(model, *given), token_log_probs(model, *given), atol=2e-4
    )

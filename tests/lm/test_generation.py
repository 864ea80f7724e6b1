"""Sampling from a language model against enumeration of every completion it can give."""

import itertools
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from distributed import runs  # noqa: E402

from dagame.errors import DagameError  # noqa: E402
from dagame.lm.models.generation import Generations, complete, log_probability  # noqa: E402
from dagame.lm.models.sample import generate  # noqa: E402
from dagame.lm.models.scoring import score  # noqa: E402

torch.set_num_threads(1)
WORDS = ["<pad>", "<eos>", "a", "b"]
T = 3


def word_tokenizer(words=WORDS):
    return runs.word_tokenizer(words)


def random_model(seed=0, vocabulary=4, **options):
    sizes = {"vocab_size": vocabulary, "max_position_embeddings": 16, "initializer_range": 0.25}
    return runs.random_model(seed, WORDS[:vocabulary], **sizes | options)


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer()


def completions(length=T):
    """Every completion: tokens without <eos>, then <eos>, or `length` tokens without one."""
    for n in range(length):
        yield from ((*body, 1) for body in itertools.product((0, 2, 3), repeat=n))
    yield from itertools.product((0, 2, 3), repeat=length)


def log_prob_by_hand(model, prompt_ids, tokens):
    """One unpadded row, one pass, float64."""
    ids = torch.tensor([[*prompt_ids, *tokens]])
    with torch.no_grad():
        log_p = model(ids).logits[0].double().log_softmax(-1)
    start = len(prompt_ids) - 1
    return sum(float(log_p[start + t, token]) for t, token in enumerate(tokens))


def test_frequencies_are_those_of_the_enumerated_completions(model, tokenizer):
    prompts = ["a b", "b"]
    found = generate(model, tokenizer, prompts, 6000, max_new_tokens=T, seed=1, batch_size=4000)
    for p, ids in enumerate(([2, 3], [3])):
        exact = {c: math.exp(log_prob_by_hand(model, ids, c)) for c in completions()}
        assert sum(exact.values()) == pytest.approx(1, abs=1e-5)
        drawn = [
            tuple(row[keep].tolist())
            for row, keep in zip(found.token_ids[p], found.mask[p], strict=True)
        ]
        assert set(drawn) <= set(exact)
        for c, probability in exact.items():
            error = drawn.count(c) / len(drawn) - probability
            assert abs(error) < 4.5 * math.sqrt(probability / len(drawn)) + 1e-3
        worst = max(
            abs(found.log_prob[p, k] - math.log(exact[c])) for k, c in enumerate(drawn[:300])
        )
        assert worst < 1e-5


def test_shapes_masks_and_texts(model, tokenizer):
    found = generate(model, tokenizer, ["a", "b a b"], 40, max_new_tokens=T, seed=0)
    assert found.token_ids.shape == found.mask.shape == (2, 40, T)
    assert found.token_ids.dtype == np.int64
    assert found.log_prob.dtype == np.float64
    lengths = found.mask.sum(-1)
    assert (np.diff(found.mask.astype(int), axis=-1) <= 0).all()
    last = np.take_along_axis(found.token_ids, lengths[..., None] - 1, -1)[..., 0]
    np.testing.assert_array_equal(found.truncated, last != 1)
    assert (lengths[found.truncated] == T).all()
    assert 0 < found.truncated.mean() < 1
    for p, k in np.ndindex(2, 40):
        kept = found.token_ids[p, k][found.mask[p, k]]
        assert found.texts[p][k] == " ".join(WORDS[i] for i in kept if i > 1)


def test_greedy_takes_the_likeliest_token(model, tokenizer):
    prompts = ["a b a", "b"]
    found = generate(model, tokenizer, prompts, 1, max_new_tokens=T, seed=0, greedy=True)
    for p, ids in enumerate(([2, 3, 2], [3])):
        want = []
        while len(want) < T and 1 not in want:
            with torch.no_grad():
                want.append(int(model(torch.tensor([ids + want])).logits[0, -1].argmax()))
        assert found.token_ids[p, 0][found.mask[p, 0]].tolist() == want
        assert found.log_prob[p, 0] == pytest.approx(log_prob_by_hand(model, ids, want), abs=1e-5)


def test_padding_and_batches_change_nothing(model, tokenizer):
    prompts = ["a", "b a b a b", "b b"]
    whole = generate(model, tokenizer, prompts, 50, max_new_tokens=T, seed=3)
    parts = generate(model, tokenizer, prompts, 50, max_new_tokens=T, seed=3, batch_size=7)
    alone = generate(model, tokenizer, prompts[:1], 50, max_new_tokens=T, seed=3)
    np.testing.assert_array_equal(whole.token_ids, parts.token_ids)
    np.testing.assert_array_equal(whole.token_ids[:1], alone.token_ids)
    np.testing.assert_allclose(whole.log_prob, parts.log_prob, atol=1e-5)
    np.testing.assert_allclose(whole.log_prob[:1], alone.log_prob, atol=1e-5)


def test_a_prompt_is_read_once_for_its_completions(model, tokenizer):
    """Tokens that the embedding sees: of each prompt once, then one of each row and step."""
    ids: list[list[int]] = [[3, 2, 3, 2, 3], [2, 3], [3, 3, 2]]
    seen = []
    hook = model.get_input_embeddings().register_forward_hook(
        lambda _module, inputs, _out: seen.append(inputs[0].numel())
    )
    try:
        complete(model, tokenizer, ids, 40, max_new_tokens=T, seed=0)
    finally:
        hook.remove()
    assert seen[0] == len(ids) * 4  # padded to the longest, without its last token
    assert seen[1:] == [len(ids) * 40] * T


def test_a_seed_for_each_prompt_makes_it_independent_of_the_others(model, tokenizer):
    ids, seeds = [[3, 2, 3, 2, 3], [2, 3], [3, 3, 2]], [5, 6, 7]
    whole = complete(model, tokenizer, ids, 40, max_new_tokens=T, seed=seeds)
    for p in range(3):
        alone = complete(model, tokenizer, [ids[p]], 40, max_new_tokens=T, seed=seeds[p])
        np.testing.assert_array_equal(whole.token_ids[p], alone.token_ids[0])
        np.testing.assert_allclose(whole.log_prob[p], alone.log_prob[0], atol=1e-5)


def test_a_model_with_recurrent_states_reads_each_row(tokenizer):
    torch.manual_seed(0)
    config = transformers.MambaConfig(
        vocab_size=4, hidden_size=16, num_hidden_layers=1, state_size=4, eos_token_id=1
    )
    model = transformers.MambaForCausalLM(config)
    ids = [[3, 2, 3], [2, 3, 2]]
    found = complete(model, tokenizer, ids, 4, max_new_tokens=T, seed=0)
    for p, k in np.ndindex(2, 4):
        tokens = found.token_ids[p, k][found.mask[p, k]].tolist()
        hand = log_prob_by_hand(model, ids[p], tokens)
        assert found.log_prob[p, k] == pytest.approx(hand, abs=1e-5)


def test_absolute_positions_count_from_the_first_real_token(tokenizer):
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=4, n_positions=16, n_embd=16, n_layer=1, n_head=2, initializer_range=0.5
    )
    model = transformers.GPT2LMHeadModel(config)
    model.generation_config.eos_token_id = 1
    found = generate(model, tokenizer, ["a", "b a b a b"], 20, max_new_tokens=T, seed=0)
    scored = log_probability(model, tokenizer, ["a", "b a b a b"], found)
    for k in range(20):
        kept = found.token_ids[0, k][found.mask[0, k]].tolist()
        want = log_prob_by_hand(model.eval(), [2], kept)
        assert found.log_prob[0, k] == pytest.approx(want, abs=1e-5)
        assert scored[0, k] == pytest.approx(want, abs=1e-5)


def test_seeds_repeat_and_global_state_stays(model, tokenizer):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    tokenizer.padding_side = "right"
    model.train()
    model.model.layers[0].eval()
    one, two, other = (
        generate(model, tokenizer, ["a b"], 30, max_new_tokens=T, seed=s) for s in (7, 7, 8)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert tokenizer.padding_side == "right"
    assert model.training
    assert not model.model.layers[0].training
    model.eval()
    np.testing.assert_array_equal(one.token_ids, two.token_ids)
    assert (one.token_ids != other.token_ids).any()


def test_log_probability_recomputes_and_scores_another_model(model, tokenizer):
    prompts = ["a", "b a b a"]
    found = generate(model, tokenizer, prompts, 60, max_new_tokens=T, seed=0)
    again = log_probability(model, tokenizer, prompts, found, batch_size=17)
    np.testing.assert_allclose(again, found.log_prob, atol=1e-5)
    other = random_model(seed=1)
    scored = log_probability(other, tokenizer, prompts, found)
    for p, ids in enumerate(([2], [3, 2, 3, 2])):
        for k in range(10):
            kept = found.token_ids[p, k][found.mask[p, k]].tolist()
            assert scored[p, k] == pytest.approx(log_prob_by_hand(other, ids, kept), abs=1e-5)
    assert (found.log_prob - scored).mean() > 0


def test_settings_of_the_model_do_not_bend_the_distribution(tokenizer):
    plain, bent = random_model(), random_model()
    bent.generation_config.update(do_sample=True, top_k=1, temperature=0.1, repetition_penalty=3.0)
    one, other = (
        generate(m, tokenizer, ["a b"], 50, max_new_tokens=T, seed=0) for m in (plain, bent)
    )
    np.testing.assert_array_equal(one.token_ids, other.token_ids)
    bent.generation_config.eos_token_id = [1, 2]
    both = generate(bent, tokenizer, ["a b"], 50, max_new_tokens=T, seed=0)
    last = both.mask.sum(-1) - 1
    assert (one.token_ids[0, :, :-1] == 2).any()
    for k in range(50):
        tokens = both.token_ids[0, k][both.mask[0, k]]
        assert not np.isin(tokens[:-1], [1, 2]).any()
        np.testing.assert_array_equal(tokens, one.token_ids[0, k, : last[0, k] + 1])


def test_a_model_without_positions_or_cache(tokenizer):
    """Only input_ids and attention_mask are taken, and no cache is given back."""

    class Bigram(torch.nn.Module):
        def __init__(self):
            super().__init__()
            generator = torch.Generator().manual_seed(0)
            self.table = torch.nn.Parameter(torch.randn(4, 4, generator=generator))
            self.config, self.device = transformers.PretrainedConfig(), torch.device("cpu")

        def forward(self, input_ids, attention_mask=None):
            return transformers.modeling_outputs.CausalLMOutput(logits=self.table[input_ids])

    bigram = Bigram()
    found = generate(bigram, tokenizer, ["a", "b b"], 50, max_new_tokens=T, seed=0)
    log_p = bigram.table.detach().double().log_softmax(-1).numpy()
    for p, k in np.ndindex(2, 50):
        tokens = [(2, 3)[p], *found.token_ids[p, k][found.mask[p, k]]]
        want = sum(log_p[i, j] for i, j in itertools.pairwise(tokens))
        assert found.log_prob[p, k] == pytest.approx(want, abs=1e-6)
    again = log_probability(bigram, tokenizer, ["a", "b b"], found)
    np.testing.assert_allclose(again, found.log_prob, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_an_adapter_that_is_zero_changes_nothing(model, tokenizer):
    peft = pytest.importorskip("peft")
    adapter = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    wrapped = peft.get_peft_model(random_model(), adapter)
    one, other = (
        generate(m, tokenizer, ["a b"], 20, max_new_tokens=T, seed=0) for m in (model, wrapped)
    )
    np.testing.assert_array_equal(one.token_ids, other.token_ids)
    np.testing.assert_allclose(
        log_probability(wrapped, tokenizer, ["a b"], one), one.log_prob, atol=1e-5
    )


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        (["a"], {"greedy": True, "samples": 2}, "give 1"),
        (["a"], {"samples": 0}, "at least 1"),
        ([], {}, "no prompts"),
        (["a", ""], {}, "prompt 1 .* no tokens"),
        (["a " * 14], {}, "14 tokens, which with 3 new ones"),
    ],
)
def test_what_cannot_be_sampled_is_refused(model, tokenizer, prompts, options, message):
    options = {"samples": 1, "max_new_tokens": T, "seed": 0} | options
    with pytest.raises(DagameError, match=message):
        generate(model, tokenizer, prompts, **options)


def test_a_diverged_model_and_missing_tokens_are_named(tokenizer):
    broken = random_model()
    with torch.no_grad():
        broken.lm_head.weight.fill_(float("nan"))
    with pytest.raises(DagameError, match="not finite"):
        generate(broken, tokenizer, ["a"], 1, max_new_tokens=1, seed=0)
    endless = word_tokenizer()
    endless.eos_token = None
    broken.generation_config.eos_token_id = None
    with pytest.raises(DagameError, match="end-of-sequence"):
        generate(broken, endless, ["a"], 1, max_new_tokens=1, seed=0)
    found = generate(random_model(), tokenizer, ["a"], 1, max_new_tokens=1, seed=0)
    with pytest.raises(DagameError, match="2 prompts for the generations of 1"):
        log_probability(random_model(), tokenizer, ["a", "b"], found)


def test_the_position_limit_is_each_rows_own(model, tokenizer):
    """A prompt of 15 tokens fits with a completion of 1 beside a short one with 3, of 16 positions."""
    found = generate(model, tokenizer, ["b"], 1, max_new_tokens=T, seed=3)
    tokens = np.concatenate([found.token_ids, np.ones((1, 1, T), dtype=np.int64)])
    rest = np.zeros((2, 1)), [[""], [""]], np.zeros((2, 1), dtype=bool)
    short = np.array([[[True, True, True]], [[True, False, False]]])
    prompts = ["b", "a " * 15]
    scored = log_probability(model, tokenizer, prompts, Generations(tokens, short, *rest))
    assert np.isfinite(scored).all()
    with pytest.raises(DagameError, match="prompt 1 has 15 tokens, which with 3 new ones"):
        log_probability(model, tokenizer, prompts, Generations(tokens, np.ones_like(short), *rest))


class Narrow(torch.nn.Module):
    """A causal model whose forward takes ids and mask, and what else is named in `more`."""

    def __init__(self, model, more=(), broken=False):
        super().__init__()
        self.inner, self.more, self.broken, self.asked = model, more, broken, []
        self.config, self.device = model.config, model.device

    def forward(self, input_ids, attention_mask, **options):
        self.asked.append(sorted(options))
        for name in options:
            if name not in self.more:
                raise TypeError(f"forward() got an unexpected keyword argument {name!r}")
        if self.broken:
            raise TypeError("unsupported operand")
        return self.inner(input_ids, attention_mask=attention_mask, **options)


def test_arguments_that_a_model_does_not_take_are_tried_once_and_change_nothing(model):
    prompts, tokens = [[2, 3], [3]], np.array([[2, 3, 1], [3, 1, 0]])
    mask = np.array([[True, True, True], [True, True, False]])
    wanted = [
        log_prob_by_hand(model, p, t[m]) for p, t, m in zip(prompts, tokens, mask, strict=True)
    ]
    full = ["logits_to_keep", "use_cache"]
    for more, passes in (
        (("use_cache", "logits_to_keep"), [full, full]),
        (("logits_to_keep",), [full, ["logits_to_keep"], ["logits_to_keep"]]),
        ((), [full, ["logits_to_keep"], [], []]),
    ):
        kind = type("Kind", (Narrow,), {})
        narrow = kind(model, more)
        for _ in range(2):
            np.testing.assert_allclose(score(narrow, prompts, tokens, mask), wanted, atol=1e-5)
        assert narrow.asked == passes


def test_any_other_error_of_a_model_is_its_own(model):
    broken, one = Narrow(model, ("use_cache", "logits_to_keep"), True), np.ones((1, 1), int)
    with pytest.raises(TypeError, match="unsupported operand"):
        score(broken, [[2]], one, one > 0)

"""A table of deliberate breakages, each stopped by the self-check; what is sound passes."""

import copy
import dataclasses
import functools
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from distributed.runs import random_model  # noqa: E402

import dagame as dg  # noqa: E402
from dagame.errors import SelfCheckFailed  # noqa: E402
from dagame.lm import tiny  # noqa: E402
from dagame.lm.models import generation, prefix, scoring  # noqa: E402
from dagame.lm.models.enumerate import enumerate_traces  # noqa: E402
from dagame.lm.models.reference import sequence_log_probability  # noqa: E402
from dagame.lm.models.selfcheck import (  # noqa: E402
    require_agreement,
    require_probabilities,
    require_self_check,
    self_check,
)
from dagame.lm.models.selfcheck_batches import _ratios, batch_check, require_no_kl  # noqa: E402
from dagame.lm.models.selfcheck_texts import text_fault  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def shipped():
    return tiny.load()


@pytest.fixture(scope="module")
def prompts():
    return [row["prompt"] for row in tiny.rows("test", 4)]


def faults(model, tokenizer, prompts):
    return {
        check.name: check.detail for check in self_check(model, tokenizer, prompts) if not check.ok
    }


def test_the_embedded_model_passes_with_any_seed(shipped, prompts):
    for seed in range(20):
        checks = self_check(*shipped, prompts[seed % 7 :], seed=seed)
        assert all(check.ok for check in checks), checks
    assert len(checks) == 10
    require_self_check(*shipped, prompts)


# -- breakages ------------------------------------------------------------------------------------


def wrapped_forward(model, change):
    """Replace `forward` by `change(forward, **arguments)`."""
    inner = model.forward

    @functools.wraps(inner)
    def forward(*args, **kwargs):
        return change(inner, *args, **kwargs)

    model.forward = forward


def wrapped_generate(model, before):
    """Let `generate` run with what `before(model, arguments)` makes of its arguments."""
    inner = model.generate

    def generate(**kwargs):
        return inner(**before(model, kwargs))

    model.generate = generate


def renamed_argument(model, tokenizer, patch):
    """`forward` takes the cache under a name that nobody uses: it is swallowed without a word."""

    def change(inner, *args, **kwargs):
        given = {k: v for k, v in kwargs.items() if k not in ("past_key_values", "cache")}
        return inner(*args, **given)

    wrapped_forward(model, change)


def cache_dropped(model, tokenizer, patch):
    """A step after the first sees its own token alone."""

    def change(inner, *args, **kwargs):
        ids = kwargs["input_ids"]
        if ids.shape[1] == 1:
            kwargs = {"input_ids": ids}
        return inner(*args, **kwargs)

    wrapped_forward(model, change)


def dropout_left_on(model, tokenizer, patch):
    layer = model.model.layers[0]
    layer.register_forward_hook(
        lambda module, args, out: torch.nn.functional.dropout(out, 0.1, training=True)
    )


def temperature(model, tokenizer, patch):
    def before(model, kwargs):
        heat = transformers.TemperatureLogitsWarper(0.9)
        kwargs["logits_processor"] = [heat, *kwargs.get("logits_processor", [])]
        return kwargs

    wrapped_generate(model, before)


def temperature_in_the_choice(model, tokenizer, patch):
    inner = generation._inverse_cdf
    patch.setattr(generation, "_inverse_cdf", lambda p, u: inner(p ** (1 / 0.9), u))


def own_top_k(model, tokenizer, patch):
    """The model's own settings reach `generate` after all."""
    patch.setattr(generation, "settings_replaced", lambda model, settings: torch.no_grad())
    model.generation_config.repetition_penalty = 1.5


def top_k(model, tokenizer, patch):
    def before(model, kwargs):
        few = transformers.TopKLogitsWarper(2)
        kwargs["logits_processor"] = [few, *kwargs.get("logits_processor", [])]
        return kwargs

    wrapped_generate(model, before)


def own_sampling(model, tokenizer, patch):
    """`generate` draws by itself and ignores what is chosen for it."""

    def before(model, kwargs):
        kwargs["logits_processor"] = [
            lambda ids, scores, p=p: (p(ids, scores), scores)[1]
            for p in kwargs.get("logits_processor", [])
        ]
        return kwargs

    wrapped_generate(model, before)


def scorer_off_by_one(model, tokenizer, patch):
    inner = scoring.next_token_log_probs

    def late(model, ids, tokens, mask):
        found = list(inner(model, ids, tokens, mask))
        return iter([*found[1:], found[-1]])

    patch.setattr(scoring, "next_token_log_probs", late)


def scorer_sees_padding(model, tokenizer, patch):
    """The scorer pads on the left and masks nothing."""

    def left(model, rows, first):
        width = max(map(len, rows))
        ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows])
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, first:]

    patch.setattr(scoring, "logits_from", left)


def shared_prompts_mixed_up(model, tokenizer, patch):
    """Each completion is scored behind the prompt of another."""
    inner = prefix.read_once

    def mixed(model, rows, ids, attention):
        cache = inner(model, rows, ids, attention)
        for value in cache.values():
            value.batch_select_indices(torch.arange(len(rows)).flip(0))
        return cache

    patch.setattr(prefix, "read_once", mixed)


def sampler_pads_on_the_right(model, tokenizer, patch):
    def right(rows, pad, device):
        width = max(map(len, rows))
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
        return ids, torch.ones_like(ids)

    patch.setattr(generation, "left_padded", right)


def positions_count_padding(model, tokenizer, patch):
    """Every token behind the padding has the position of its column, and the padding is read."""

    def before(model, kwargs):
        kwargs["attention_mask"] = torch.ones_like(kwargs["attention_mask"])
        return kwargs

    wrapped_generate(model, before)


def padding_counts(model, tokenizer, patch):
    """What stands behind the end token belongs to the completion."""
    inner = generation._batch

    def batch(*args):
        tokens, log_prob, length = inner(*args)
        return tokens, log_prob, np.full_like(length, tokens.shape[1])

    patch.setattr(generation, "_batch", batch)


def end_token_lost(model, tokenizer, patch):
    """Completions come back without their end token."""
    inner = generation._batch

    def batch(*args):
        tokens, log_prob, length = inner(*args)
        return tokens, log_prob, np.maximum(length - 1, 1)

    patch.setattr(generation, "_batch", batch)


def logits_shifted(model, tokenizer, patch):
    """Row t of the logits is about token t, not t + 1."""

    def change(inner, *args, **kwargs):
        out = inner(*args, **kwargs)
        out.logits = out.logits.roll(1, dims=1)
        return out

    wrapped_forward(model, change)


def sees_the_future(model, tokenizer, patch):
    for layer in model.model.layers:
        layer.register_forward_hook(lambda module, args, out: out + 0.1 * out.mean(1, keepdim=True))


def half_precision_sampler(model, tokenizer, patch):
    inner = model.generate

    def generate(**kwargs):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return inner(**kwargs)

    model.generate = generate


def stale_weights(model, tokenizer, patch):
    """`generate` is that of a copy from before the last updates."""
    old = copy.deepcopy(model)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(0))
    model.generate = old.generate


def adapter_stays_off(model, tokenizer, patch):
    """Switching the adapter off for the reference leaves the policy without it."""

    class Off:
        def __enter__(self):
            with torch.no_grad():
                model.model.layers[0].mlp.down_proj.weight.mul_(0.5)

        def __exit__(self, *error):
            return None

    model.disable_adapter = Off


def another_greedy(model, tokenizer, patch):
    """`generate` without a processor is bent by settings that cannot be replaced."""

    def before(model, kwargs):
        if "logits_processor" not in kwargs:
            far = transformers.RepetitionPenaltyLogitsProcessor(5.0)
            kwargs["logits_processor"] = [far]
        return kwargs

    wrapped_generate(model, before)


def another_seed(model, tokenizer, patch):
    """Tokens do not depend on the seed's numbers."""
    inner = generation._inverse_cdf
    patch.setattr(generation, "_inverse_cdf", lambda p, u: inner(p, 1 - u))


def needed_argument_refused(model, tokenizer, patch):
    """`forward` has no attention mask any more."""

    def change(inner, *args, **kwargs):
        if "attention_mask" in kwargs:
            raise TypeError("forward() got an unexpected keyword argument 'attention_mask'")
        return inner(*args, **kwargs)

    wrapped_forward(model, change)


def beginning_twice(model, tokenizer, patch):
    tokenizer.bos_token = "<unk>"
    inner = type(tokenizer).__call__

    def twice(self, text, **kwargs):
        found = inner(self, text, **kwargs)
        bos = [self.bos_token_id] * 2
        rows = found["input_ids"]
        found["input_ids"] = [bos + r for r in rows] if isinstance(text, list) else bos + rows
        return found

    patch.setattr(type(tokenizer), "__call__", twice)


def words_lost(model, tokenizer, patch):
    """A tokenizer that cuts long texts."""
    inner = type(tokenizer).__call__

    def short(self, text, **kwargs):
        found = inner(self, text, **kwargs)
        rows = found["input_ids"]
        found["input_ids"] = [r[-6:] for r in rows] if isinstance(text, list) else rows[-6:]
        return found

    patch.setattr(type(tokenizer), "__call__", short)


def other_tokens_in_a_batch(model, tokenizer, patch):
    inner = type(tokenizer).__call__

    def padded(self, text, **kwargs):
        if isinstance(text, list):
            kwargs = kwargs | {"padding": True}
        return inner(self, text, **kwargs)

    patch.setattr(type(tokenizer), "__call__", padded)


def texts_cut(model, tokenizer, patch):
    """Decoding a batch loses the last word of each text."""
    inner = type(tokenizer).batch_decode
    patch.setattr(
        type(tokenizer),
        "batch_decode",
        lambda self, rows, **kwargs: [t.rpartition(" ")[0] for t in inner(self, rows, **kwargs)],
    )


BREAKAGES = {
    renamed_argument: "sampler",
    cache_dropped: "sampler",
    dropout_left_on: "repeats",
    temperature: "sampler",
    temperature_in_the_choice: "choices",
    own_top_k: "sampler",
    top_k: "sampler",
    own_sampling: "other tokens than its logits processor chose",
    scorer_off_by_one: "scorer",
    scorer_sees_padding: "scorer",
    shared_prompts_mixed_up: "scorer",
    sampler_pads_on_the_right: "sampler",
    positions_count_padding: "sampler",
    padding_counts: "ends",
    end_token_lost: "ends",
    logits_shifted: "scorer",
    sees_the_future: "sampler",
    half_precision_sampler: "sampler",
    stale_weights: "sampler",
    adapter_stays_off: "adapter",
    another_greedy: "greedy",
    another_seed: "choices",
    needed_argument_refused: "interface",
    beginning_twice: "begin",
    words_lost: "prompts",
    other_tokens_in_a_batch: "prompts",
    texts_cut: "texts",
}


@pytest.mark.parametrize("broken", BREAKAGES, ids=lambda f: f.__name__)
def test_a_breakage_is_stopped(broken, shipped, prompts, monkeypatch):
    model, tokenizer = (copy.deepcopy(part) for part in shipped)
    broken(model, tokenizer, monkeypatch)
    with pytest.raises(dg.DagameError) as caught:
        require_self_check(model, tokenizer, prompts)
    said, wanted = str(caught.value), BREAKAGES[broken]
    if broken is own_sampling:
        assert wanted in said
        return
    assert isinstance(caught.value, SelfCheckFailed)
    assert wanted in faults(model, tokenizer, prompts)
    assert said.startswith("self-check (")
    assert f"transformers {transformers.__version__}, torch {torch.__version__}" in said


def test_a_tokenizer_that_strips_is_stopped_where_the_vocabulary_has_blanks(shipped):
    """A byte-level tokenizer reads a prompt's last line break; stripped, the prompt is another."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {c: i for i, c in enumerate(["<pad>", "<eos>", *alphabet])}
    core = Tokenizer(models.BPE(vocabulary, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()

    class Stripping(transformers.PreTrainedTokenizerFast):
        def __call__(self, text, **kwargs):
            texts = [t.strip() for t in text] if isinstance(text, list) else text.strip()
            return super().__call__(texts, **kwargs)

    sizes = {"num_hidden_layers": 1, "max_position_embeddings": 64, "initializer_range": 0.02}
    model = random_model(0, vocabulary, **sizes)
    asked = ["Q: 2 + 2\nA:\n", " an indented question ", "na\u00efve \u2713"]
    plain, stripping = (
        kind(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")
        for kind in (transformers.PreTrainedTokenizerFast, Stripping)
    )
    require_self_check(model, plain, asked)
    assert "blanks at the ends" in faults(model, stripping, asked)["prompts"]
    decode = type(plain).decode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            transformers.PreTrainedTokenizerFast,
            "batch_decode",
            lambda self, rows, **kw: [decode(self, row, **kw).strip()[1:] for row in rows],
        )
        assert "texts" in faults(model, plain, asked)


def test_number_signs_are_text_but_for_word_pieces():
    """A word piece's "##" joins it to the piece before; a byte-level token "##" is what it says."""
    from tokenizers import Tokenizer, decoders, models

    bytes_ = Tokenizer(models.BPE({"#": 0, "##": 1, "x": 2, "<eos>": 3}, [("#", "#")]))
    bytes_.decoder = decoders.ByteLevel()
    pieces = Tokenizer(
        models.WordPiece({"on": 0, "##ce": 1, "<unk>": 2, "<eos>": 3}, unk_token="<unk>")
    )
    pieces.decoder = decoders.WordPiece()
    for core, ids, text in ((bytes_, [1, 2, 1, 0], "##x###"), (pieces, [0, 1], "once")):
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>")
        assert tokenizer.decode(ids) == text
        assert text_fault(tokenizer, ids, text) is None
    lossy = transformers.PreTrainedTokenizerFast(tokenizer_object=bytes_, eos_token="<eos>")
    lossy.decode = lambda ids, **kw: "x" if ids == [1, 2] else type(lossy).decode(lossy, ids, **kw)
    assert "lacks characters" in text_fault(lossy, [1, 2], "x")


def test_special_tokens_without_a_role_are_no_lost_characters():
    """<unk> and <tool> are left out of texts as <eos> is, though no attribute of the tokenizer names them."""
    from tokenizers import AddedToken, Tokenizer, models

    core = Tokenizer(models.WordLevel({"x": 0, "<eos>": 1, "<unk>": 2, "<tool>": 3}, "<unk>"))
    core.add_special_tokens([AddedToken(t, special=True) for t in ("<eos>", "<unk>", "<tool>")])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>")
    assert not {2, 3} & set(tokenizer.all_special_ids)
    assert tokenizer.decode([2, 0, 3], skip_special_tokens=True) == "x"
    assert text_fault(tokenizer, [2, 0, 3], "x") is None


def test_models_without_generate_and_of_other_vocabularies(shipped, prompts):
    model, tokenizer = shipped

    class Bare(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.config, self.device = model.model, model.config, model.device
            self.head = model.lm_head

        def forward(self, input_ids, attention_mask=None):
            hidden = self.inner(input_ids, attention_mask=attention_mask, use_cache=False)
            logits = self.head(hidden.last_hidden_state)
            return SimpleNamespace(logits=logits)

    assert faults(Bare(), tokenizer, prompts) == {}
    other = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=200,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            pad_token_id=0,
            eos_token_id=1,
        )
    )
    with pytest.raises(SelfCheckFailed, match="vocabularies of different sizes"):
        require_agreement([model, other], tokenizer, prompts, 8)
    require_agreement([model, model, None], tokenizer, prompts, 8)


def test_every_run_that_samples_is_stopped(shipped, prompts, monkeypatch):
    model, tokenizer = (copy.deepcopy(part) for part in shipped)
    rows = tiny.rows("test", 1)
    renamed_argument(model, tokenizer, monkeypatch)
    common = {"extract": tiny.extract, "max_new_tokens": 8}
    runs = [
        lambda: dg.lm.generate(model, tokenizer, prompts, 2, max_new_tokens=8, seed=0),
        lambda: dg.lm.evaluate(model, tokenizer, rows, samples=2, **common),
        lambda: dg.lm.evaluate(shipped[0], tokenizer, rows, samples=2, reference=model, **common),
        lambda: dg.lm.certificate(
            shipped[0], model, rows, dg.Coherence(), 0.1, 4, tokenizer=tokenizer, **common
        ),
        lambda: enumerate_traces(model, tokenizer, prompts[:1], max_new_tokens=2),
    ]
    for run in runs:
        with pytest.raises(SelfCheckFailed, match=r"self-check \(sampler\).*transformers "):
            run()
    with pytest.raises(SelfCheckFailed, match=r"sum to 0\.5"):
        require_probabilities(shipped[0], np.log([[0.25, 0.25]]))


# -- batches of a trainer -------------------------------------------------------------------------


def drawn(model, tokenizer, prompts, samples=40, heat=1.0, keep=None, seed=0):
    """Completions by the library's own sampling, as a trainer draws them."""
    tokenizer.padding_side = "left"
    given = tokenizer(
        [p for p in prompts for _ in range(samples)], return_tensors="pt", padding=True
    )
    torch.manual_seed(seed)
    with torch.no_grad():
        out = model.generate(
            input_ids=given["input_ids"],
            attention_mask=given["attention_mask"],
            do_sample=True,
            temperature=heat,
            top_k=keep or 0,
            max_new_tokens=16,
        )
    out = out[:, given["input_ids"].shape[1] :].tolist()
    ids = tokenizer(prompts)["input_ids"]
    rows = [row[: row.index(1) + 1] if 1 in row else row for row in out]
    return (
        [i for i in ids for _ in range(samples)],
        rows,
        tokenizer.batch_decode(rows, skip_special_tokens=True),
    )


def batch_faults(model, tokenizer, ids, rows, texts):
    found = batch_check(model, tokenizer, ids, rows, texts, limit=16)
    return {check.name: check.detail for check in found if not check.ok}


def heated(shipped, factor=0.4):
    """The embedded model with flatter logits, whose tokens are uncertain."""
    model = copy.deepcopy(shipped[0])
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach() * factor)
    return model


def test_a_trainers_samples_pass(shipped, prompts):
    tokenizer = copy.deepcopy(shipped[1])
    for model, seed in ((shipped[0], 0), (heated(shipped), 1), (heated(shipped, 0.1), 2)):
        batch = drawn(model, tokenizer, prompts[:8], 16, seed=seed)
        assert batch_faults(model, tokenizer, *batch) == {}


@pytest.mark.parametrize("settings", [{"heat": 0.9}, {"heat": 1.2}, {"keep": 20}], ids=str)
def test_a_trainer_that_samples_otherwise_is_stopped(shipped, prompts, settings):
    model, tokenizer = heated(shipped), copy.deepcopy(shipped[1])
    batch = drawn(model, tokenizer, prompts[:8], 64, **settings)
    assert "not samples of its model" in batch_faults(model, tokenizer, *batch)["samples"]


def test_a_trainer_with_stale_weights_lost_ends_other_texts_or_dropout_is_stopped(shipped, prompts):
    model, tokenizer = heated(shipped), copy.deepcopy(shipped[1])
    ids, rows, texts = drawn(model, tokenizer, prompts[:8], 16)
    assert "samples" in batch_faults(shipped[0], tokenizer, ids, rows, texts)
    endless = [row[:-1] if row[-1] == 1 else row for row in rows]
    assert "without an end token" in batch_faults(model, tokenizer, ids, endless, texts)["ends"]
    padded = [[*row, 1, 1] if row[-1] == 1 else row for row in rows]
    assert "behind an end token" in batch_faults(model, tokenizer, ids, padded, texts)["ends"]
    stripped = [text[1:] for text in texts]
    assert "texts" in batch_faults(model, tokenizer, ids, rows, stripped)
    dropout_left_on(model, tokenizer, None)
    assert "disable_dropout" in batch_faults(model, tokenizer, ids, rows, texts)["repeats"]


def test_a_reference_of_the_same_weights_that_answers_otherwise_is_stopped(shipped, prompts):
    model, tokenizer = shipped
    reference = copy.deepcopy(model)
    ids, rows, _ = drawn(model, copy.deepcopy(tokenizer), prompts[:2], 4)
    ratio = sequence_log_probability(model, ids, rows)
    require_no_kl(model, reference, ratio - sequence_log_probability(reference, ids, rows), rows)
    dropout_left_on(reference, tokenizer, None)
    other = sequence_log_probability(reference, ids, rows)
    with pytest.raises(SelfCheckFailed, match="policy and reference have the same weights"):
        require_no_kl(model, reference, ratio - other, rows)
    with torch.no_grad():
        reference.lm_head.weight.mul_(0.9)
    require_no_kl(model, reference, ratio - other, rows)  # another model may differ


def test_the_first_batch_of_verl_is_stopped_where_its_engines_differ():
    pytest.importorskip("datasets")
    from dagame.lm.trainers.verl.advantages import Trajectories, check_first_batch

    rng = np.random.default_rng(0)
    mask = np.array([[1, 1, 0], [1, 1, 1], [1, 0, 0]])
    policy = rng.normal(-1, 1, mask.shape)
    rows = Trajectories(
        keys=["a_0_0", "a_1_0", "b_0_0"],
        class_id=np.zeros(3, int),
        member_id=np.array([0, 0, 1]),
        class_size=np.full(3, 2),
        answers=["x"] * 3,
        correct=np.full(3, np.nan),
        mask=mask,
        padding=np.array([False, False, True]),
        log_ratio=np.where(mask, 1e-3, 9.0),
    )
    check_first_batch(rows, policy, policy + np.where(mask, 0.01, 9.0), fresh=True)
    check_first_batch(rows, policy, None, fresh=False)
    with pytest.raises(SelfCheckFailed, match=r"engine that sampled .* differ by 0\.3 nats"):
        check_first_batch(rows, policy, policy + 0.3, fresh=True)
    apart = dataclasses.replace(rows, log_ratio=np.full(mask.shape, 2.0))
    check_first_batch(apart, policy, policy, fresh=False)
    with pytest.raises(SelfCheckFailed, match=r"before any update .* differ by 2 nats"):
        check_first_batch(apart, policy, policy, fresh=True)


def test_likelihood_ratios_have_mean_one_at_most(rng):
    """Over all tokens: sum of p times q/p is the mass of q, by enumeration of the vocabulary."""
    log_p = torch.tensor(rng.normal(scale=2.0, size=(1, 60))).log_softmax(-1)
    ratios = torch.stack([_ratios(log_p, torch.tensor([[k]]))[:, 0] for k in range(60)])
    mass = (log_p[0][:, None] + ratios).exp().sum(0)
    assert (mass < 1 + 1e-9).all()
    assert (mass > 1 - 1e-6).all()

"""One path from completion to key: training, evaluation, certificate and enumeration read alike."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("trl")

from distributed.runs import word_tokenizer  # noqa: E402

import dagame as dg  # noqa: E402
from dagame.lm.certificates.estimate import _answer_frame, _prompt_rows  # noqa: E402
from dagame.lm.evaluation import evaluate  # noqa: E402
from dagame.lm.models.enumerate import trace_game  # noqa: E402
from dagame.lm.models.generation import Generations  # noqa: E402
from dagame.lm.trainers.trl.reward import GroupReward  # noqa: E402
from dagame.lm.trainers.verl.advantages import read_answer  # noqa: E402
from dagame.samples.keys.reader import AnswerReader  # noqa: E402

torch.set_num_threads(1)
WORDS = ["<pad>", "<eos>", "Q", "USA", "usa", "France", "7", "so"]
COMPLETIONS = ["so USA", "so usa", "so France", "so 7", "so so", ""]
"""Each written by a model that then ends, or is cut."""


def raises_at_seven(text):
    """A function of the caller's that cannot read everything."""
    if "7" in text:
        raise RuntimeError("seven")
    words = text.split()
    return words[-1] if words and words[-1] != "so" else None


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer(WORDS)


class Says(torch.nn.Module):
    """A model that gives one completion, whatever it is asked, and then ends or goes on."""

    def __init__(self, tokens, limit):
        super().__init__()
        self.tokens, self.limit = tokens, limit
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.config, self.device = transformers.PretrainedConfig(), torch.device("cpu")

    def forward(self, input_ids, attention_mask=None):
        logits = torch.full((*input_ids.shape, len(WORDS)), -30.0)
        script = [*self.tokens, 1]
        for t in range(input_ids.shape[1]):
            logits[:, t, script[min(t, len(script) - 1)]] = 30.0
        return transformers.modeling_outputs.CausalLMOutput(logits=logits)


def generations(text, ended):
    """Two completions of one prompt that say the same."""
    one = np.ones((1, 2))
    return Generations(
        np.ones((1, 2, 1), dtype=int), np.ones((1, 2, 1), bool), 0 * one, [[text] * 2],
        one == (0 if ended else 1),
    )  # fmt: skip


OPTIONS = {"extract": raises_at_seven, "canonical": "exact"}


def by_training(text, ended, answer, aliases, truncated, tokenizer):
    reward = GroupReward(
        dg.Coherence(), beta=0.1, group_size=3, truncated=truncated, no_answer="keep", **OPTIONS
    )
    reward._tokenizer, reward._model = tokenizer, Says([], 4)
    reward._checked = True
    seen = {}
    labels = {"answer": [answer] * 6, "aliases": [aliases] * 6}
    reward(
        ["Q"] * 6,
        [text] * 6,
        [[7, 1] if ended else [7, 7]] * 6,
        class_id=[0] * 6,
        member_id=[0] * 3 + [1] * 3,
        class_size=[2] * 6,
        log_extra=lambda name, values: seen.update({name: values}),
        log_metric=lambda name, value: seen.update({name: value}),
        **labels,
    )
    return seen["answer"][0], seen.get("game/accuracy")


def by_evaluation(text, ended, answer, aliases, truncated, tokenizer):
    tokens = [WORDS.index(w) for w in text.split()]
    if not ended and not tokens:
        pytest.skip("nothing was said and nothing was cut")
    row = {"class_id": 0, "member_id": 0, "prompt": "Q", "answer": answer, "aliases": aliases}
    if answer is None:
        del row["answer"]
    found = evaluate(
        Says(tokens, 4),
        tokenizer,
        [row],
        samples=2,
        max_new_tokens=len(tokens) + int(ended),
        truncated=truncated,
        **OPTIONS,
    )
    assert found.completions["completion"][0] == text
    return found.completions["answer"][0], found.sampled_accuracy


def by_certificate(text, ended, answer, aliases, truncated, tokenizer):
    row = {"class_id": 0, "member_id": 0, "prompt": "Q", "answer": answer, "aliases": aliases}
    frame = _answer_frame(
        AnswerReader(**OPTIONS),
        _prompt_rows([row], None),
        generations(text, ended),
        truncated,
        None,
    )
    right = frame["correct"][0] if "correct" in frame.columns else None
    return frame["answer"][0], right


def by_enumeration(text, ended, answer, aliases, truncated, tokenizer):
    _, answers = trace_game(
        generations(text, ended), dg.Coherence(), beta=0.1, truncated=truncated, **OPTIONS
    )
    return answers[0], None


def by_verl(text, ended, answer, aliases, truncated, tokenizer):
    cut = truncated == "no-answer" and not ended
    found = read_answer(AnswerReader(**OPTIONS), text, answer, aliases, cut)
    return found["pred"], found["acc"]


ENTRANCES = [by_training, by_evaluation, by_certificate, by_enumeration, by_verl]


def wanted(text, ended, answer, aliases, truncated):
    """By hand: the last word, USA and usa one where the data set says so."""
    words = text.split()
    key = words[-1] if words and words[-1] not in ("so", "7") else None
    if truncated == "no-answer" and not ended:
        key = None
    if answer is None:
        return key, None
    group = answer if isinstance(answer, list) else [answer]
    return (group[0] if key in group else key), float(key in group)


@pytest.mark.filterwarnings("ignore:the extract function raised:UserWarning")
@pytest.mark.parametrize("truncated", ["no-answer", "read"])
@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("answer", [None, "USA", ["USA", "usa"]], ids=str)
@pytest.mark.parametrize("entrance", ENTRANCES, ids=lambda f: f.__name__)
def test_every_entrance_reads_alike(entrance, answer, ended, truncated, tokenizer):
    for text in COMPLETIONS if entrance is not by_evaluation else COMPLETIONS[:5]:
        key, right = wanted(text, ended, answer, None, truncated)
        found, judged = entrance(text, ended, answer, None, truncated, tokenizer)
        if entrance is by_enumeration:  # it knows no labels
            key, right, judged = wanted(text, ended, None, None, truncated)[0], None, None
        assert (found, judged) == (key, right), (text, found, judged)


@pytest.mark.parametrize("entrance", [by_training, by_evaluation, by_certificate, by_verl])
def test_aliases_without_a_right_answer_make_one_key(entrance, tokenizer):
    for text in COMPLETIONS[:2]:
        found, right = entrance(text, True, None, ["USA", "usa"], "no-answer", tokenizer)
        assert found == "USA"
        assert right is None


def test_files_are_read_by_the_same_keys(tmp_path):
    """Where no labels, cuts or errors are involved, a file of the same completions has these keys."""
    path = tmp_path / "samples.jsonl"
    read = [text for text in COMPLETIONS if "7" not in text]
    path.write_text("".join(json.dumps({"q": 0, "completion": t}) + "\n" for t in read))
    samples = dg.Samples.read(path, "q", extract=raises_at_seven)
    keys = [wanted(text, True, None, None, "read")[0] for text in read]
    (bucket,) = samples.partition.buckets()
    counts = {key: keys.count(key) for key in keys}
    assert sorted(bucket.counts[0, 0].tolist()) == sorted(counts.values())


def test_an_unknown_rule_is_refused():
    with pytest.raises(dg.DagameError, match="truncated is 'drop'; choose one of no-answer, read"):
        GroupReward(dg.Coherence(), beta=0.1, truncated="drop")


def test_labels_of_several_aliases_reach_the_certificate_of_a_labelled_objective(tokenizer):
    """A reward of the right answer, which rows name in two spellings."""
    from dagame.samples.metrics import labelled_table

    model = Says([7, 4], 4)
    rows = [
        {"class_id": 0, "member_id": k, "prompt": "Q", "answer": ["USA", "usa"]} for k in range(2)
    ]
    found = dg.lm.certificate(
        model,
        model,
        rows,
        lambda bucket: dg.Reward(labelled_table(bucket)),
        0.5,
        8,
        tokenizer=tokenizer,
        extract=raises_at_seven,
        max_new_tokens=4,
    )
    assert found.value == pytest.approx(1.0, abs=1e-6)

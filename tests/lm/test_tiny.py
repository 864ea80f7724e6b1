"""Problems by plain arithmetic, the corpus by its stated rates, the model by its files."""

import itertools
import json
import re
import runpy
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from dagame.errors import DagameError  # noqa: E402
from dagame.lm import tiny  # noqa: E402
from dagame.lm.evaluation import evaluate  # noqa: E402
from dagame.lm.models.loading import SMALL, fit_threads  # noqa: E402
from dagame.lm.tiny import llama  # noqa: E402
from dagame.lm.tiny.corpus import CORPORA, batches, completion, misreadings  # noqa: E402
from dagame.lm.tiny.problems import trace  # noqa: E402

torch.set_num_threads(1)
EVERY = [p for split in tiny.SPLITS for p in tiny.problems(split)]


@pytest.fixture(scope="module")
def shipped():
    return tiny.load()


def test_problems_are_right_distinct_and_in_range():
    assert len(EVERY) == 2400
    assert len({(p.operands, p.operators) for p in EVERY}) == 2400
    assert [p.class_id for p in EVERY] == list(range(2400))
    for p in EVERY:
        (a, b, c), (first, second) = p.operands, p.operators
        assert 2 <= min(p.operands) <= max(p.operands) <= 12
        assert 0 <= eval(f"{a} {first} {b}") <= 63
        assert p.answer == eval(f"({a} {first} {b}) {second} {c}")
        assert 0 <= p.answer <= 63
    assert set(Counter(p.operators for p in EVERY)) == set(itertools.product("+-*", repeat=2))


def test_an_unknown_split_is_refused():
    with pytest.raises(DagameError, match="choose one of pretrain"):
        tiny.problems("train")


def test_prompts_name_all_operands_and_tell_the_phrasings_apart():
    seen = Counter()
    for p in EVERY:
        texts = tiny.prompts(p)
        assert len(set(texts)) == len(texts) == tiny.PHRASINGS == 8
        for text in texts:
            assert Counter(map(int, re.findall(r"\d+", text))) == Counter(p.operands)
        seen.update(texts)
    assert max(seen.values()) == 1


def check_trace(text):
    """A trace is a chain of right sums, and its answer is the last of them."""
    body, answer = text.split(" # ")
    values = []
    for step in body.split(" ; "):
        x, op, y, equals, z = step.split()
        assert equals == "="
        assert eval(f"{x} {op} {y}") == int(z)
        values.append(int(z))
        assert all(0 <= int(n) <= 63 for n in (x, y, z))
    assert int(answer) == values[-1]


@pytest.mark.parametrize("corpus", sorted(CORPORA))
def test_misreadings_are_valid_arithmetic_with_wrong_answers(corpus):
    possible = np.zeros(8)
    for p in EVERY[::7]:
        check_trace(trace(p.steps))
        assert tiny.extract(trace(p.steps)) == str(p.answer)
        for t in range(8):
            wrong = misreadings(p, t, corpus)
            possible[t] += bool(wrong)
            for text in wrong:
                check_trace(text)
                assert tiny.extract(text) != str(p.answer)
    assert (possible / len(EVERY[::7]) > 0.85).all()


def test_rates_of_misreading_are_those_stated():
    rng = np.random.default_rng(0)
    sample = tiny.problems("pretrain")[:400]
    for corpus, t in itertools.product(sorted(CORPORA), range(8)):
        rate = CORPORA[corpus][t][0]
        open_ = [p for p in sample if misreadings(p, t, corpus)]
        wrong = [
            tiny.extract(completion(p, t, rng, corpus)) != str(p.answer)
            for p in open_
            for _ in range(5)
        ]
        assert abs(np.mean(wrong) - rate) < 4 * np.sqrt(rate * (1 - rate) / len(wrong))
    assert [r for r, _ in CORPORA["scattered"]] == [0.1, 0.15, 0.2, 0.3, 0.45, 0.55, 0.6, 0.6]


@pytest.mark.parametrize(("corpus", "right"), [("scattered", True), ("wrong_majority", False)])
def test_the_exact_majority_of_each_corpus(corpus, right):
    """Enumerated, not sampled: the averaged marginal of the corpus itself."""
    won = []
    for p in tiny.problems("selection"):
        total = Counter()
        for t in range(8):
            wrong = misreadings(p, t, corpus)
            rate = CORPORA[corpus][t][0] if wrong else 0.0
            total[str(p.answer)] += 1 - rate
            for text in wrong:
                total[tiny.extract(text)] += rate / len(wrong)
        won.append(max(total, key=lambda z: total[z]) == str(p.answer))
    assert np.mean(won) > 0.99 if right else np.mean(won) < 0.05


def test_batches_repeat_by_seed_and_balance_the_phrasings():
    sample = tiny.problems("pretrain")
    one, again, other = (batches(sample, 16, 3, seed) for seed in (0, 0, 1))
    assert one == again != other
    of = {text: t for p in sample for t, text in enumerate(tiny.prompts(p))}
    assert all(Counter(of[q] for q, _ in b) == dict.fromkeys(range(8), 2) for b in one)
    with pytest.raises(DagameError, match="choose one of scattered"):
        batches(sample, 8, 1, 0, "scatered")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("7 + 3 = 10 # 10", "10"),
        ("1 + 1 = 2 # 2 # 07", "7"),
        ("7 + 3 = 10 ; 10", None),
        ("7 + 3 = 10 #", None),
        ("", None),
    ],
)
def test_extraction(text, answer):
    assert tiny.extract(text) == answer


def test_rows_are_classes_of_eight_contexts():
    rows = tiny.rows("finetune", 3)
    assert [(r["class_id"], r["member_id"]) for r in rows] == [
        (p.class_id, t) for p in tiny.problems("finetune")[:3] for t in range(8)
    ]
    assert [r["prompt"] for r in rows[:8]] == tiny.prompts(tiny.problems("finetune")[0])
    assert len(tiny.rows("test")) == 1600
    assert all(isinstance(r["answer"], str) for r in rows)


def test_every_prompt_and_trace_is_tokens_of_the_vocabulary():
    tokenizer = llama.new_tokenizer()
    longest = 0
    for p in EVERY:
        texts = tiny.prompts(p)
        traces = [trace(p.steps), *(m for t in range(8) for m in misreadings(p, t))]
        for text, ids in zip(
            (*texts, *traces), tokenizer([*texts, *traces])["input_ids"], strict=True
        ):
            assert tokenizer.unk_token_id not in ids
            assert tokenizer.decode(ids, skip_special_tokens=True) == text
        longest = max(longest, max(len(t.split()) for t in texts))
    assert longest + 16 <= llama.MAX_LENGTH


def test_saved_and_loaded_again(tmp_path, shipped):
    model, tokenizer = shipped
    tiny.save(model, tokenizer, tmp_path / "m")
    again, words = tiny.load(tmp_path / "m")
    plain = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert (words.pad_token, words.eos_token, words.padding_side) == ("<pad>", "<eos>", "left")
    assert words.get_vocab() == tokenizer.get_vocab()
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
        assert torch.equal(value, plain.state_dict()[key])
    with pytest.raises(DagameError, match=r"holds no config\.json"):
        tiny.load(tmp_path)


def test_shipped_weights_are_small_and_safe():
    files = {f.name: f.stat().st_size for f in llama.WEIGHTS.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(files)
    assert all(name.endswith((".json", ".safetensors")) for name in files)
    assert sum(files.values()) < 1_000_000


def test_the_shipped_model_is_what_the_docs_say(shipped):
    model, tokenizer = shipped
    assert 95_000 < sum(p.numel() for p in model.parameters()) < 110_000
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    found = evaluate(
        model,
        tokenizer,
        tiny.rows("selection", 40),
        samples=8,
        max_new_tokens=16,
        extract=tiny.extract,
    )
    assert 0.57 < found.sampled_accuracy < 0.71
    assert 0.78 < found.greedy_accuracy < 0.90
    assert found.majority_accuracy > 0.94
    assert 0.35 < found.agreement < 0.50
    assert found.no_answer < 0.01


def test_pretraining_learns_and_repeats():
    losses = []
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, tokenizer = tiny.pretrain(3, steps=30, progress=lambda step, loss: losses.append(loss))
    again, _ = tiny.pretrain(3, steps=30)
    other, _ = tiny.pretrain(4, steps=1, corpus="wrong_majority")
    assert torch.equal(torch.get_rng_state(), before)
    assert len(losses) == 30
    assert losses[0] == pytest.approx(np.log(len(tokenizer)), abs=0.5)
    assert losses[-1] < losses[0] - 2
    assert not one.training
    for a, b, c in zip(one.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.numel() < 100 or not torch.equal(a, c)


def test_the_command_writes_a_folder_and_refuses_a_file(tmp_path, monkeypatch, capsys):
    command = ["dagame.lm.tiny", "--steps", "1", "--out"]
    monkeypatch.setattr(sys, "argv", [*command, str(tmp_path / "w")])
    runpy.run_module(command[0], run_name="__main__")
    assert json.loads((tmp_path / "w/config.json").read_text())["model_type"] == "llama"
    (tmp_path / "f").write_text("")
    monkeypatch.setattr(sys, "argv", [*command, str(tmp_path / "f")])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module(command[0], run_name="__main__")
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("dagame: ")


def test_importing_it_loads_no_heavy_package():
    code = (
        "import sys, dagame.lm, dagame.lm.tiny as t; t.rows('test', 1); "
        "print([m for m in ('torch', 'transformers', 'tokenizers', 'polars') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_small_model_has_one_thread_and_a_large_one_all_of_them():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        model, _ = tiny.load()
        assert fit_threads(model) == 2
        assert torch.get_num_threads() == 1
        torch.set_num_threads(2)
        with torch.device("meta"):
            large = torch.nn.Linear(SMALL, 1)
        large.device = torch.device("cpu")
        fit_threads(large)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)

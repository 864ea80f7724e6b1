"""`dagame sample --engine vllm` with the embedded model, where vLLM is installed."""

import json

import pytest

pytest.importorskip("trl")
pytest.importorskip("vllm", reason="vllm is not installed")

from dagame.lm.engines.questions import prompts_of
from dagame.lm.engines.sampling_run import sample_to
from dagame.lm.engines.vllm_engine import VLLMEngine
from dagame.lm.tiny.llama import WEIGHTS
from dagame.lm.tiny.problems import rows


def test_vllm_draws_completions_with_their_log_probabilities(tmp_path):
    import torch

    from dagame.lm import tiny

    source = tmp_path / "q.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows("test", 2)))
    prompts = prompts_of(str(source), "prompt", "class_id", "member_id")
    engine = VLLMEngine(str(WEIGHTS), 24, chat=False)
    out = tmp_path / "s.jsonl"
    sample_to(out, engine, prompts, samples=4, seed=0, max_new_tokens=24)
    model, tokenizer = tiny.load()
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(found) == 4 * len(prompts)
    for row in found:
        ids, end = tokenizer(row["prompt"])["input_ids"], tokenizer.eos_token_id
        tokens = [t for t in tokenizer(row["completion"])["input_ids"] if t != end]
        tokens += [end] * (row["finish_reason"] == "stop")
        assert row["tokens"] == len(tokens)
        with torch.no_grad():
            log_p = model(torch.tensor([ids + tokens])).logits[0].double().log_softmax(-1)
        by_hand = sum(float(log_p[len(ids) - 1 + t, token]) for t, token in enumerate(tokens))
        assert row["log_probability"] == pytest.approx(by_hand, abs=0.1)

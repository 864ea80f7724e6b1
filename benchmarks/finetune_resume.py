"""`dagame finetune` on GSM8K's questions, killed in the middle and resumed: the same weights?

    python benchmarks/finetune_resume.py path/to/gsm8k/test.jsonl

A random Llama of 0.3 million parameters with a tokenizer trained on the questions: mechanics only, it
answers nothing. The command line runs once to its end, and once more until a SIGKILL after half of its
steps, then with --resume. Compared: the largest difference of the final weights, and the metrics.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from common import keep

STEPS = 12


def make_model(questions: list[str], folder: Path) -> int:
    """A random model and its tokenizer; the number of parameters."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel()
    core.decoder = decoders.ByteLevel()
    special = ["<pad>", "<eos>"]
    core.train_from_iterator(
        questions, trainers.BpeTrainer(vocab_size=1000, special_tokens=special)
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", padding_side="left"
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=96, intermediate_size=256, num_hidden_layers=2,
            num_attention_heads=4, max_position_embeddings=512, pad_token_id=0, eos_token_id=1,
            bos_token_id=None, tie_word_embeddings=True,
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(p.numel() for p in model.parameters())


def write(path: Path, model: Path, data: Path, output: Path) -> Path:
    """The configuration of one run."""
    path.write_text(
        yaml.safe_dump(
            {
                "model": str(model),
                "output": str(output),
                "data": {
                    "path": str(data),
                    "answer_column": "answer",
                    "answer_extract": "gsm8k",
                    "paraphrases": ["{question}\nAnswer:", "Question: {question}\nThink."],
                },
                "answers": {"extract": "last-number", "canonical": "number"},
                "batch": {"group_size": 4, "classes_per_step": 8, "steps": STEPS},
                "training": {
                    "learning_rate": 1e-3, "max_completion_length": 32, "save_steps": 2,
                    "use_cpu": True, "bf16": False, "dataloader_pin_memory": False,
                    "gradient_checkpointing": False,
                },
            }
        )
    )  # fmt: skip
    return path


def steps_of(folder: Path) -> list[dict[str, Any]]:
    """The metrics so far, without times."""
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [{k: v for k, v in json.loads(x).items() if k != "step_time"} for x in lines]


def main() -> None:
    """Straight, killed, resumed."""
    from safetensors.numpy import load_file

    data = Path(sys.argv[1]).resolve()
    questions = [json.loads(line)["question"] for line in data.open(encoding="utf-8")]
    command = [sys.executable, "-m", "dagame", "finetune"]
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        size = make_model(questions, home / "model")
        straight = write(home / "straight.yaml", home / "model", data, home / "straight")
        killed = write(home / "killed.yaml", home / "model", data, home / "killed")
        started = time.perf_counter()
        subprocess.run([*command, straight], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        running = subprocess.Popen([*command, killed], stdout=subprocess.DEVNULL)
        while len(steps_of(home / "killed")) < STEPS // 2 + 1 and running.poll() is None:
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
        code, before = running.wait(), len(steps_of(home / "killed"))
        subprocess.run([*command, killed, "--resume"], check=True, stdout=subprocess.DEVNULL)
        ends = [
            load_file(home / run / "model" / "model.safetensors") for run in ("straight", "killed")
        ]
        first = load_file(home / "model" / "model.safetensors")
        apart = max(float(abs(ends[0][k] - ends[1][k]).max()) for k in ends[0])
        moved = max(float(abs(ends[0][k] - first[k]).max()) for k in first)
        same = steps_of(home / "straight") == steps_of(home / "killed")
    row = {
        "questions": len(questions),
        "parameters": size,
        "steps": STEPS,
        "killed after step": before,
        "exit code": code,
        "largest difference of weights": apart,
        "weights moved by": moved,
        "metrics equal": str(same),
        "seconds of the straight run": seconds,
    }
    keep("finetune_resume", [row])


if __name__ == "__main__":
    main()

"""A tiny random language model on a few tokens, and GRPO runs on it, which `forks` starts."""

import gc
import json
import os
import signal
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)

WORDS = ["<pad>", "<eos>", "0", "1", "2", "x", "q0", "q1", "q2", "q3", "a", "b", "c"]
PHRASINGS = ["a", "b", "c"]
GROUP, CONTEXTS, CLASSES = 4, 3, 2
ANSWER = r"\b([0-2])\b"
ON_CPU = {"use_cpu": True, "bf16": False, "dataloader_pin_memory": False}
"""Settings of a trainer without a GPU."""


def word_tokenizer(words=WORDS):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token=words[0]))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")


def random_model(seed=0, words=WORDS, **options):
    import transformers

    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "max_position_embeddings": 32, "initializer_range": 0.5}
    ends = {"pad_token_id": 0, "eos_token_id": 1}
    config = transformers.LlamaConfig(**{"vocab_size": len(words)} | sizes | ends | options)
    return transformers.LlamaForCausalLM(config)


def model_folder(folder, seed=0):
    random_model(seed).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return str(folder)


def problems(classes=4, **columns):
    return [
        {"class": c, "prompt": f"q{c} {p}", **{k: v[c] for k, v in columns.items()}}
        for c in range(classes)
        for p in PHRASINGS
    ]


def settings(folder, **options):
    return {
        "output_dir": str(folder),
        "group_size": GROUP,
        "classes_per_step": CLASSES,
        "max_completion_length": 4,
        "learning_rate": 1e-2,
        "extract": ANSWER,
        "truncated": "read",  # a random model seldom ends
        "logging_steps": 1,
        "log_completions": True,
        "num_completions_to_print": 0,
        "save_strategy": "no",
        **ON_CPU,
        "activation_checkpointing": False,
        "disable_tqdm": True,
        "seed": 7,
    } | options


def main():
    """Arguments: JSON files of {folder, model, resume, options}, YAML files of `dagame finetune`."""
    for name in sys.argv[1:]:
        if name.endswith(".json"):
            train(json.loads(Path(name).read_text()))
        else:
            finetune(name)
    end()


def end():
    """The process group ends after the models that use it: the other order can wait for itself."""
    import torch.distributed as dist

    gc.collect()
    dist.barrier()
    dist.destroy_process_group()


def finetune(path):
    """A run from a file, then an attempt to run it again, which every process must refuse."""
    from dagame.errors import OutputError
    from dagame.lm.finetune.run import run_finetune

    result = run_finetune(path)
    try:
        run_finetune(path)
    except OutputError as error:
        result["refused"] = str(error)
    rank = "main" if result["main"] else "other"
    Path(result["output"], f"{rank}.json").write_text(json.dumps(result))


def train(task):
    import torch.distributed as dist
    from accelerate import PartialState
    from safetensors.torch import save_file

    from dagame import Coherence
    from dagame.lm.trainers.trl.trainer import coherence_grpo

    trainer = coherence_grpo(
        task["model"],
        problems(),
        Coherence(consensus="euclidean"),
        reward_options={"no_answer": "keep", "estimator": "u_statistic"},
        **settings(task["folder"], **task["options"]),
    )
    trainer.train(resume_from_checkpoint=task["resume"])
    state = PartialState()
    assert dist.is_initialized()
    assert dist.get_world_size() == state.num_processes
    kept = Path(task["folder"]) / f"rank{state.process_index}.safetensors"
    save_file({k: v.contiguous() for k, v in trainer.model.state_dict().items()}, kept)
    facts = {"world": state.num_processes, "log": trainer.state.log_history}
    Path(task["folder"], f"rank{state.process_index}.json").write_text(json.dumps(facts))


def killed():
    """A run from a file, killed as step 5 is told."""
    from dagame.lm.finetune.run import run_finetune

    def progress(line):
        if line.startswith("step 5 of"):
            os.kill(os.getpid(), signal.SIGKILL)

    run_finetune(sys.argv[1], progress=progress)

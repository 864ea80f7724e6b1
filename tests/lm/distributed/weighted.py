"""Runs of weighted trainers and of TRL's own on tiny random models; also a script for torchrun."""

import json
import sys
from pathlib import Path

import torch
from distributed.runs import ON_CPU, end, random_model, word_tokenizer

WEIGHTS = [0.5, 2.0, 0.0, 1.0, 3.5, 0.25, 1.0, 0.0, 0.75, 1.0]
PROMPTS = [f"q{c} {p} " for c in range(4) for p in "abc"][:10]
SHORT = ["0", "1 2", "x 0 1", "2", "1 1 x 2", "0 2", "x", "2 2 2", "1", "0 1"]
OTHER = ["1 x", "0", "2", "x 1 1", "0", "1", "2 0", "x", "0 0 1", "2"]
ROWS = {
    "sft": [{"prompt": p, "completion": c} for p, c in zip(PROMPTS, SHORT, strict=True)],
    "dpo": [
        {"prompt": p, "chosen": c, "rejected": r}
        for p, c, r in zip(PROMPTS, SHORT, OTHER, strict=True)
    ],
}


def settings(folder, **options):
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "learning_rate": 0.1,
        "lr_scheduler_type": "constant",
        "optim": "sgd",
        "max_grad_norm": 0.0,
        "num_train_epochs": 2,
        "logging_steps": 1,
        "save_strategy": "no",
        **ON_CPU,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "seed": 7,
    } | options


def weighted(
    kind, folder, weights=None, rows=None, model=None, peft_config=None, tokenizer=None, **options
):
    import dagame as dg

    make = dg.lm.weighted_sft if kind == "sft" else dg.lm.weighted_dpo
    return make(
        model or random_model(),
        ROWS[kind] if rows is None else rows,
        weights,
        tokenizer=tokenizer or word_tokenizer(),
        peft_config=peft_config,
        **settings(folder, **options),
    )


def unweighted(kind, folder, rows=None, peft_config=None, **options):
    """TRL's own trainer."""
    import datasets
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from dagame.lm.models.reference import frozen_copy

    make, config = (SFTTrainer, SFTConfig) if kind == "sft" else (DPOTrainer, DPOConfig)
    model = random_model()
    reference = {"ref_model": frozen_copy(model)} if kind == "dpo" and not peft_config else {}
    return make(
        model,
        args=config(max_length=None, report_to="none", **settings(folder, **options)),
        train_dataset=datasets.Dataset.from_list(ROWS[kind] if rows is None else rows),
        processing_class=word_tokenizer(),
        peft_config=peft_config,
        **reference,
    )


def main():
    """Arguments: JSON files of {folder, kind, weights (null: TRL's own trainer), rows, resume, options}."""
    import torch.distributed as dist
    from accelerate import PartialState
    from safetensors.torch import save_file

    for name in sys.argv[1:]:
        task = json.loads(Path(name).read_text())
        rows = ROWS[task["kind"]][: task["rows"]]
        if task["weights"] is None:
            trainer = unweighted(task["kind"], task["folder"], rows, **task["options"])
        else:
            weights = task["weights"][: task["rows"]]
            trainer = weighted(task["kind"], task["folder"], weights, rows, **task["options"])
        trainer.train(resume_from_checkpoint=task["resume"])
        state = PartialState()
        assert dist.is_initialized()
        rank = Path(task["folder"]) / f"rank{state.process_index}"
        save_file(
            {k: v.contiguous() for k, v in trainer.model.state_dict().items()},
            rank.with_suffix(".safetensors"),
        )
        facts = {"world": dist.get_world_size(), "log": trainer.state.log_history}
        rank.with_suffix(".json").write_text(json.dumps(facts))
    del trainer
    end()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

"""Weighted fine-tuning in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...models.reference import frozen_copy
from .rows import WEIGHT, weighted_dataset
from .settings import dpo_config, sft_config
from .tokens import check_room, dpo_tokens, sft_tokens, tokenizer_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from datasets import Dataset
    from transformers import PreTrainedModel

    from .trainers import WeightedDPOTrainer, WeightedSFTTrainer


def weighted_sft(
    model: PreTrainedModel | str,
    rows: Dataset | pl.DataFrame | Iterable[Mapping[str, Any]],
    weights: Sequence[float] | np.ndarray | None = None,
    *,
    column: str = WEIGHT,
    prompt_column: str = "prompt",
    completion_column: str = "completion",
    tokenizer: Any = None,
    output_dir: str = "weighted-sft",
    peft_config: Any = None,
    callbacks: Sequence[Any] = (),
    eval_rows: Any = None,
    **trl_kwargs: Any,
) -> WeightedSFTTrainer:
    """A `trl.SFTTrainer` of weighted likelihood, sum_i w_i log pi(y_i | x_i), ready to `.train()`.

    With the weights nu*/nu0 of `equilibrium_weights` its optimum is the equilibrium policy pi*: the sum
    is -KL(pi* || pi) on the samples, up to a constant (docs/theory/lm-certificate.md#training-free-use).
    Only ratios of weights count: they are divided by their mean over all rows. The loss of a step is
    sum_i w_i sum_t -log pi / (completion tokens of the step), exact under accumulation and on several
    processes; constant weights are the trainer without weights.

    Args:
        model: a causal language model, a folder, or a hub name.
        rows: with prompts and completions, texts or lists of messages.
        weights: (n,) >= 0; None: those in `column`.
        column: of weights.
        prompt_column, completion_column: of the texts. A completion of text is tokenised by itself and
            appended to its prompt's tokens, as sampling does, and ended by the end-of-sequence token,
            unless a column `truncated` says that it was cut off; messages go through the template.
        tokenizer: None: the model's own.
        peft_config: train adapters of this kind.
        callbacks: further callbacks.
        eval_rows: held-out rows with the same columns, weights in `column`.
        trl_kwargs: fields of `trl.SFTConfig`; nothing is cut unless max_length is given.

    Raises:
        SamplesError: a missing column or cell; a weight that is missing, negative or not finite.
        SettingsError: a setting under which rows have no weight.
    """
    texts = {"prompt": prompt_column, "completion": completion_column}
    data = _datasets(rows, weights, column, texts, eval_rows)
    config = sft_config(output_dir=output_dir, **trl_kwargs)
    tokenizer = tokenizer_of(model, tokenizer, config.trust_remote_code)
    tokens = [sft_tokens(part, tokenizer) for part in data]
    from .trainers import WeightedSFTTrainer

    same = {"processing_class": tokenizer, "peft_config": peft_config, "args": config}
    trainer = WeightedSFTTrainer(model, callbacks=list(callbacks), **_pair(tokens), **same)
    prepared: Any = trainer.train_dataset
    check_room(trainer.model, [len(ids) for ids in prepared["input_ids"]], None)
    return trainer


def weighted_dpo(
    model: PreTrainedModel | str,
    rows: Dataset | pl.DataFrame | Iterable[Mapping[str, Any]],
    weights: Sequence[float] | np.ndarray | None = None,
    *,
    beta: float = 0.1,
    column: str = WEIGHT,
    prompt_column: str = "prompt",
    chosen_column: str = "chosen",
    rejected_column: str = "rejected",
    tokenizer: Any = None,
    reference: PreTrainedModel | None = None,
    output_dir: str = "weighted-dpo",
    peft_config: Any = None,
    callbacks: Sequence[Any] = (),
    eval_rows: Any = None,
    **trl_kwargs: Any,
) -> WeightedDPOTrainer:
    """A `trl.DPOTrainer` whose loss is the mean of w_i l_i over pairs, ready to `.train()`.

    l_i = -log sigmoid(beta [log(pi/pi0)(chosen_i) - log(pi/pi0)(rejected_i)]). Weights are divided by
    their mean over all pairs, so constant ones are the trainer without weights.

    Args:
        model: a causal language model, a folder, or a hub name.
        rows: with prompts, chosen and rejected completions, texts or lists of messages.
        weights: (n,) >= 0; None: those in `column`.
        beta: of the loss, the KL coefficient of its implied reward.
        column: of weights.
        prompt_column, chosen_column, rejected_column: of the texts.
        tokenizer: None: the model's own.
        reference: pi0; None: the model as it is now (or without its adapters).
        peft_config: train adapters of this kind; the reference is the model without them.
        callbacks: further callbacks.
        eval_rows: held-out pairs with the same columns, weights in `column`.
        trl_kwargs: fields of `trl.DPOConfig`; nothing is cut unless max_length is given.

    Raises:
        SamplesError, SettingsError: see `weighted_sft`.
    """
    texts = {"prompt": prompt_column, "chosen": chosen_column, "rejected": rejected_column}
    data = _datasets(rows, weights, column, texts, eval_rows)
    config = dpo_config(output_dir=output_dir, beta=beta, **trl_kwargs)
    tokenizer = tokenizer_of(model, tokenizer, config.trust_remote_code)
    tokens = [dpo_tokens(part, tokenizer) for part in data]
    from .trainers import WeightedDPOTrainer

    if reference is None and peft_config is None and _is_plain(model):
        reference = frozen_copy(model)
    same = {"processing_class": tokenizer, "peft_config": peft_config, "args": config}
    same |= {"ref_model": reference, "callbacks": list(callbacks)}
    trainer = WeightedDPOTrainer(model, **_pair(data), **same)
    if tokens[0] is not None:  # the trainer tokenises in any case, prompt and completion together
        for name, dataset in _pair(tokens).items():
            setattr(trainer, name, dataset)
    check_room(trainer.model, _pair_lengths(trainer.train_dataset), config.max_length)
    return trainer


def _datasets(
    rows: Any, weights: Any, column: str, texts: dict[str, str], eval_rows: Any
) -> list[Dataset]:
    """The rows to train on and those held out, if any."""
    held_out = [] if eval_rows is None else [weighted_dataset(eval_rows, None, column, texts)]
    return [weighted_dataset(rows, weights, column, texts), *held_out]


def _is_plain(model: Any) -> bool:
    """Whether it is in memory, and has no adapters."""
    return not isinstance(model, str) and not hasattr(model, "disable_adapter")


def _pair(data: Sequence[Any]) -> dict[str, Any]:
    """Under the trainer's names."""
    return {"train_dataset": data[0], "eval_dataset": data[1] if len(data) > 1 else None}


def _pair_lengths(data: Any) -> list[int]:
    """Tokens of the longer half of each pair."""
    columns = (data[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids"))
    return [len(p) + max(len(c), len(r)) for p, c, r in zip(*columns, strict=True)]

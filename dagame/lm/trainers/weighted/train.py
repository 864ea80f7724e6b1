"""Weighted fine-tuning in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...models.reference import frozen_copy
from .rows import WEIGHT, weighted_dataset
from .settings import dpo_config, sft_config

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
    eval_dataset: Any = None,
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
        prompt_column, completion_column: of the texts. The trainer ends a completion of text with the
            end-of-sequence token.
        tokenizer: None: the model's own.
        peft_config: train adapters of this kind.
        callbacks: further callbacks.
        eval_dataset: held-out rows as a dataset with the columns prompt, completion and weight.
        trl_kwargs: fields of `trl.SFTConfig`.

    Raises:
        SamplesError: a missing column or cell; a weight that is missing, negative or not finite.
        SettingsError: a setting under which rows have no weight.
    """
    texts = {"prompt": prompt_column, "completion": completion_column}
    data = weighted_dataset(rows, weights, column, texts)
    config = sft_config(output_dir=output_dir, **trl_kwargs)
    from .trainers import WeightedSFTTrainer

    return WeightedSFTTrainer(
        model,
        args=config,
        train_dataset=data,
        eval_dataset=eval_dataset,
        processing_class=tokenizer,
        callbacks=list(callbacks),
        peft_config=peft_config,
    )


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
    eval_dataset: Any = None,
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
        eval_dataset: held-out pairs as a dataset with the columns prompt, chosen, rejected and weight.
        trl_kwargs: fields of `trl.DPOConfig`.

    Raises:
        SamplesError, SettingsError: see `weighted_sft`.
    """
    texts = {"prompt": prompt_column, "chosen": chosen_column, "rejected": rejected_column}
    data = weighted_dataset(rows, weights, column, texts)
    config = dpo_config(output_dir=output_dir, beta=beta, **trl_kwargs)
    from .trainers import WeightedDPOTrainer

    in_memory = not isinstance(model, str) and not hasattr(model, "disable_adapter")
    if reference is None and peft_config is None and in_memory:
        reference = frozen_copy(model)
    return WeightedDPOTrainer(
        model,
        ref_model=reference,
        args=config,
        train_dataset=data,
        eval_dataset=eval_dataset,
        processing_class=tokenizer,
        callbacks=list(callbacks),
        peft_config=peft_config,
    )

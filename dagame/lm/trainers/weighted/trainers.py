"""TRL's trainers with a weight per row.

A weight is divided by the mean weight of the training rows, so that only ratios count and constant
weights are those of the trainer without any. The mean is that of *all* rows, not of a batch: divided
by a batch's own sum, weights would cancel in batches of one and be biased in all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_trainer import SFTTrainer

from ....errors import SamplesError, SettingsError
from .rows import WEIGHT, check_weights
from .settings import check_config

_AGREEMENT = 1e-3
_UNKNOWN = "this version of trl computes its loss in another way; install trl 1.16"


class WeightedCollator:
    """A trainer's collator with `weight` (rows,) beside what it makes, divided by `mean`."""

    def __init__(self, collate: Callable[[Sequence[Any]], dict[str, Any]], mean: float) -> None:
        """`mean` is the weight that counts as 1."""
        self.collate, self.mean = collate, mean

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The batch; `SamplesError` where rows have no weight."""
        if any(row.get(WEIGHT) is None for row in rows):
            raise SamplesError(
                f"rows reached the trainer without a column {WEIGHT!r}; give them one."
            )
        weights = np.array([row[WEIGHT] for row in rows], np.float64) / self.mean
        return self.collate(rows) | {WEIGHT: torch.tensor(weights, dtype=torch.float32)}


class _Weighted:
    """What both trainers share: settings and weights checked, weights carried into the batches."""

    def __init__(
        self, model: Any, *, args: Any, train_dataset: Any, eval_dataset: Any = None, **others: Any
    ) -> None:
        check_config(args)
        several = isinstance(eval_dataset, dict)
        held_out = eval_dataset.values() if several else [eval_dataset] if eval_dataset else []
        for data in (train_dataset, *held_out):
            if WEIGHT not in (getattr(data, "column_names", None) or ()):
                raise SamplesError(
                    f"the dataset has no column {WEIGHT!r}; give every row a weight."
                )
            check_weights(data[WEIGHT])
        data = {"train_dataset": train_dataset, "eval_dataset": eval_dataset}
        super().__init__(model, args=args, **data, **others)  # pyright: ignore[reportCallIssue]
        prepared: Any = self.train_dataset  # pyright: ignore[reportAttributeAccessIssue]
        mean = float(np.mean(check_weights(prepared[WEIGHT])))
        self.data_collator = WeightedCollator(self.data_collator, mean)


class WeightedSFTTrainer(_Weighted, SFTTrainer):
    """`trl.SFTTrainer` whose loss is sum_i w_i sum_t -log pi(y_it | x_i, y_i<t) / tokens.

    The sum is over the rows of one optimiser step, accumulated and on all processes, w has mean 1 over
    the training rows, and `tokens` counts the step's completion tokens whatever their weights, as
    without weights. Keyword arguments as there; both datasets have a column `weight`.
    """

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Each row's log-probabilities times its weight, before TRL sums them."""
        weight, used = inputs.pop(WEIGHT)[:, None], []

        def weighted_forward(**batch: Any) -> Any:
            outputs = model(**batch)
            if getattr(outputs, "log_probs", None) is None:
                return outputs
            used.append(outputs)
            weighted = outputs.log_probs * weight.to(outputs.log_probs.device)
            return type(outputs)(**{**outputs, "log_probs": weighted, "loss": None})

        forward: Any = weighted_forward
        found = super().compute_loss(forward, inputs, return_outputs, num_items_in_batch)
        if len(used) != 1:
            raise SettingsError(f"the weights of rows cannot be applied: {_UNKNOWN}.")
        return found


class WeightedDPOTrainer(_Weighted, DPOTrainer):
    """`trl.DPOTrainer` whose loss is the mean over pairs of w_i l_i.

    l_i = -log sigmoid(beta [log(pi/pi0)(chosen_i) - log(pi/pi0)(rejected_i)]), and w has mean 1 over the
    training rows. Keyword arguments as there; both datasets have a column `weight`.
    """

    def compute_ref_log_probs(self, model: Any, inputs: Any) -> Any:
        """log pi0 of the chosen and the rejected completions (pairs,), each."""
        batch = {k: v for k, v in inputs.items() if k != WEIGHT}
        return super().compute_ref_log_probs(model, batch)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The weighted loss, once its mean without weights is known to be TRL's own loss."""
        weight, used = inputs.pop(WEIGHT), []

        def observed_forward(**batch: Any) -> Any:
            outputs = model(**batch)
            if getattr(outputs, "log_probs", None) is not None:
                used.append(outputs)
            return outputs

        forward: Any = observed_forward
        before = self.precompute_ref_logps
        if not before:
            reference = self.compute_ref_log_probs(self.ref_model or self.model, inputs)
            inputs["ref_chosen_logps"], inputs["ref_rejected_logps"] = reference
        self.precompute_ref_logps = True
        try:
            found = super().compute_loss(forward, inputs, return_outputs)
        finally:
            self.precompute_ref_logps = before
        if len(used) != 1:
            raise SettingsError(f"the weights of pairs cannot be applied: {_UNKNOWN}.")
        losses, rest = self._losses(used[0].log_probs, inputs), self._auxiliary(used[0])
        theirs = (found[0] if return_outputs else found).detach()
        ours = (losses.mean() + rest).detach()
        if not torch.isclose(ours, theirs, rtol=_AGREEMENT, atol=_AGREEMENT, equal_nan=True):
            raise SettingsError(f"the weights of pairs cannot be applied: {_UNKNOWN}.")
        loss = (weight.to(losses.device) * losses).mean() + rest
        return (loss, found[1]) if return_outputs else loss

    def _losses(self, log_probs: torch.Tensor, inputs: Any) -> torch.Tensor:
        """l of each pair (pairs,)."""
        tokens = inputs["completion_mask"].shape[1] - 1
        chosen, rejected = log_probs[:, -tokens:].sum(1).chunk(2)
        gain = (chosen - inputs["ref_chosen_logps"]) - (rejected - inputs["ref_rejected_logps"])
        return -torch.nn.functional.logsigmoid(self.beta * gain)

    def _auxiliary(self, outputs: Any) -> Any:
        """The load-balancing loss of a mixture of experts, which has no weights."""
        aux = getattr(outputs, "aux_loss", None)
        if aux is None or not self.aux_loss_enabled:
            return torch.zeros((), device=outputs.log_probs.device)
        return self.router_aux_loss_coef * aux

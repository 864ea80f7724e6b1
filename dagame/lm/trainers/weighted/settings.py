"""The settings under which TRL's SFT and DPO trainers can weigh rows, and what the others would break."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ....errors import SettingsError, one_line
from ..rules import Rule, broken, refuse

if TYPE_CHECKING:
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.sft_config import SFTConfig

_ROWS = "rows without bounds have no weight"

RULES = (
    Rule("remove_unused_columns", (False,), "the trainer would drop the column of weights"),
    Rule("padding_free", (False,), f"it joins the rows of a batch, and {_ROWS}"),
    Rule(
        "parallelism_config",
        (None,),
        "batches are cut along other lines than rows, which was never tested with weights",
    ),
    Rule(
        "ignore_data_skip",
        (False,),
        "a resumed run would see the first rows again instead of the next ones",
    ),
)
"""Of both trainers."""

SFT_RULES = (
    *RULES,
    Rule("loss_type", ("nll",), "the others are no weighted likelihood", '"nll"'),
    Rule("packing", (False,), f"it joins rows, and {_ROWS}"),
    Rule("eval_packing", (None, False), f"it joins rows, and {_ROWS}"),
    Rule("label_smoothing_factor", (0, 0.0), "the smoothed loss is made of means over rows"),
    Rule(
        "completion_only_loss",
        (None, True),
        "the likelihood is that of completions given their prompts",
        "True",
    ),
    Rule("dataset_kwargs", (None,), "rows are tokenised by the trainer"),
)

DPO_RULES = (
    *RULES,
    Rule("loss_type", (["sigmoid"],), "only the logistic loss of a pair is weighted", '"sigmoid"'),
    Rule("loss_weights", (None, [1.0]), "rows are weighted, and there is one loss", "None"),
    Rule("label_smoothing", (0, 0.0), "the logistic loss of the trainer has none"),
    Rule("use_weighting", (False,), "it weighs the pairs itself"),
    Rule("ld_alpha", (None,), "it weighs the tokens of longer completions"),
    Rule("f_divergence_type", ("reverse_kl",), "the loss is that of KL(pi || pi0)", '"reverse_kl"'),
    Rule(
        "precompute_ref_log_probs",
        (False,),
        "the reference would read the tokens that the trainer makes, not those of sampling",
    ),
    Rule("sync_ref_model", (False,), "the reference is fixed, not a moving one"),
)

_DEFAULTS = {"remove_unused_columns": False, "max_length": None, "report_to": "none"}


def sft_config(**trl_kwargs: Any) -> SFTConfig:
    """The `trl.SFTConfig` of a weighted run; no completion is cut unless `max_length` says so.

    Raises:
        SettingsError: a setting that breaks the weights, or that the trainer itself refuses.
    """
    from trl.trainer.sft_config import SFTConfig

    return _made(SFTConfig, trl_kwargs)


def dpo_config(**trl_kwargs: Any) -> DPOConfig:
    """The `trl.DPOConfig` of a weighted run; no completion is cut unless `max_length` says so.

    Raises:
        SettingsError: a setting that breaks the weights, or that the trainer itself refuses.
    """
    from trl.trainer.dpo_config import DPOConfig

    return _made(DPOConfig, trl_kwargs)


def check_config(config: Any) -> None:
    """Raise `SettingsError` with every setting of a configuration that breaks the weights, and its fix."""
    from trl.trainer.dpo_config import DPOConfig

    rules = DPO_RULES if isinstance(config, DPOConfig) else SFT_RULES
    refuse([*broken(rules, lambda name: getattr(config, name, None))], "the weights of rows")


def _made(kind: Any, options: dict[str, Any]) -> Any:
    try:
        config = kind(**_DEFAULTS | options)
    except Exception as error:  # its checks, files and packages that it looks for raise anything
        raise SettingsError(f"the trainer refuses its settings: {one_line(error)}.") from error
    check_config(config)
    return config

"""The picture and the card that go with a fine-tuned model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...objectives.names import LABELLED
from ...provenance import in_words
from ...text import markdown
from .judged import placed
from .methods import METHODS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .sections import FinetuneConfig

CURVES = (
    ("game/value", "objective Φ"),
    ("game/agreement", "agreement of contexts"),
    ("game/accuracy", "accuracy, sampled"),
    ("game/entropy", "answer entropy, nats"),
    ("game/divergence", "divergence of contexts"),
    ("game/no_answer", "share without an answer"),
    ("game/zero_signal", "share of groups without signal"),
    ("game/kl", "KL to the reference"),
    ("kl", "KL to the reference, per token"),
    ("game/gap_estimate", "estimate of the gap"),
    ("completions/mean_length", "tokens per completion"),
    ("grad_norm", "gradient norm"),
)
"""Metrics of a game that are drawn, where they were logged."""

RARE = (
    ("game/unscorable", "share of completions left unpaid"),
    ("game/incomplete_classes", "share of classes that lack contexts"),
    ("game/zero_signal_single", "no signal: a single sample"),
    ("game/zero_signal_no_answer", "no signal: no answers"),
    ("game/zero_signal_unanimous", "no signal: all answers alike"),
    ("game/zero_signal_one_context", "no signal: no other context"),
    ("game/zero_signal_equal", "no signal: equal rewards"),
)
"""Metrics that are shown in a terminal where they are not 0."""

WEIGHTED_CURVES = (
    ("loss", "loss, weighted"),
    ("mean_token_accuracy", "tokens that are the likeliest"),
    ("entropy", "entropy of a token, nats"),
    ("rewards/accuracies", "pairs in the right order"),
    ("rewards/margins", "margin of the implied rewards"),
    ("logps/chosen", "log-likelihood of the chosen"),
    ("logps/rejected", "log-likelihood of the rejected"),
    ("grad_norm", "gradient norm"),
)
"""Metrics of weighted SFT and DPO that are drawn, where they were logged."""


def names_of(metrics: Sequence[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Names and titles of the metrics that belong to such a run."""
    game = any(name.startswith("game/") for row in metrics for name in row)
    return CURVES if game else WEIGHTED_CURVES


def curves(metrics: Sequence[dict[str, Any]]) -> Figure:
    """One panel per metric of the run over the steps, from rows of metrics.jsonl."""
    from ...show.figure import AFTER, figure

    drawn = [(n, title) for n, title in names_of(metrics) if any(n in row for row in metrics)]
    rows = -(-len(drawn) // 3)
    made = figure(10.5, 2.3 * rows)
    grid = made.subplots(rows, 3, squeeze=False)
    for axes in grid.flat[len(drawn) :]:
        axes.set_visible(False)
    for axes, (name, title) in zip(grid.flat, drawn, strict=False):
        points = [(row["step"], row[name]) for row in metrics if name in row]
        marker = "o" if len(points) < 30 else ""
        axes.plot(*zip(*points, strict=True), color=AFTER, lw=1.4, marker=marker, ms=3)
        axes.set_title(title, size=10, loc="left")
        axes.tick_params(labelsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("step", size=9)
    return made


def card(
    folder: Path, config: FinetuneConfig, metrics: Sequence[dict[str, Any]], result: dict[str, Any]
) -> str:
    """The text of the model card: what was played, with what, and what was logged."""
    method = METHODS[config.method]
    rows = [
        *(_played(config) if method.plays else _weighted(config, result)),
        ("reference", config.model),
        ("steps", f"{result['steps']} on {result['processes']} process(es), seed {config.seed}"),
        ("adapters", "LoRA " + json.dumps(config.lora) if config.lora is not None else "none"),
    ]
    weighted = f"by weighted {config.method.upper()}"
    how = f"for {config.objective.name}" if method.plays else weighted
    library = "peft" if config.lora else "transformers"
    front = {"base_model": config.model, "library_name": library, "tags": ["dagame", config.method]}
    ends = markdown(in_words(result["provenance"])) + "." + _begun(folder, result["provenance"])
    parts = [
        ["---", *(f"{key}: {_quoted(value)}" for key, value in front.items()), "---"],
        [f"# {markdown(Path(config.model).name)}, fine-tuned {how}"],
        _what(config),
        placed(_NOT_YET if config.held_out() else _NOT_JUDGED)[:-1],
        ["## Training"],
        ["| | |", "|---|---|", *(f"| {key} | {markdown(value)} |" for key, value in rows)],
        *_table(metrics),
        *([f"**Warning**: {markdown(told)}"] for told in result["warnings"]),
        _CAVEATS[method.plays],
        [ends],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


_CAVEATS = {
    True: (
        "Training metrics are about the policy's own samples on training prompts. Agreement and low",
        "entropy are not accuracy: a policy can be unanimously wrong.",
    ),
    False: (
        "Training metrics are about the rows that were trained on, not about what the model says on its",
        "own.",
    ),
}

_NOT_JUDGED = (
    "**Whether the model is better was not checked**: no questions were held out of the training",
    "(`evaluation` in the file of the run). `dagame evaluate RUN QUESTIONS --card` judges it on new ones and",
    "puts the verdict here.",
)
_NOT_YET = (
    "**Whether the model is better was not checked yet**: the run ended before its evaluation did.",
    "`dagame finetune --resume` goes on with it.",
)


def _what(config: FinetuneConfig) -> list[str]:
    """What was done, in a paragraph."""
    if METHODS[config.method].plays:
        return [
            "Trained by `dagame finetune` through TRL's GRPOTrainer, as the policy of a distributional",
            "alignment game (arXiv 2604.27166): rewards come from the answer distributions of its own",
            f"samples. {_labels(config)}",
        ]
    trainer = f"{METHODS[config.method].trl.upper()}Trainer"
    return [
        f"Trained by `dagame finetune` through TRL's {trainer} with a weight for",
        "every row. Weights of `dagame solve` are those of a distributional alignment game",
        "(arXiv 2604.27166), under which weighted likelihood has the game's equilibrium as its optimum.",
    ]


def _played(config: FinetuneConfig) -> list[tuple[str, str]]:
    source = config.data.path or " ".join(
        filter(None, [config.data.name, config.data.config, config.data.split])
    )
    return [
        ("objective", f"{config.objective.name}, strength {config.objective.strength:g}"),
        ("KL to the reference", f"beta {config.beta:g}, in the {config.kl}"),
        ("data", source),
        ("answers", f"extract {config.answers.extract}, canonical {config.answers.canonical}, "
                    f"no answer: {config.answers.no_answer}"),
        ("batch", f"{config.batch.classes_per_step} classes x contexts x "
                  f"{config.batch.group_size} completions"),
    ]  # fmt: skip


def _weighted(config: FinetuneConfig, result: dict[str, Any]) -> list[tuple[str, str]]:
    loss = METHODS[config.method].loss(config)
    return [("loss", loss), ("data", f"{config.data.samples}: {result['data']}")]


def _begun(folder: Path, now: dict[str, Any]) -> str:
    """Versions that the run was begun with, where a resumed part had others."""
    then = json.loads((folder / "run.json").read_text(encoding="utf-8"))["versions"]
    others = [f"{k} {v}" for k, v in then.items() if v != now["versions"].get(k, v)]
    return markdown(f" Begun with {', '.join(others)}.") if others else ""


def _quoted(value: Any) -> str:
    """A value of YAML on one line, in quotes."""
    import yaml

    style: Any = {"default_style": '"', "default_flow_style": True, "width": 10**9}
    return yaml.safe_dump(value, allow_unicode=True, **style).rstrip()


def _labels(config: FinetuneConfig) -> str:
    if config.objective.name in LABELLED:
        return "Correct answers are part of the objective."
    if config.data.answer_column is None and config.data.alias_column is None:
        return "No labels were used."
    return "Labels were used for the accuracy shown here and to take aliases for one answer only."


def _table(metrics: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A table of the first and the last metrics, and the picture; nothing where there are none."""
    if not metrics:
        return []
    first, last = metrics[0], metrics[-1]
    lines = [f"| metric | step {first['step']} | step {last['step']} |", "|---|---|---|"]
    for name, title in names_of(metrics):
        if name in first and name in last:
            lines.append(f"| {title} | {first[name]:.4g} | {last[name]:.4g} |")
    return [lines, ["![learning curves](curves.png)"]]

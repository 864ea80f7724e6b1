"""A second prediction: the game played by policies that one network ties together.

The exact game moves every question's answers on its own. A network's policies move together: a gradient
step on sample j moves log pi of sample i by K_ij = <d log pi(y_i|x_i)/d theta, d log pi(y_j|x_j)/d theta>.
Here theta is the last layer, whose gradient needs no backward pass, and to first order
log pi(y_i|x_i) = log pi0 + s_i + constant of the prompt, where gradient ascent on J moves

    s_i <- s_i + eta sum_j K_ij w_j (A_j - mean of A over j's prompt),   A = u(z) - beta log(w / w0),

over samples j of the trained questions, w the weights of a prompt's samples (w0 all alike), u the
objective's reward at the marginals that w makes. With K the identity it ends at the exact equilibrium.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from real_measures import regrouped, weighted_measures
from real_questions import Rows

import dagame as dg
from dagame.samples.metrics import agreement

SAMPLES, FACTS = 4, 12
"""Of each prompt, and of the trained facts, that the kernel is made of."""


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes with equally many contexts: which of the trained samples are theirs, and what is paid there."""

    rows: np.ndarray
    place: tuple[np.ndarray, np.ndarray, np.ndarray]
    shape: tuple[int, ...]
    objective: Any

    @classmethod
    def of(cls, trained: pl.DataFrame, objective: Any) -> list[Classes]:
        """All classes of the T trained samples, as `dagame.Samples` reads them."""
        known = "correct" if callable(objective) else None
        part = dg.Samples.from_answers(trained, "class_id", "member_id", correct=known).partition
        found = []
        for bucket in part.buckets():
            rows = np.flatnonzero(np.isin(part.row_class, bucket.classes))
            order = np.argsort(bucket.classes)
            of_class = order[np.searchsorted(bucket.classes[order], part.row_class[rows])]
            made = objective(bucket) if callable(objective) else objective
            place = of_class, part.row_context[rows], part.row_answer[rows]
            found.append(cls(rows, place, bucket.counts.shape, made))
        return found

    def marginals(self, w: np.ndarray) -> np.ndarray:
        """(classes, contexts, answers) of weights (T,) that sum to 1 in each prompt."""
        nu = np.zeros(self.shape)
        np.add.at(nu, self.place, w[self.rows])
        return nu

    def paid(self, nu: np.ndarray) -> np.ndarray:
        """Reward of the samples `rows`."""
        return np.broadcast_to(np.asarray(self.objective.reward(nu)), nu.shape)[self.place]


def within(score: np.ndarray, prompt: np.ndarray) -> np.ndarray:
    """The softmax of the scores among the samples of each prompt."""
    high = np.full(int(prompt.max()) + 1, -np.inf)
    np.maximum.at(high, prompt, score)
    e = np.exp(score - high[prompt])
    return e / np.bincount(prompt, e)[prompt]


def follow(
    kernel: np.ndarray,
    prompt: np.ndarray,
    classes: Sequence[Classes],
    beta: float,
    until: float | None = None,
    steps: int = 400,
    largest: float = 0.1,
) -> tuple[np.ndarray, float, int]:
    """Gradient ascent of tied policies: weights (N,) of all samples, agreement trained, steps taken.

    Args:
        kernel: (N, T), the trained samples first among the N.
        prompt: (N,) numbers of the samples' prompts.
        classes: of the T trained samples.
        beta: coefficient of the KL.
        until: agreement of the trained classes at which to stop; None: after all steps.
        steps: at most.
        largest: change of a score in one step.
    """
    trained = kernel.shape[1]
    own = prompt[:trained]
    score = np.zeros(len(prompt))
    start = 1 / np.bincount(prompt)[prompt]
    reached, step = 0.0, 0
    for step in range(steps + 1):
        w = within(score, prompt)
        tables = [part.marginals(w[:trained]) for part in classes]
        reached = float(np.mean(np.concatenate([agreement(nu) for nu in tables])))
        if step == steps or (until is not None and reached >= until):
            break
        with np.errstate(divide="ignore"):
            ratio = np.log(w[:trained] / start[:trained])
        payoff = -beta * np.where(w[:trained] > 0, ratio, 0)
        for part, nu in zip(classes, tables, strict=True):
            payoff[part.rows] += part.paid(nu)
        push = w[:trained] * (payoff - np.bincount(own, w[:trained] * payoff)[own])
        change = kernel @ push
        score += change * min(1.0, largest / max(np.abs(change).max(), 1e-300))
    return within(score, prompt), reached, step


def last_layer_kernel(
    model: Any, tokenizer: Any, rows: Sequence[tuple[str, str]], trained: int, batch: int = 64
) -> np.ndarray:
    """K (N, T) of N prompts with completions, the first T trained; its mean diagonal there is 1.

    The gradient of log pi(y|x) in the last layer is sum_t (e_{y_t} - p_t) h_t', so that K sums
    <e - p, e' - p'> <h, h'> over pairs of tokens.
    """
    ours = [
        tokens
        for k in range(0, trained, batch)
        for tokens in _tokens(model, tokenizer, rows[k : min(k + batch, trained)])
    ]
    h, e = (torch.cat(part) for part in zip(*ours, strict=True))
    starts = np.cumsum([0, *(len(part) for part, _ in ours[:-1])])

    def row(tokens: tuple[Any, Any]) -> np.ndarray:
        """K of one sample with every trained one."""
        pairs = ((tokens[1] @ e.T) * (tokens[0] @ h.T)).sum(0)
        return np.add.reduceat(pairs.numpy().astype(float), starts)

    found = [row(tokens) for tokens in ours]
    for k in range(trained, len(rows), batch):
        found += [row(tokens) for tokens in _tokens(model, tokenizer, rows[k : k + batch])]
    kernel = np.stack(found)
    return kernel / np.mean(np.diag(kernel[:trained]))


@torch.no_grad()
def _tokens(model: Any, tokenizer: Any, rows: Sequence[tuple[str, str]]) -> list[tuple[Any, Any]]:
    """Hidden states (t, d) before each token of the completions and e - p (t, vocabulary)."""
    before = [tokenizer(prompt)["input_ids"] for prompt, _ in rows]
    after = [tokenizer(text, add_special_tokens=False)["input_ids"] for _, text in rows]
    after = [tokens or [tokenizer.eos_token_id] for tokens in after]
    whole = [b + a for b, a in zip(before, after, strict=True)]
    width = max(map(len, whole))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in whole])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in whole])
    states = model.get_decoder()(input_ids=ids, attention_mask=mask).last_hidden_state
    found = []
    for k, (b, a) in enumerate(zip(before, after, strict=True)):
        h = states[k, len(b) - 1 : len(b) + len(a) - 1].float()
        e = -model.get_output_embeddings()(h).softmax(-1)
        e[torch.arange(len(a)), torch.tensor(a)] += 1
        found.append((h, e))
    return found


def prepare(setting: Any) -> None:
    """Sample the trained questions, and keep all samples and the kernel in the work folder.

    Of the measured questions the first `SAMPLES` of each prompt that `Measure.before` kept are taken.
    """
    model, tokenizer = setting.load()
    asked = setting.questions
    names = list(dict.fromkeys(row["class_id"] for row in asked.train))[:FACTS]
    rows = [row for row in asked.train if row["class_id"] in names]
    seen = asked.evaluate(model, tokenizer, rows, SAMPLES, 3_000_003)
    parts = [(rows, "train", seen.completions)]
    for name, measured in (("same", asked.test), ("other", asked.other)):
        if measured:
            kept = pl.read_parquet(setting.work / f"before-{name}.parquet")
            parts.append((measured, name, kept))
    samples = pl.concat([few(part, name, kept) for part, name, kept in parts])
    samples = samples.with_columns(
        prompt_id=pl.struct("set", "class_id", "member_id").rank("dense").cast(pl.Int64) - 1
    )
    texts = list(zip(samples["prompt"], samples["completion"], strict=True))
    kernel = last_layer_kernel(model, tokenizer, texts, int((samples["set"] == "train").sum()))
    samples.write_parquet(setting.work / "tied.parquet")
    np.save(setting.work / "tied.npy", kernel.astype(np.float32))


def few(rows: Rows, name: str, completions: pl.DataFrame) -> pl.DataFrame:
    """The first SAMPLES completions of each prompt with its text and the name of the set."""
    each = len(completions) // len(rows)
    prompts = pl.Series([row["prompt"] for row in rows for _ in range(each)])
    first = np.tile(np.arange(each) < SAMPLES, len(rows))
    columns = ("class_id", "member_id", "completion", "answer", "correct")
    found = completions.select(columns).with_columns(prompt=prompts, set=pl.lit(name))
    return found.filter(pl.Series(first))


def predict(
    work: Path,
    objective: Any,
    beta: float,
    until: float | None,
    regroup: Callable[[Rows], Rows] | None = None,
) -> dict[str, Any]:
    """Accuracy and agreement of every set's facts, from what `prepare` kept.

    until: see `follow`; `stopped` says at which agreement of the trained classes it stopped.
    """
    samples, kernel = pl.read_parquet(work / "tied.parquet"), np.load(work / "tied.npy")
    trained = samples.head(kernel.shape[1])
    trained = trained if regroup is None else regrouped(trained, regroup)
    classes = Classes.of(trained, objective)
    prompt = samples["prompt_id"].to_numpy()
    weight, stopped, steps = follow(kernel, prompt, classes, beta, until)
    found: dict[str, Any] = {"stopped": stopped, "steps": steps, "until": until}
    for (name,), part in samples.with_columns(w=pl.Series(weight)).group_by(
        "set", maintain_order=True
    ):
        found[str(name)] = weighted_measures(part, part["w"].to_numpy())
    return found

"""Policy gradient on a language model with 341 completions: exact gap, estimated gap, distance to pi*.

    python benchmarks/lm_certificate.py

A random Llama (5 tokens, at most 4 new ones), three prompts of one class, the answer is the last
word. Each step draws K = 32 completions of each prompt and pays them u_x(a(y)) - beta log(pi/pi0) of
the sequence, u estimated by `dagame.estimators.count_rewards` under its leave-two-out baseline ("plug
in": grad Phi at the sampled marginals, the group's mean subtracted; "exact u": grad Phi at the policy's
own marginals). Adam with linear decay. "k3 as a loss" pays u alone and adds beta times the per-token k3
estimate of the KL to the loss, which follows the gradient of another divergence. Gains and distances
are enumerated; the estimate is `dagame.lm.certificate` on 256 fresh completions of each model and
prompt, at 95%.
"""

from __future__ import annotations

import itertools
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from common import RESULTS, keep
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import dagame as dg
from dagame.estimators import count_rewards
from dagame.lm.certificates.estimate import certificate
from dagame.lm.models.enumerate import enumerate_traces, trace_game
from dagame.numerics.simplex import kl


@dataclass(frozen=True)
class Run:
    """An objective; rewards "estimated", "plug in" or "exact"; k3: the KL as a loss."""

    objective: dg.Objective
    rewards: str = "estimated"
    k3: bool = False


WORDS = ["<eos>", "a", "b", "c", "d"]
PROMPTS = ["a b", "c a", "d d"]
LENGTH, K, STEPS, RATE, BETA, SEED = 4, 32, 3000, 2e-3, 0.3, 0
CHECKPOINTS = (0, 10, 25, 50, 100, 200, 400, 1000, 3000)
RUNS = {
    "Shannon diversity": Run(dg.ShannonDiversity(1.0)),
    "Shannon diversity, plug in": Run(dg.ShannonDiversity(1.0), "plug in"),
    "coherence": Run(dg.Coherence(1.0)),
    "coherence, plug in": Run(dg.Coherence(1.0), "plug in"),
    "coherence, exact u": Run(dg.Coherence(1.0), "exact"),
    "Shannon, exact u, k3 as a loss": Run(dg.ShannonDiversity(1.0), "exact", k3=True),
}


def build_tokenizer() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<eos>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<eos>", eos_token="<eos>")


def build_model(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        initializer_range=0.4,
        pad_token_id=0,
        eos_token_id=0,
    )
    return LlamaForCausalLM(config)


def last_word(text: str) -> str | None:
    return text.split()[-1] if text.split() else None


@dataclass
class Table:
    """All completions of all prompts, scored in one pass over the longest prefixes.

    tokens (N, T), mask (N, T); prefixes (R, T-1) without <eos>; row (N,) a prefix that each
    completion follows as far as it goes; prompts (P, 2).
    """

    tokens: torch.Tensor
    mask: torch.Tensor
    prefixes: torch.Tensor
    row: torch.Tensor
    prompts: torch.Tensor

    @classmethod
    def of(cls, tokens: np.ndarray, mask: np.ndarray, prompts: torch.Tensor) -> Table:
        """From the enumerated completions (N, T) and the prompts (P, 2)."""
        live = range(1, len(WORDS))
        prefixes = list(itertools.product(live, repeat=LENGTH - 1))
        place = {p[:n]: i for i, p in enumerate(prefixes) for n in range(LENGTH)}
        row = [
            place[tuple(x for x in t[m][: LENGTH - 1].tolist() if x)]
            for t, m in zip(tokens, mask, strict=True)
        ]
        parts = (torch.tensor(x) for x in (tokens, mask, prefixes, row))
        return cls(*parts, prompts)

    def log_probs(self, model: Any) -> torch.Tensor:
        """log pi of each token of each completion (P, N, T), 0 off the mask, with gradients."""
        p, r = len(self.prompts), len(self.prefixes)
        ids = torch.cat(
            [self.prompts[:, None].expand(p, r, -1), self.prefixes[None].expand(p, r, -1)], -1
        )
        logits = model(ids.reshape(p * r, -1)).logits[:, -LENGTH:].double()
        nodes = logits.log_softmax(-1).reshape(p, r, LENGTH, -1)
        position = torch.arange(LENGTH)[None]
        return torch.where(self.mask, nodes[:, self.row[:, None], position, self.tokens], 0.0)


def loss_of(
    table: Table, model: Any, log_pi0: torch.Tensor, game: dg.AlignmentGame, run: Run, rng: Any
) -> torch.Tensor:
    """The surrogate loss of K completions of each prompt, drawn from the enumerated policy."""
    tokens = table.log_probs(model)
    log_pi = tokens.sum(-1)
    p = log_pi.detach().exp().numpy()
    p = p / p.sum(-1, keepdims=True)
    drawn = np.stack([rng.choice(len(row), K, p=row) for row in p])
    answer = np.asarray(game.answer_map.table)[drawn]
    counts = np.stack([np.bincount(z, minlength=game.n) for z in answer])
    index = torch.as_tensor(drawn)
    chosen = log_pi.gather(-1, index)
    advantage = torch.as_tensor(np.take_along_axis(advantages(run, game, counts, p), answer, -1))
    if not run.k3:
        ratio = chosen.detach() - log_pi0.sum(-1).gather(-1, index)
        advantage = advantage - BETA * (ratio - ratio.mean(-1, keepdim=True)) * K / (K - 1)
    loss = -(advantage * chosen).mean()
    if run.k3:
        gap = (log_pi0 - tokens).gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))
        loss = loss + BETA * (gap.exp() - gap - 1).sum(-1).mean()
    return loss


def advantages(run: Run, game: dg.AlignmentGame, counts: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Of each answer in each context (m, n), without the KL."""
    if run.rewards == "estimated":
        return count_rewards(counts[None], game.objective).advantages[0]
    nu = counts / K if run.rewards == "plug in" else game.marginals(p)
    u = np.where(counts > 0, game.objective.reward(nu, game.weights), 0.0)
    off = u - (counts * u).sum(-1, keepdims=True) / K
    return off if run.rewards == "plug in" else off * K / (K - 1)


def train(name: str, run: Run) -> list[dict[str, Any]]:
    tokenizer, policy, reference = build_tokenizer(), build_model(SEED), build_model(SEED)
    traces = enumerate_traces(reference, tokenizer, PROMPTS, max_new_tokens=LENGTH)
    game, _ = trace_game(traces, run.objective, beta=BETA, extract=last_word)
    best = dg.solve(game, tol=1e-12)
    ids = torch.tensor(tokenizer(PROMPTS)["input_ids"])
    table = Table.of(traces.token_ids[0], traces.mask[0], ids)
    with torch.no_grad():
        log_pi0 = table.log_probs(reference)
    worst = (log_pi0.sum(-1) - torch.tensor(traces.log_prob)).abs().max()
    assert worst < 1e-4, f"the table's log-probabilities are off by {worst}"
    optimiser = torch.optim.Adam(policy.parameters(), lr=RATE)
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, STEPS)
    rng, rows = np.random.default_rng(SEED), []
    for step in range(STEPS + 1):
        if step in CHECKPOINTS:
            rows.append({"run": name, "step": step} | measure(table, policy, game, best, reference))
        loss = loss_of(table, policy, log_pi0, game, run, rng)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
    return rows


def measure(
    table: Table, policy: Any, game: dg.AlignmentGame, best: dg.Solution, reference: Any
) -> dict[str, Any]:
    with torch.no_grad():
        pi = table.log_probs(policy).sum(-1).exp().numpy()
    pi = pi / pi.sum(-1, keepdims=True)
    gain = float(best.value - game.value(pi))
    traces = float(kl(pi, best.policy).mean())
    answers = float(kl(game.marginals(pi), best.marginals).mean())
    found = certificate(
        policy,
        reference,
        [PROMPTS],
        game.objective,
        BETA,
        256,
        tokenizer=build_tokenizer(),
        extract=last_word,
        max_new_tokens=LENGTH,
        seed=SEED,
    )
    diverse = isinstance(game.objective, dg.ShannonDiversity)
    identity = abs(gain - BETA * traces - answers) if diverse else None
    return {
        "exact gain": gain,
        "estimate": found.gap,
        "lower": found.interval[0],
        "upper": found.interval[1],
        "KL(pi||pi*)": traces,
        "KL(nu||nu*)": answers,
        "gain - beta KL - lambda KL": identity,
    }


def draw(rows: list[dict[str, Any]]) -> None:
    from matplotlib.figure import Figure

    from dagame.show.plots import AFTER, CYCLE

    made = Figure(figsize=(19, 6.2), layout="constrained")
    grid = made.subplots(2, len(RUNS), sharex=True)
    for column, name in enumerate(RUNS):
        mine = [r for r in rows if r["run"] == name]
        step = [r["step"] for r in mine]
        above, below = grid[0, column], grid[1, column]
        above.fill_between(
            step, [r["lower"] for r in mine], [r["upper"] for r in mine], alpha=0.15, color=AFTER
        )
        above.plot(step, [r["estimate"] for r in mine], "o-", color=AFTER, label="estimate, 95%")
        above.plot(step, [r["exact gain"] for r in mine], "k.--", label="exact gain")
        above.set_title(name, fontsize=10)
        above.set_xscale("symlog", linthresh=10)
        for c, key in enumerate(("KL(pi||pi*)", "KL(nu||nu*)")):
            below.semilogy(step, [r[key] for r in mine], "o-", color=CYCLE[c], label=key)
        below.set_xlabel("step")
        for axes in (above, below):
            axes.spines[["top", "right"]].set_visible(False)
    grid[0, 0].legend(fontsize=8, frameon=False)
    grid[1, 0].legend(fontsize=8, frameon=False)
    grid[0, 0].set_ylabel("what any policy could still gain")
    grid[1, 0].set_ylabel("distance to the equilibrium (nats)")
    made.savefig(RESULTS / "lm_certificate.png", dpi=120)


def main() -> None:
    """Train every run, keep the table, draw it."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    rows = [row for name, run in RUNS.items() for row in train(name, run)]
    draw(rows)
    facts = {"steps": STEPS, "K": K, "beta": BETA, "rate": RATE, "seed": SEED}
    keep("lm_certificate", rows, seconds=time.perf_counter() - started, **facts)


if __name__ == "__main__":
    main()

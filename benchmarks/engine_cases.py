"""Completions of the embedded model, and what each of them is paid by the definition, for `engines.py`."""

from __future__ import annotations

import copy
import subprocess
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

BETA, K, CLASSES, CONTEXTS, LENGTH = 0.3, 4, 2, 3, 14
OBJECTIVE = {"name": "agreement", "strength": 2.0}


@dataclass(frozen=True)
class Drawn:
    """One completion and what is known of it; log_policy and log_reference: of each token."""

    class_id: int
    member_id: int
    prompt: str
    prompt_ids: list[int]
    ids: list[int]
    text: str
    truncated: bool
    label: str
    log_policy: list[float]
    log_reference: list[float]


@cache
def models() -> tuple[Any, Any, Any]:
    """Policy, reference and tokenizer."""
    import torch

    from dagame.lm import tiny

    model, tokenizer = tiny.load()
    reference = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        weight = reference.get_output_embeddings().weight
        weight += 0.1 * torch.randn(weight.shape, generator=generator)
    return model, reference, tokenizer


def token_log_probs(model: Any, prompt_ids: list[int], ids: list[int]) -> list[float]:
    """The log-probability of each token of a completion."""
    import torch

    with torch.no_grad():
        logits = model(torch.tensor([prompt_ids + ids])).logits[0].double()
    logs = torch.log_softmax(logits, -1)
    return [float(logs[len(prompt_ids) + t - 1, i]) for t, i in enumerate(ids)]


def prompts() -> list[dict[str, Any]]:
    """The rows of both questions, as `dagame.lm.schedule` numbers them."""
    from dagame.lm import schedule, tiny

    data = [r | {"class": r["class_id"]} for r in tiny.rows("finetune", 8)]
    rows = [r for r in data if r["member_id"] < CONTEXTS and r["class_id"] % 4 < 1]
    return list(schedule(rows[: CLASSES * CONTEXTS], classes_per_step=CLASSES))


@cache
def drawn() -> list[Drawn]:
    """K completions of every prompt, side by side; every fifth lacks its end token, as at a limit."""
    from dagame.lm import generate

    policy, reference, tokenizer = models()
    rows = prompts()
    found = generate(
        policy, tokenizer, [r["prompt"] for r in rows], K, max_new_tokens=LENGTH, seed=5
    )
    out = []
    for p, row in enumerate(rows):
        head = tokenizer(row["prompt"])["input_ids"]
        for k in range(K):
            ids = found.token_ids[p, k][found.mask[p, k]].tolist()
            cut = bool(found.truncated[p, k]) or len(out) % 5 == 4
            ids = ids[:-1] if ids[-1] == tokenizer.eos_token_id and cut else ids
            logs = [token_log_probs(m, head, ids) for m in (policy, reference)]
            text = found.texts[p][k]
            place = row["class_id"], row["member_id"], row["prompt"]
            out.append(Drawn(*place, head, ids, text, cut, row["answer"], *logs))
    return out


def recount(rows: list[tuple[Any, Any, Any]], strength: float, log_ratio: Any = None) -> np.ndarray:
    """Advantages of agreement by its definition, from (class, context, answer or None) of each completion.

    The target pays answer z of context x u = 2 strength sum over the other contexts of w nu(z), w = 1/m, no
    answer at most the least of its group; the advantage is u less the mean of the group's other samples. A
    KL costs beta (s_i less the mean of the others' s).
    """
    counts, sizes = Counter(rows), Counter((c, x) for c, x, _ in rows)
    paid = []
    for c, x, z in rows:
        others = [o for (d, o) in sizes if d == c and o != x]
        shares = [counts[c, o, z] / sizes[c, o] for o in others]
        paid.append(2 * strength * sum(shares) / (len(others) + 1))
    u, place = np.array(paid), [(c, x) for c, x, _ in rows]
    own = u.copy()
    for i, (c, x, z) in enumerate(rows):
        answered = [u[j] for j, r in enumerate(rows) if r[:2] == (c, x) and r[2] is not None]
        if z is None:
            own[i] = min([u[i], *answered]) if answered else 0.0
    cost = own - BETA * np.asarray(log_ratio) if log_ratio is not None else own
    peers = [[j for j in range(len(rows)) if place[j] == p and j != i] for i, p in enumerate(place)]
    return np.array([cost[i] - np.mean(cost[peers[i]]) for i in range(len(rows))])


def wanted(found: list[Drawn], *, kl: bool, read_cut: bool = False) -> np.ndarray:
    """The recount of completions of the embedded model; the answer stands after "#"."""
    from dagame.lm import tiny

    keys = [None if d.truncated and not read_cut else tiny.extract(d.text) for d in found]
    ratio = [sum(d.log_policy) - sum(d.log_reference) for d in found] if kl else None
    rows = [(d.class_id, d.member_id, key) for d, key in zip(found, keys, strict=True)]
    return recount(rows, OBJECTIVE["strength"], ratio)  # type: ignore[arg-type]


ANSWERS = {"extract": r"#\s*(\d+)", "canonical": "number"}


def checkout(module: str) -> Path:
    """The folder of an engine's own repository, from where its module was found."""
    found = find_spec(module)
    if found is None:
        raise ImportError(module)
    return Path(next(iter(found.submodule_search_locations or [found.origin or ""])))


def commit(folder: Path) -> str:
    """The commit of the repository that holds a folder."""
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    return "commit " + subprocess.run(command, capture_output=True, text=True).stdout.strip()

r"""Games in slime (experimental): the rewards of a whole rollout batch, whole classes at once.

slime hands a function that is named by `--custom-reward-post-process-path` its arguments and every
sample of a rollout batch, and trains on the second of the two lists that come back, as they are:
they replace slime's own centring and division. Written for slime at commit 624b824; nothing of slime
is imported.

    python train.py ... --custom-config-path game.yaml \
        --custom-reward-post-process-path dagame.lm.trainers.slime.rewards \
        --custom-rm-path dagame.lm.trainers.slime.correctness

with the section `dagame` in game.yaml, or with a function of your own that calls `SlimeGame`.

slime's KL in the loss is -beta times a per-token estimate, averaged over tokens: `k1` and `k3` have the
gradient of KL(pi || pi0) token by token with `--use-unbiased-kl` only, `k2` only without it, and none
has the credit of later tokens (`dagame.estimators.kl_weight`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..spec import GameSpec
from .rules import Rule, broken, reader, refuse
from .whole_classes import (
    UNCLASSED,
    EngineGame,
    EngineRow,
    EngineSection,
    Payment,
    class_columns,
    record,
)

FIX = (
    "let rollout_batch_size be classes_per_step * contexts of dagame.lm.schedule, without shuffling, "
    "filters or partial rollouts"
)

_TEARS = "it would tear classes apart or shift the batches that hold them"
_SAMPLES = "completions must be samples of the policy itself"
_DROPS = "every completion counts in the marginals, so it must be in the loss"

_RULES = (
    Rule("advantage_estimator", ("grpo",), "the others change or discount what the game pays"),
    Rule("loss_type", ("policy_loss", None), "the others do not use the game's advantages"),
    Rule(
        "normalize_advantages",
        (False, None),
        "dividing by the batch's standard deviation cancels the strength of the objective",
    ),
    Rule("custom_advantage_function_path", (None,), "it would replace the game's advantages"),
    Rule("custom_convert_samples_to_train_data_path", (None,), "it would never ask the game"),
    Rule("rollout_shuffle", (False, None), _TEARS),
    Rule("partial_rollout", (False, None), _TEARS),
    Rule("dynamic_sampling_filter_path", (None,), _TEARS),
    Rule("buffer_filter_path", (None,), _TEARS),
    Rule("rollout_max_prompt_len", (None,), _TEARS),
    Rule("rollout_sample_filter_path", (None,), _DROPS),
    Rule("use_opsm", (False, None), _DROPS),
    Rule("rollout_temperature", (1.0, None), _SAMPLES),
    Rule("rollout_top_p", (1.0, None), _SAMPLES),
    Rule("rollout_top_k", (-1, None), _SAMPLES),
    Rule("entropy_coef", (0.0, None), "it adds a term to the payoff; use ShannonDiversity"),
    Rule("use_opd", (False, None), "it adds another model's KL to the payoff"),
    Rule("kl_coef", (0.0, None), "with grpo slime computes that KL and pays it nowhere"),
    Rule("ref_update_interval", (None,), "the reference of the game is fixed, not a moving one"),
    Rule("use_kl_loss", (True,), "without a KL to the reference there is no game"),
    Rule(
        "calculate_per_token_loss",
        (True,),
        "a mean over each completion's tokens weighs completions by their length",
    ),
)
RULES = {rule.field: rule for rule in _RULES}
"""Each argument's values under which the update is the game's, and what happens otherwise."""

RIGHT_KL = (("k1", True), ("k3", True), ("k2", False))
"""(kl_loss_type, use_unbiased_kl) whose gradient is that of KL(pi || pi0)."""


class SlimeGame:
    """The function of (args, samples) that slime calls with a rollout batch.

    Args:
        spec: what is played; kl="loss", and beta and group_size those of slime's arguments.

    Raises:
        SettingsError: of a call: arguments that break the game, each with the value to set instead.
        ScheduleError: of a call: samples that are not whole classes.
    """

    def __init__(self, spec: GameSpec) -> None:
        """See the class."""
        self.game = EngineGame(spec)
        self._checked: Any = None

    def __call__(self, args: Any, samples: Sequence[Any]) -> tuple[list[float], list[float]]:
        """(raw, final) rewards of the samples: the game's rewards, and its advantages."""
        if self._checked is not args:
            check_arguments(args, self.game.spec)
            self._checked = args
        payment = self.game.pay([_row(sample) for sample in samples], fix=FIX)
        _keep(samples, payment)
        return payment.rewards.tolist(), payment.advantages.tolist()


def rewards(args: Any, samples: Sequence[Any]) -> tuple[list[float], list[float]]:
    """(raw, final) rewards by the game of the section `dagame` of slime's custom configuration.

    objective: {name, strength}, answers: {extract, canonical, no_answer, truncated}, estimator; beta is
    `--kl-loss-coef` and K `--n-samples-per-prompt`.
    """
    return _game(args)(args, samples)


async def correctness(args: Any, sample: Any, **_: Any) -> float:
    """What slime logs of one sample on its own: 1 for the right answer, else 0, also where unlabelled.

    For `--custom-rm-path`, so that evaluation has an accuracy; training is paid by the game alone.
    """
    return float(_game(args).game.measure([_row(sample, measure=True)]).rewards[0])


def _game(args: Any) -> SlimeGame:
    """The game of the arguments, made once."""
    beta, k = getattr(args, "kl_loss_coef", None), getattr(args, "n_samples_per_prompt", None)
    raw = getattr(args, "dagame", None) or {}
    key = repr((raw, beta, k))
    if key not in _GAMES:
        refuse(list(_faults(args)))
        section = EngineSection.read(raw, "slime")
        spec = section.spec(beta=beta, kl="loss", group_size=k)  # type: ignore[arg-type]
        _GAMES[key] = SlimeGame(spec)
    return _GAMES[key]


_GAMES: dict[str, SlimeGame] = {}


def check_arguments(args: Any, spec: GameSpec) -> None:
    """Raise `SettingsError` with every fault of slime's arguments and its fix."""
    faults = list(_faults(args))
    if spec.kl != "loss":
        faults.append(
            f"kl={spec.kl!r}: set 'loss'; slime shows a reward no log-probabilities of the reference"
        )
    for name, value in (("kl_loss_coef", spec.beta), ("n_samples_per_prompt", spec.group_size)):
        found = getattr(args, name, None)
        if found != value:
            faults.append(Rule(name, (value,), "the game has that value").fault(found))
    refuse(faults)


def _faults(args: Any) -> Iterator[str]:
    read = reader(args)
    yield from broken(RULES.values(), read)
    kind, unbiased = read("kl_loss_type"), bool(read("use_unbiased_kl"))
    if read("use_kl_loss") and (kind, unbiased) not in RIGHT_KL:
        yield (
            f"kl_loss_type={kind!r}, use_unbiased_kl={unbiased}: set k3 and True (or k2 and False); this "
            "pair has not the gradient of KL(pi||pi0)"
        )
    prompts, k = read("rollout_batch_size"), read("n_samples_per_prompt")
    same = Rule("over_sampling_batch_size", (prompts, None), _TEARS, str(prompts))
    yield from broken([same], read)
    if prompts and k and read("global_batch_size") not in (None, prompts * k):
        why = "the loss's KL is right for one update per rollout only"
        fix = f"{prompts * k} (rollout_batch_size * n_samples_per_prompt)"
        yield Rule("global_batch_size", (), why, fix).fault(read("global_batch_size"))


def _row(sample: Any, measure: bool = False) -> EngineRow:
    """A sample of slime; one that was aborted, failed or is left out of the loss plays no part."""
    metadata, status = sample.metadata or {}, sample.status.value
    where = f"the metadata of sample {sample.index}"
    return EngineRow(
        sample.response,
        *(UNCLASSED if measure else class_columns(metadata, where)),
        truncated=status == "truncated",
        answer=sample.label,
        aliases=metadata.get("aliases"),
        lost=status not in ("completed", "truncated") or bool(sample.remove_sample),
    )


def _keep(samples: Sequence[Any], payment: Payment) -> None:
    """Leave each sample's key and the batch's metrics in its metadata, for slime's logs and dumps."""
    metrics = record(payment)
    for sample, key in zip(samples, payment.keys, strict=True):
        sample.metadata = {**sample.metadata, "answer_key": key, "game": metrics}

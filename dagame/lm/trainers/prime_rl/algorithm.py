"""Games in prime-rl (experimental): credit of a cohort whose episodes hold every context of a class.

prime-rl scores a group of episodes at once, all of one task, and an episode of verifiers may hold several
traces. A task here is a class: each episode plays every context once, and a group is K episodes, so
that `score_group` sees the class whole. Written for prime-rl at commit 559b447 with verifiers 0.4.0.

prime-rl's loss has no KL to a fixed model; its KL is to the policy that sampled. So the reference is a
frozen endpoint, as the teacher of prime-rl's `opd`, and -beta log(pi/pi0) of the whole completion is
paid: kl="reward", exact up to the difference between the engines' log-probabilities. prime-rl takes
algorithms from its own list only, so that a checkout has to name this one (docs/engines.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ....errors import InvalidGame, SettingsError
from ..whole_classes import EngineGame, EngineRow, EngineSection, Payment, class_columns

try:
    from prime_rl.orchestrator.algo.base import iter_trainable_traces
    from prime_rl.orchestrator.algo.opd import OPDAlgorithm
    from prime_rl.orchestrator.algo.routing import assign_advantages
except ImportError as error:
    raise SettingsError(
        f"games in prime-rl need it ({error}): clone github.com/PrimeIntellect-ai/prime-rl and run in its "
        "environment; it is not on PyPI."
    ) from error

FIX = "let each episode play every context of its class once, and group_size be that of the game"


class GameAlgorithm(OPDAlgorithm):
    """Advantages of the game, the exact KL included, on every sampled token of a trace.

    Its configuration has `teacher`, the endpoint of pi0; `beta`; `group_size`, K; and `game`, a mapping
    with objective {name, strength}, answers {extract, canonical, no_answer, truncated} and estimator. The
    data of each trace's task have class_id, member_id and class_size, and perhaps answer and aliases.
    """

    action_loss_type = "rl"

    def __init__(self, config: Any, policy_pool: Any) -> None:
        """See the class."""
        super().__init__(config, policy_pool)
        section = EngineSection.read(dict(config.game), "prime-rl")
        spec = section.spec(beta=config.beta, kl="reward", group_size=config.group_size)
        self.game = EngineGame(spec)

    async def score_group(self, episodes: list[Any]) -> None:
        """Pay the group and leave each trace's key, and the metrics of the game, in its metrics.

        Raises:
            ScheduleError: the episodes are not one whole class.
            InvalidGame: a trace has no log-probabilities of the reference.
        """
        pay_episodes(self.game, episodes)


def pay_episodes(game: EngineGame, episodes: Sequence[Any]) -> Payment:
    """Assign the advantages of the episodes' traces.

    Failed traces, and those that failed episodes lack, play no part.
    """
    good = {id(trace) for _, trace in iter_trainable_traces(list(episodes))}
    traces = [trace for episode in episodes for trace in episode.traces if trace.agent.trainable]
    rows = [_row(trace, id(trace) not in good) for trace in traces]
    payment = game.pay([*rows, *_missing(rows, episodes, game.spec.group_size)], fix=FIX)
    for i, trace in enumerate(traces):
        if id(trace) in good:
            assign_advantages(trace, float(payment.advantages[i]))
            trace.info["answer_key"] = payment.keys[i]
            trace.record_metrics({f"game/{k}": v for k, v in payment.metrics.items()})
    return payment


def _row(trace: Any, lost: bool) -> EngineRow:
    data = trace.task.data.model_dump()
    return EngineRow(
        trace.last_reply,
        *class_columns(data, "the data of a trace's task"),
        truncated=bool(trace.is_truncated),
        answer=data.get("answer"),
        aliases=data.get("aliases"),
        log_ratio=None if lost else _log_ratio(trace),
        lost=lost,
    )


def _log_ratio(trace: Any) -> float:
    """log(pi/pi0) of the sampled tokens of a trace."""
    total = 0.0
    for node in trace.nodes:
        if not any(node.mask):
            continue
        if node.reference_logprobs is None or len(node.reference_logprobs) != len(node.logprobs):
            raise InvalidGame(
                "a trace has no log-probabilities of the reference; configure `teacher`, the endpoint of "
                "the model that training began with, so that score_episode attaches them."
            )
        total += sum(node.logprobs) - sum(node.reference_logprobs)
    return total


def _missing(
    rows: Sequence[EngineRow], episodes: Sequence[Any], group_size: int
) -> list[EngineRow]:
    """Lost rows for the contexts that failed or cancelled episodes never played."""
    failed = group_size - sum(bool(episode.ok) for episode in episodes)
    counts = Counter((row.class_id, row.member_id, row.class_size) for row in rows)
    return [
        EngineRow("", class_id, member_id, class_size, lost=True)
        for (class_id, member_id, class_size), count in counts.items()
        for _ in range(min(group_size - count, failed))
    ]

"""The adapters of the training engines: recounts, split classes, settings, and the engines' own code."""

from argparse import Namespace
from dataclasses import dataclass, field, replace
from enum import Enum
from importlib import import_module
from importlib.util import find_spec

import engines
import numpy as np
import pytest
from engine_cases import BETA, CONTEXTS, Drawn, K, recount, wanted
from engine_single import slime_arguments, slime_sample
from hypothesis import given, settings
from hypothesis import strategies as st

import dagame as dg
from dagame.errors import ConfigError, InvalidGame, ScheduleError, SettingsError
from dagame.lm import EngineGame, EngineRow, GameSpec
from dagame.lm.trainers import slime
from dagame.lm.trainers.nemo_rl import settings as nemo
from dagame.lm.trainers.prime_rl import settings as prime
from dagame.lm.trainers.tinker import settings as tinker

KINDS = [None, "1", "2", "3"]


def completion(key):
    return "no idea" if key is None else rf"so \boxed{{{key}}}"


def rows_of(answers, contexts=2, group=4, **common):
    """Rows side by side from a flat list of keys, labelled "1"."""
    places = [(i // (contexts * group), i // group % contexts) for i in range(len(answers))]
    common = {"class_size": contexts, "answer": "1"} | common
    return [
        EngineRow(completion(key), c, x, **common)
        for (c, x), key in zip(places, answers, strict=True)
    ]


def game(kl="loss", group=4, **options):
    return EngineGame(GameSpec(dg.Agreement(2.0), beta=BETA, kl=kl, group_size=group, **options))


# -- one path for all -----------------------------------------------------------------------------


@settings(max_examples=10)
@given(
    answers=st.lists(st.sampled_from(KINDS), min_size=16, max_size=16),
    ratios=st.lists(st.floats(-3, 3), min_size=16, max_size=16),
    order=st.permutations(range(16)),
)
def test_payment_is_the_recount_in_any_order_and_sums_to_zero(answers, ratios, order):
    rows = [replace(r, log_ratio=s) for r, s in zip(rows_of(answers), ratios, strict=True)]
    places = [(r.class_id, r.member_id, z) for r, z in zip(rows, answers, strict=True)]
    right = {"loss": recount(places, 2.0), "reward": recount(places, 2.0, ratios)}
    for kl, paid in right.items():
        payment = game(kl).pay([rows[i] for i in order])
        np.testing.assert_allclose(payment.advantages, paid[list(order)], atol=1e-12)
        assert payment.keys == [answers[i] for i in order]
        assert payment.correct == [float(answers[i] == "1") for i in order]
        grouped = np.zeros(16)
        grouped[list(order)] = payment.advantages
        np.testing.assert_allclose(grouped.reshape(4, 4).sum(1), 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (slice(0, 15), "context 1 of class 1 has 3 completions in one call instead of 4"),
        (slice(0, 12), "class 1 has 1 of its 2 contexts"),
        (slice(4, 16), "class 0 has 1 of its 2 contexts"),
        ([*range(16), 0], "context 0 of class 0 has 5 completions"),
        ([*range(4, 8), *range(4, 8)], "class 0 has 1 of its 2 contexts"),
    ],
    ids=str,
)
def test_a_part_of_a_class_is_never_paid(kept, message):
    rows = rows_of(["1"] * 16)
    shown = rows[kept] if isinstance(kept, slice) else [rows[i] for i in kept]
    made = game()
    with pytest.raises(ScheduleError, match=message):
        made.pay(shown)
    assert made.game.rounds == 0


def test_lost_completions_play_no_part():
    answers = ["1", "1", "2", "3", "1", "2", "2", "1"]
    rows = rows_of(answers)
    rows[2] = replace(rows[2], lost=True)
    payment = game().pay(rows)
    left = [i for i in range(8) if i != 2]
    wanted = recount([(0, rows[i].member_id, answers[i]) for i in left], 2.0)
    np.testing.assert_allclose(payment.advantages[left], wanted, atol=1e-12)
    assert payment.advantages[2] == 0.0
    assert payment.keys[2] is None
    assert payment.metrics["lost"] == 1 / 8
    nothing = game().pay([replace(row, lost=True) for row in rows])
    assert not nothing.advantages.any()
    assert nothing.metrics == {"lost": 1.0}


def test_cut_and_unscorable_completions():
    answers = ["1", "1", "2", None, "1", "2", "2", "1"]
    rows = rows_of(answers)
    cut = [replace(rows[0], truncated=True), *rows[1:]]
    payment = game().pay(cut)
    seen = [None, *answers[1:]]
    assert payment.keys == seen
    places = [(0, row.member_id, key) for row, key in zip(rows, seen, strict=True)]
    np.testing.assert_allclose(payment.advantages, recount(places, 2.0), atol=1e-12)
    assert game(truncated="read").pay(cut).keys == answers
    dropped = game(no_answer="drop").pay(rows)
    assert (dropped.advantages[3], dropped.rewards[3]) == (0.0, 0.0)
    counted = [i for i in range(8) if i != 3]
    places = [(0, rows[i].member_id, answers[i]) for i in counted]
    np.testing.assert_allclose(dropped.advantages[counted], recount(places, 2.0), atol=1e-12)


def test_what_no_payment_can_be_made_of():
    with pytest.raises(SettingsError, match="baseline is 'leave_two_out': set 'group_mean'"):
        game(baseline="leave_two_out")
    with pytest.raises(InvalidGame, match="no log-probabilities of the reference"):
        game("reward").pay(rows_of(["1"] * 8))
    hard = dg.HardConstraint(dg.Parity(0.1))
    with pytest.raises(SettingsError, match="multipliers, which an engine would lose"):
        EngineGame(GameSpec(hard, beta=0.1, group_size=4, vocabulary=["1", "2"]))
    alone = slime_arguments(n_samples_per_prompt=1, global_batch_size=6)
    with pytest.raises(SettingsError, match="group_size is 1; give an integer >= 3"):
        slime.rewards(alone, [])


# -- slime ----------------------------------------------------------------------------------------


@dataclass
class Sample:
    """The fields of slime.utils.types.Sample at commit 624b824 that the adapter reads or leaves."""

    class Status(Enum):
        PENDING = "pending"
        COMPLETED = "completed"
        TRUNCATED = "truncated"
        ABORTED = "aborted"
        FAILED = "failed"

    group_index: int | None = None
    index: int | None = None
    rollout_id: int | None = None
    prompt: str = ""
    tokens: list = field(default_factory=list)
    response: str = ""
    response_length: int = 0
    label: str | None = None
    remove_sample: bool = False
    status: Status = Status.PENDING
    metadata: dict = field(default_factory=dict)


def drawn():
    """Completions of two classes in three contexts by hand: right and wrong ones, cut ones, no answer."""
    answers = "112211221233333344421 ."
    return [
        Drawn(
            i // (CONTEXTS * K), i // K % CONTEXTS, "?", [3], [4, 5],
            f"# {z}" if z.isdigit() else "?", i % 5 == 4, "1", [-1.0, -0.5], [-0.7, -0.9],
        )
        for i, z in enumerate(answers + "2")
    ]  # fmt: skip


def slime_batch():
    return [slime_sample(Sample, i, d) for i, d in enumerate(drawn())]


def keys_of(samples):
    return [
        (s.metadata["class_id"], s.metadata["member_id"], s.metadata["answer_key"]) for s in samples
    ]


def test_slime_is_paid_the_recount():
    samples = slime_batch()
    raw, final = slime.rewards(slime_arguments(), samples)
    np.testing.assert_allclose(final, wanted(drawn(), kl=False), atol=1e-12)
    assert np.isfinite(raw).all()
    np.testing.assert_allclose(final, recount(keys_of(samples), 2.0), atol=1e-12)
    assert samples[0].metadata["game"]["game/accuracy"] > 0
    with pytest.raises(
        ScheduleError, match=r"class 0 has 2 of its 3 contexts .* rollout_batch_size"
    ):
        slime.rewards(slime_arguments(), slime_batch()[K:])


@pytest.mark.parametrize("status", ["PENDING", "ABORTED", "FAILED"])
def test_slime_leaves_out_what_it_did_not_draw(status):
    samples = slime_batch()
    samples[1].status, samples[5].remove_sample = Sample.Status[status], True
    _, final = slime.rewards(slime_arguments(), samples)
    assert (final[1], final[5]) == (0.0, 0.0)
    left = [s for i, s in enumerate(samples) if i not in (1, 5)]
    wanted = recount(keys_of(left), 2.0)
    np.testing.assert_allclose(np.delete(final, [1, 5]), wanted, atol=1e-12)


def test_slime_needs_the_columns_of_the_schedule():
    samples = slime_batch()
    samples[3].metadata = {"class_id": "0", "member_id": 0, "class_size": 3}
    with pytest.raises(ScheduleError, match="sample 3 has class_id '0' instead of an integer"):
        slime.rewards(slime_arguments(), samples)


WRONG = {
    "advantage_estimator": "gspo",
    "loss_type": "sft_loss",
    "rollout_temperature": 0.7,
    "rollout_top_p": 0.9,
    "rollout_top_k": 20,
    "entropy_coef": 0.01,
    "kl_coef": 0.1,
    "use_kl_loss": False,
    "calculate_per_token_loss": False,
    "over_sampling_batch_size": 99,
    "global_batch_size": 12,
    "kl_loss_coef": 0.0,
    "n_samples_per_prompt": 1,
}


@pytest.mark.parametrize("name", [*slime.RULES, "over_sampling_batch_size", "global_batch_size",
                                  "kl_loss_coef", "n_samples_per_prompt"])  # fmt: skip
def test_slime_refuses_what_breaks_the_game(name):
    arguments = slime_arguments(**{name: WRONG.get(name, True)})
    meant = "beta" if name == "kl_loss_coef" else name
    with pytest.raises(SettingsError, match=meant):
        slime.rewards(arguments, slime_batch())


@pytest.mark.parametrize("kind", ["k1", "k2", "k3", "low_var_kl"])
@pytest.mark.parametrize("unbiased", [True, False])
def test_slime_takes_a_kl_of_the_right_gradient_only(kind, unbiased):
    arguments = slime_arguments(kl_loss_type=kind, use_unbiased_kl=unbiased)
    if unbiased == (kind in ("k1", "k3")) and kind != "low_var_kl":
        slime.rewards(arguments, slime_batch())
    else:
        with pytest.raises(SettingsError, match="set k3 and True"):
            slime.rewards(arguments, slime_batch())


def test_slime_and_a_game_of_ones_own_agree_on_beta_and_group_size():
    made = slime.SlimeGame(GameSpec(dg.Agreement(), beta=0.1, kl="reward", group_size=8))
    with pytest.raises(SettingsError) as error:
        made(slime_arguments(), slime_batch())
    for part in (
        "kl='reward': set 'loss'",
        "kl_loss_coef=0.3: set 0.1",
        "n_samples_per_prompt=4: set 8",
    ):
        assert part in str(error.value)
    with pytest.raises(ConfigError, match="objectif"):
        slime.rewards(slime_arguments(dagame={"objectif": {}}), slime_batch())


def test_slime_logs_the_correctness_of_a_sample_of_no_class():
    import asyncio

    right, wrong = slime_batch()[:2]
    right.response, wrong.response = f"# {right.label}", "# 99"
    right.status = wrong.status = Sample.Status.COMPLETED
    right.metadata = wrong.metadata = {}
    arguments = slime_arguments()
    assert asyncio.run(slime.correctness(arguments, right)) == 1.0
    assert asyncio.run(slime.correctness(arguments, wrong)) == 0.0
    right.label = None
    assert asyncio.run(slime.correctness(arguments, right)) == 0.0


# -- settings of the others -----------------------------------------------------------------------

SPEC = GameSpec(dg.Agreement(), beta=0.1, group_size=4)
PAID = GameSpec(dg.Agreement(), beta=0.1, kl="reward", group_size=4)
TINKER = {
    "temperature": 1.0,
    "loss_fn": "importance_sampling",
    "num_substeps": 1,
    "async_config": None,
    "remove_constant_reward_groups": False,
    "rollout_error_tolerance": False,
    "termination": None,
    "kl_penalty_coef": 0.1,
    "kl_discount_factor": 0.0,
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0.5},
        {"loss_fn": "cispo"},
        {"num_substeps": 2},
        {"async_config": "any"},
        {"remove_constant_reward_groups": True},
        {"rollout_error_tolerance": None},
        {"rollout_error_tolerance": True},
        {"termination": Namespace(zero_reward_on_limit=True)},
        {"kl_penalty_coef": 0.0},
        {"kl_discount_factor": 1.0},
    ],
    ids=str,
)
def test_tinker_refuses_what_breaks_the_game(wrong):
    tinker.check_config(Namespace(**TINKER), SPEC)
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        tinker.check_config(Namespace(**TINKER | wrong), SPEC)


def test_tinkers_kl_is_in_one_place():
    tinker.check_config(Namespace(**TINKER | {"kl_penalty_coef": 0.0}), PAID)
    with pytest.raises(SettingsError, match="two add up to another game"):
        tinker.check_config(Namespace(**TINKER), PAID)


def nemo_config(**changed):
    """A configuration of NeMo-RL as nested dictionaries, dotted paths changed (dots as __)."""
    flat = {
        "grpo.num_prompts_per_step": 6,
        "grpo.num_generations_per_prompt": 4,
        "grpo.max_rollout_turns": 1,
        "grpo.adv_estimator.normalize_rewards": False,
        "grpo.adv_estimator.use_leave_one_out_baseline": False,
        "data.shuffle": False,
        "policy.train_global_batch_size": 24,
        "policy.generation.temperature": 1.0,
        "loss_fn.reference_policy_kl_penalty": 0.1,
        "loss_fn.reference_policy_kl_type": "k3",
        "loss_fn.token_level_loss": True,
        "env.dagame.beta": 0.1,
        "env.dagame.group_size": 4,
        "env.dagame.objective": {"name": "agreement", "strength": 2.0},
    }
    nested = {}
    for path, value in (flat | {k.replace("__", "."): v for k, v in changed.items()}).items():
        *above, name = path.split(".")
        place = nested
        for part in above:
            place = place.setdefault(part, {})
        place[name] = value
    return nested


def test_nemo_rl_plays_the_game_of_its_configuration():
    spec = nemo.check_config(nemo_config())
    assert (spec.beta, spec.group_size, spec.kl, spec.truncated) == (0.1, 4, "loss", "read")
    assert repr(spec.objective) == repr(dg.Agreement(2.0))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "wrong") for name in nemo.RULES),
        ("loss_fn.reference_policy_kl_type", "k2"),
        ("loss_fn.reference_policy_kl_penalty", 0.0),
        ("loss_fn.reference_policy_kl_penalty", 0.2),
        ("grpo.num_generations_per_prompt", 8),
        ("policy.train_global_batch_size", 12),
    ],
)
def test_nemo_rl_refuses_what_breaks_the_game(name, value):
    with pytest.raises(SettingsError, match=name.rpartition(".")[2] if value != 0.2 else "beta"):
        nemo.check_config(nemo_config(**{name.replace(".", "__"): value}))


def test_nemo_rl_cannot_tell_cut_completions():
    with pytest.raises(SettingsError, match=r"answers\.truncated is 'no-answer': set 'read'"):
        nemo.game_spec({"beta": 0.1, "group_size": 4, "answers": {"truncated": "no-answer"}})
    with pytest.raises(SettingsError, match="no setting 'betta'"):
        nemo.game_spec({"betta": 0.1, "group_size": 4})


def test_prime_rl_refuses_what_breaks_the_game():
    def orchestrator(temperature=1.0, body=None, **source):
        sampling = Namespace(temperature=temperature, extra_body=body or {})
        sources = [Namespace(sampling=sampling, **{"group_size": 4, "curriculum": None} | source)]
        return Namespace(train=Namespace(source=sources))

    prime.check_orchestrator(orchestrator(), PAID)
    for wrong, message in (
        (orchestrator(temperature=0.7), r"train.source\[0\].sampling.temperature=0.7: set 1.0"),
        (orchestrator(body={"top_k": 20}), "extra_body: leave out top_k"),
        (orchestrator(group_size=1), "group_size=1: set 4"),
        (orchestrator(curriculum="gates"), "curriculum='gates': set None"),
    ):
        with pytest.raises(SettingsError, match=message):
            prime.check_orchestrator(wrong, PAID)
    with pytest.raises(SettingsError, match="kl='loss': set 'reward'"):
        prime.check_orchestrator(orchestrator(), SPEC)


# -- the engines themselves -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "engine", "how"),
    [
        ("tinker.groups", "tinker_cookbook", "pip install 'tinker-cookbook"),
        ("nemo_rl.environment", "nemo_rl", "clone github.com/NVIDIA-NeMo/RL"),
        ("prime_rl.algorithm", "prime_rl", "clone github.com/PrimeIntellect-ai/prime-rl"),
    ],
)
def test_an_engine_that_is_absent_is_named_with_the_way_to_get_it(module, engine, how):
    if find_spec(engine):
        pytest.skip(f"{engine} is installed")
    with pytest.raises(SettingsError, match=how):
        import_module(f"dagame.lm.trainers.{module}")


@pytest.mark.parametrize("name", engines.ENGINES)
@pytest.mark.filterwarnings("ignore")  # the engines' own
def test_one_step_of_the_engine_is_paid_the_recount(name):
    module = engines.ENGINES[name][1]
    if not find_spec(module):
        pytest.skip(f"{module} is not installed; benchmarks/engines.py has run it")
    row = engines.measured(name)
    assert row["largest_difference"] < 1e-6 < row["largest_advantage"]

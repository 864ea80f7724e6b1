"""The KL to the reference in a sampled update: which estimators follow its gradient and which do not."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InvalidDistribution, InvalidObjective

KL_KINDS = ("reward", "k1", "k2", "k3", "k3_corrected")


def kl_weight(log_ratio: Any, kind: str = "reward") -> np.ndarray:
    """The factor c_i of grad log pi(y_i) that a KL term contributes, from log(pi/pi0)(y_i).

    On-policy and for whole completions, E[c_i grad log pi(y_i)] is

    ===============  ==========================  =========================================
    kind             c_i                         expectation
    ===============  ==========================  =========================================
    "reward"         log(pi/pi0)                 grad KL(pi || pi0), exact
    "k1"             1                           0: as a loss it does nothing
    "k2"             log(pi/pi0)                 grad KL(pi || pi0), exact
    "k3"             1 - pi0/pi                  grad KL(pi0 || pi): another equilibrium
    "k3_corrected"   log(pi/pi0)                 grad KL(pi || pi0), exact
    ===============  ==========================  =========================================

    "k3_corrected" is the gradient of the importance-weighted loss (pi/pi_old) k3, k3 = pi0/pi - 1 -
    log(pi0/pi). Summed token by token in a loss, k2, k3 and k3_corrected miss the credit of later
    tokens; "reward" does not (docs/theory/policy-gradient.md#which-kl).

    Raises:
        InvalidObjective: unknown kind.
        InvalidDistribution: log-ratios that are not finite, or below -700 under "k3".
    """
    log_ratio = np.asarray(log_ratio, float)
    if not np.isfinite(log_ratio).all() or (kind == "k3" and (log_ratio < -700).any()):
        raise InvalidDistribution(
            "log(pi/pi0) is NaN, infinite, or so low that its exponential is; score completions under "
            "both models, and take kind='reward'."
        )
    if kind in ("reward", "k2", "k3_corrected"):
        return log_ratio
    if kind == "k1":
        return np.ones_like(log_ratio)
    if kind == "k3":
        return -np.expm1(-log_ratio)
    raise InvalidObjective(f"kl is {kind!r}; choose one of {', '.join(KL_KINDS)}.")


def less_the_others(cost: Any, total: Any, size: Any) -> np.ndarray:
    """c_i less the mean of its group's other samples, (c_i - mean) K/(K - 1); a group of one keeps c_i.

    A centring by the others leaves the expected update what it is, one by the mean of all
    shrinks it by 1 - 1/K (docs/theory/policy-gradient.md#which-kl).

    Args:
        cost: c_i of each sample.
        total: the sum of its group's costs; 0 for a trainer that subtracts the group's mean itself.
        size: K, samples in its group.
    """
    cost, others = np.asarray(cost, float), np.maximum(np.asarray(size) - 1, 1)
    return np.where(np.asarray(size) > 1, cost - (total - cost) / others, cost)

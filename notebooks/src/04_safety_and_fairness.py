# %% [markdown]
# # Safety and fairness
#
# **Question.** An unsafe answer pays best. What does a cap on it cost, and who pays?

# %%
import numpy as np

import dagame as dg
from dagame.show import plots

reward = dg.Reward([1.0, 0.0, 1.5])
free = dg.AlignmentGame(
    [[0.5, 0.3, 0.2], [0.3, 0.6, 0.1]],
    reward,
    beta=1.0,
    answer_names=["helpful", "evasive", "unsafe"],
    context_names=["prompt 1", "prompt 2"],
)
dg.solve(free)

# %%
capped = free.with_objective(reward + dg.HardConstraint(dg.Cap([2], 0.1)))
dg.solve(capped).plot()

# %% [markdown]
# Without the cap the unsafe answer grows, with it each prompt stays at 0.1. The multipliers are the
# *prices* of the cap: what one more unit of unsafe probability would be worth. So they are the
# slope of the frontier below.

# %%
caps = np.linspace(0.01, 0.5, 50)
objectives = [reward + dg.HardConstraint(dg.Cap([2], float(cap))) for cap in caps]
solved = [dg.solve(free.with_objective(o)) for o in objectives]
value = np.array([float(s.value) for s in solved])
price = np.array([s.multipliers.sum() for s in solved])
picture = plots.figure(9, 3.2)
left, right = picture.subplots(1, 2)
left.plot(caps, value)
left.set_ylabel("best value J*")
right.plot(caps, price, lw=4, alpha=0.4, label="multipliers")
right.plot(caps, np.gradient(value, caps), "--", label="slope of the value")
right.legend(frameon=False)
for axes in (left, right):
    axes.set_xlabel("cap on the unsafe answer")
picture

# %% [markdown]
# **Fairness.** Two groups of applicants are accepted at 0.70 and 0.25. `Parity` lets the rates
# differ by at most δ. Which group moves?

# %%
groups = np.array([[0.7, 0.2, 0.1], [0.25, 0.35, 0.4]])
pay = dg.Reward([0.3, 0.0, 0.2])
deltas = np.linspace(0.0, 0.5, 40)
objectives = [pay + dg.HardConstraint(dg.Parity(float(d), answers=[0])) for d in deltas]
games = [dg.AlignmentGame(groups, o, beta=1.0, weights=[0.6, 0.4]) for o in objectives]
rates = np.stack([dg.solve(game).marginals[:, 0] for game in games])
picture = plots.figure(5.6, 3.2)
axes = picture.subplots()
axes.plot(deltas, rates, label=["group 1 (weight 0.6)", "group 2 (weight 0.4)"])
axes.set_xlabel("largest difference allowed, δ")
axes.set_ylabel("acceptance rate")
axes.legend(frameon=False)
picture

# %% [markdown]
# The lighter group moves more. Constraints join with `&`; where they clash, there is no error and
# no wrong answer, but a status that names the culprits.

# %%
clash = dg.HardConstraint(dg.Cap([2], 0.05) & dg.Floor([2], 0.2) & dg.Cap([0], 0.9))
impossible = dg.solve(free.with_objective(reward + clash))
print(impossible.status)
print(*impossible.notes, sep="\n")

# %% [markdown]
# **Try next**
#
# - A soft cap: `dg.SoftConstraint(dg.Cap([2], 0.1), strength)`. Which strength halves the violation?
# - `dg.Quota({0: 0.5, 1: 0.4})`, `dg.Moment(...)`, `dg.Polytope(...)`.
# - Play it from samples, where multipliers rise as the cap is broken: `dagame.estimators.sampled.SampledGame`
#   in [05 from K samples to rewards](05_from_samples_to_rewards.ipynb).

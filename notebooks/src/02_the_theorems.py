# %% [markdown]
# # The theorems, checked in front of you
#
# **Question.** Is the equilibrium of the game really the best policy? And what does the gap prove?

# %%
import numpy as np

import dagame as dg
from dagame.show import plots

rng = np.random.default_rng(0)
reference = rng.dirichlet(np.ones(6), 3)
game = dg.AlignmentGame(reference, dg.Coherence(3.0), beta=1.0)
solution = dg.solve(game)
solution

# %% [markdown]
# **T4, the certificate.** Walk on the line from the reference (0) through the equilibrium (1), near the latter. The value
# $J(\pi)$ stays below the optimum, the bound $D(q)$ at $q = \nu(\pi)$ above it; they touch at 1.

# %%
walk = np.linspace(0.6, 1.5, 65)
log_start, log_end = np.log(reference), np.log(solution.policy)
policies = np.exp((1 - walk)[:, None, None] * log_start + walk[:, None, None] * log_end)
policies /= policies.sum(-1, keepdims=True)
found = [dg.certify(game, policy) for policy in policies]
picture = plots.figure(6.2, 3.4)
axes = picture.subplots()
axes.plot(walk, [float(c.upper_bound) for c in found], label="upper bound D(q)")
axes.plot(walk, [float(c.value) for c in found], label="value J(π)")
axes.axhline(float(solution.value), color="grey", ls=":", label="optimum J*")
axes.set_xlabel("from the reference (0) to the equilibrium (1)")
axes.set_ylabel("payoff")
axes.legend(frameon=False)
picture

# %% [markdown]
# **T2, no player gains by deviating.** At the equilibrium the policy maximises the payoff and the
# target minimises it: random policies pay less, random targets pay more.

# %%
policies = rng.dirichlet(np.full(6, 5.0), (400, 3))
targets = rng.dirichlet(np.full(6, 5.0), (400, 3))
against_target = [float(game.payoff(policy, solution.target)) for policy in policies]
against_policy = [float(game.payoff(solution.policy, target)) for target in targets]
picture = plots.figure(6.2, 3.0)
axes = picture.subplots()
axes.hist(against_target, 40, label="other policies against q*")
axes.hist(against_policy, 40, label="other targets against π*")
axes.axvline(float(solution.value), color="black", lw=1, label="value of the game")
axes.set_xlabel("payoff V(π, q)")
axes.set_ylim(0, 45)
axes.legend(frameon=False, fontsize=8)
picture

# %% [markdown]
# **T3, only answers matter.** Eight traces show the six answers. The equilibrium reweights answers;
# the mix of traces behind one answer stays as it was.

# %%
answer_of = np.array([0, 0, 1, 2, 3, 3, 4, 5])
on_traces = rng.dirichlet(np.ones(8), 3)
lifted = dg.solve(dg.AlignmentGame(on_traces, dg.Coherence(3.0), beta=1.0, answers=answer_of))
before = on_traces[:, 0] / on_traces[:, :2].sum(1)
after = lifted.policy[:, 0] / lifted.policy[:, :2].sum(1)
print("share of trace 0 among the traces of answer 0, by context")
print("reference  ", before.round(6))
print("equilibrium", after.round(6))

# %% [markdown]
# **T6, where the theory ends.** Sharpening (paying for *low* entropy) is not concave. Below
# strength = beta its equilibrium is certified; beyond, the optimum is the most likely answer.

# %%
start = np.array([[0.45, 0.35, 0.15, 0.05]])
game = dg.AlignmentGame(start, dg.Sharpening(1.0), beta=1.0)
picture = plots.figure(6.2, 3.2)
axes = picture.subplots()
dg.path(game, np.linspace(0, 1.4, 57)).plot(ax=axes)
axes.axvline(1, color="grey", ls=":")
picture

# %% [markdown]
# **All of them, on random games** of every objective, with zeros and masses of 1e-12. The same as
# `dagame verify` in a shell.

# %%
report = dg.verify(seed=0, games=100)
report

# %% [markdown]
# **Try next**
#
# - Break a theorem: give `dg.verify` another seed, or certify a policy of your own with
#   `dg.certify(game, policy)`. Can you find one whose value exceeds the upper bound?
# - Replace the target by a bad one, `dg.certify(game, solution.policy, reference)`: the bound
#   still holds, but is loose.

# %% [markdown]
# # From K samples to rewards
#
# **Question.** Training sees K samples of a group, never the probability of an answer. What should a
# sample be paid when N of the others gave the same answer?
#
# For the entropy the exact reward is $-\log p$. The naive table puts $(N+1)/K$ for $p$.

# %%
import numpy as np

import dagame as dg
from dagame.show import plots
from dagame.estimators.sampled import SampledGame, train

entropy, K = dg.ShannonDiversity(1.0), 8
tables = {m: dg.estimators.reward_table(entropy, K, m) for m in ("plug_in", "variance_optimal")}
for method, table in tables.items():
    print(f"{method:<17}", np.asarray(table).round(2))

# %% [markdown]
# What an answer of probability $p$ is paid on average, less what it should be paid. (Weighted by
# $p$, as it enters the update.) The default table trades bias against noise.

# %%
p = np.linspace(1e-3, 1, 400)
picture = plots.figure(9, 3.2)
left, right = picture.subplots(1, 2)
for method, table in tables.items():
    left.plot(p, table.bias(p), label=f"{method}: at most {table.sup_bias:.3f}")
    right.plot(p, table.rmse(p), label=method)
left.set_ylabel("p × bias")
right.set_ylabel("p × root mean square error")
left.legend(frameon=False, fontsize=8)
for axes in (left, right):
    axes.set_xlabel("probability p of the answer")
picture

# %% [markdown]
# **Exact where it can be.** The Gini reward $-2p$ is a polynomial, so a table without bias exists.
# No table is unbiased for the entropy.

# %%
gini = dg.estimators.reward_table(dg.GiniDiversity(1.0), K, "u_statistic")
print("largest bias, Gini:", f"{gini.sup_bias:.0e}")
methods = ("plug_in", "krichevsky_trofimov", "jackknife", "variance_optimal", "minimax")
for method in methods:
    table = dg.estimators.reward_table(entropy, K, method)
    print(f"entropy, {method:<20} bias {table.sup_bias:.4f}   rmse {table.worst_rmse:.3f}")

# %% [markdown]
# **Does it matter?** Play the game from samples: a softmax policy takes noisy steps, and the exact
# certificate measures how far it is from the equilibrium. Lines are medians over 24 runs, bands hold the middle 80%
# of them. Bias is where a curve stops falling.

# %%
reference = np.array([[0.80, 0.15, 0.04, 0.01]])
game = dg.AlignmentGame(reference, dg.ShannonDiversity(1.0), beta=0.3)
steps, replicas = 6000, 24
picture = plots.figure(5.6, 3.6)
axes = picture.subplots()
for method in ("plug_in", "variance_optimal"):
    sampled = SampledGame(game, K, estimator=method, seed=0)
    options = {"learning_rate": 0.5, "decay": 100.0, "replicas": replicas, "label": method}
    train(sampled, steps, **options).plot(axes)
axes.legend(frameon=False)
picture

# %% [markdown]
# **Try next**
#
# - `K = 32`: how much less bias, and how much of it was worth the samples?
# - `baseline="group_mean"` in `reward_table`: the table changes, so that the trainer's baseline does
#   not shrink the update.
# - The same rewards in a language model: [06 fine-tuning](06_fine_tuning.ipynb).

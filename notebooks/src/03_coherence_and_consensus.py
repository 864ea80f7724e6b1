# %% [markdown]
# # Coherence and consensus
#
# **Question.** Three phrasings of a question disagree. If they must agree, on what?

# %%
import numpy as np

import dagame as dg
from dagame.show import plots

reference = np.array([[0.90, 0.07, 0.03], [0.15, 0.80, 0.05], [0.30, 0.10, 0.60]])
hard = dg.solve(dg.AlignmentGame(reference, dg.HardCoherence(), beta=1.0)).marginals[0]
print("arithmetic mean of the references", reference.mean(0).round(3))
print("hard coherence                   ", hard.round(3))

# %% [markdown]
# Every kind of coherence pulls the phrasings together as the strength grows, on its own way. All
# end at ★, hard coherence: the *geometric* mean of the references, not their arithmetic mean (×).

# %%
picture = plots.figure(11, 3.7)
kinds = ("arithmetic", "geometric", "euclidean")
for axes, kind in zip(picture.subplots(1, 3), kinds, strict=True):
    game = dg.AlignmentGame(reference, dg.Coherence(1.0, kind), beta=1.0)
    path = dg.path(game, [0.0, *np.geomspace(0.01, 1000, 50)])
    plots.triangle(axes, "ABC")
    plots.paths(axes, path.marginals, ["1", "2", "3"], legend=False)
    axes.plot(*(hard @ plots.CORNERS), "*", color="black", ms=13)
    axes.plot(*(reference.mean(0) @ plots.CORNERS), "x", color="grey", ms=8, mew=2)
    axes.set_title(f"{kind} consensus", fontsize=10)
picture

# %% [markdown]
# **Why geometric?** The KL to the reference decides: a common answer distribution $q$ costs
# $\sum_x w_x\,\mathrm{KL}(q\|\nu^0_x)$, least at $q \propto \prod_x (\nu^0_x)^{w_x}$.

# %%
mean = np.exp(np.log(reference).mean(0))
print("geometric mean", (mean / mean.sum()).round(6), "  hard coherence", hard.round(6))

# %% [markdown]
# **A trap.** Coherence asks for agreement, not for truth. Here answer 0 is right, and the model
# often gives no answer at all (answer 3). Watch what the contexts agree on.

# %%
reference = np.array([[0.5, 0.1, 0.0, 0.4], [0.2, 0.4, 0.0, 0.4], [0.2, 0.0, 0.4, 0.4]])
strengths = np.geomspace(0.03, 100, 40)
free = [dg.Coherence(s) for s in strengths]
kept = [dg.Coherence(s) + dg.HardConstraint(dg.Cap([3], 0.4)) for s in strengths]
picture = plots.figure(9, 3.3)
for axes, objectives in zip(picture.subplots(1, 2, sharey=True), (free, kept), strict=True):
    solved = [dg.solve(dg.AlignmentGame(reference, o, beta=1.0)) for o in objectives]
    mean = np.stack([s.marginals.mean(0) for s in solved])
    axes.semilogx(strengths, mean[:, 0], label="right answer")
    axes.semilogx(strengths, mean[:, 3], "--", label="no answer")
    axes.set_xlabel("strength of coherence")
    axes.set_title("coherence alone" if objectives is free else "with no answer capped at 0.4")
axes.legend(frameon=False)
picture.supylabel("mean probability over contexts")
picture

# %% [markdown]
# Alone, the contexts agree on *no answer* more than on the truth; with a cap, the gain goes to the right answer,
# which is the only other one that all contexts know.
#
# **Try next**
#
# - `weights=[0.6, 0.2, 0.2]` in the first game: whose opinion counts more?
# - `dg.PairwiseCoherence(2.0, "jensen_shannon")`: does it end at ★ too?
# - Caps, floors and quotas: [04 safety and fairness](04_safety_and_fairness.ipynb).

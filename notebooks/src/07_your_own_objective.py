# %% [markdown]
# # Your own objective in 20 lines
#
# **Question.** You want some answers to be likely in every context, with diminishing returns: most
# where they are rare. Nobody wrote that objective. Does the whole toolkit work on it?
#
# Two methods are enough: the value of marginals `(*batch, contexts, answers)`, and its gradient.

# %%
import numpy as np

import dagame as dg


class Diminishing(dg.Objective):
    """log(e + p) of the probability p of a set of answers, averaged over contexts."""

    def __init__(self, answers, e=0.05):
        self.answers, self.e = list(answers), e

    def value(self, marginals, weights=None):
        p = marginals[..., self.answers].sum(-1)
        return (np.log(self.e + p) * weights).sum(-1)

    def reward(self, marginals, weights=None):
        u = np.zeros_like(marginals)
        p = marginals[..., self.answers].sum(-1, keepdims=True)
        u[..., self.answers] = 1 / (self.e + p)
        return u

# %% [markdown]
# **Is the gradient right?** `dagame` pairs rewards and marginals with the context weights, so no
# weight appears in `reward`. A central difference tells.

# %%
rng = np.random.default_rng(0)
reference = rng.dirichlet(np.ones(5), 3)
weights = np.array([0.5, 0.3, 0.2])
objective, h = Diminishing([0, 1]), 1e-6
direction = rng.normal(size=reference.shape)
up = objective.value(reference + h * direction, weights)
down = objective.value(reference - h * direction, weights)
u = objective.reward(reference, weights)
print("difference quotient", (up - down) / (2 * h))
print("gradient           ", (u * direction).sum(-1) @ weights)

# %% [markdown]
# **Solve it.** Certified; the proof says that it holds *if* the objective is concave.

# %%
game = dg.AlignmentGame(reference, objective, beta=0.5, weights=weights)
solution = dg.solve(game)
solution.certificate

# %%
solution.plot()

# %% [markdown]
# **Remove the if.** A logarithm of a sum is concave: say so in one line. It adds and scales like any
# other objective.

# %%
Diminishing.concave = True
mixed = Diminishing([0, 1]) + 0.3 * dg.ShannonDiversity() + dg.Coherence(2.0)
dg.solve(dg.AlignmentGame(reference, mixed, beta=0.5, weights=weights)).certificate

# %% [markdown]
# **From a reward to its objective.** If you know only what a sample is paid, as a function of the
# probability of its own answer, `classify` finds what that optimises and which theorems hold.

# %%
import sympy

p = sympy.Symbol("p")
rewards = {"novelty": 1 - p, "inverse root": 1 / sympy.sqrt(p), "popular if rare": p * (1 - p)}
for name, paid in rewards.items():
    print(f"{name}: {dg.classify(paid)}\n".replace(". ", ".\n  ").replace(": Phi", ":\n  Phi"))

# %%
from dagame import plots

start = np.array([[0.6, 0.3, 0.1]])
picture = plots.figure(8.6, 3.2)
for axes, (name, paid) in zip(picture.subplots(1, 3), rewards.items(), strict=True):
    found = dg.classify(paid).equilibrium(start, beta=1.0, strength=5.0)
    plots.triangle(axes, "ABC")
    plots.paths(axes, np.stack([start, found.marginals]), ["policy"])
    axes.get_legend().remove()
    axes.set_title(name, fontsize=10)
picture

# %% [markdown]
# **Try next**
#
# - Drop `/ (self.e + p)` by mistake: what do the difference quotient and `dg.solve` say?
# - `dg.classify(lambda p: p)`: why is it refused at strength 2, beta 1?
# - Seventeen published rewards, classified: `dg.methods()`.

# %% [markdown]
# # Your own objective in 20 lines
#
# **Question.** You want some answers to be likely in every context, with diminishing returns: most
# where they are rare. Nobody wrote that objective. Does the whole toolkit work on it, and how do you know
# that you wrote it right?
#
# Two methods are enough: the value of marginals `(*batch, contexts, answers)`, and its gradient.

# %%
import numpy as np

import dagame as dg


class Diminishing(dg.Objective):
    """log(e + p) of the probability p of a set of answers, averaged over contexts."""

    def __init__(self, answers, e=0.05):
        self.answers, self.e = list(answers), e

    def value(self, marginals, weights):
        p = marginals[..., self.answers].sum(-1)
        return (np.log(self.e + p) * weights).sum(-1)

    def reward(self, marginals, weights):
        u = np.zeros_like(marginals)
        p = marginals[..., self.answers].sum(-1, keepdims=True)
        u[..., self.answers] = 1 / (self.e + p)
        return u

# %% [markdown]
# **Is the gradient right?** `dagame` pairs rewards and marginals with the context weights, so no
# weight appears in `reward`. Ask before you solve: random games, batches, zeros, uneven weights, and
# every theorem that applies.

# %%
dg.testing.check_objective(Diminishing([0, 1]), games=60)

# %% [markdown]
# **What mistakes look like.** Four of them; each is refused when a game is made, with its likely cause.

# %%
class Weighted(Diminishing):
    def reward(self, marginals, weights):
        return super().reward(marginals, weights) * np.asarray(weights)[..., None]


class Dropped(Diminishing):
    def reward(self, marginals, weights):
        return (super().reward(marginals, weights) > 0) * 1.0


class Total(Diminishing):
    def value(self, marginals, weights):
        return super().value(marginals, weights).sum()


class Forgetful(Diminishing):
    def value(self, marginals):
        return np.log(self.e + marginals[..., self.answers].sum(-1)).mean(-1)

# %%
reference = np.random.default_rng(0).dirichlet(np.ones(5), 3)
weights = np.array([0.5, 0.3, 0.2])
for wrong in (Weighted, Dropped, Total, Forgetful):
    try:
        dg.AlignmentGame(reference, wrong([0, 1]), beta=0.5, weights=weights)
    except dg.DagameError as error:
        print(error, end="\n\n")

# %% [markdown]
# **Solve it.** Certified; the proof names what it stands on. That the objective is concave was not said, so
# it holds *if* it is.

# %%
game = dg.AlignmentGame(reference, Diminishing([0, 1]), beta=0.5, weights=weights)
solution = dg.solve(game)
solution.certificate

# %%
solution.plot()

# %% [markdown]
# **Remove the if.** A logarithm of a sum is concave: say so in one line. The claim is tried on random chords.
# The objective adds and scales like any other.

# %%
class Concave(Diminishing):
    concave = True


mixed = Concave([0, 1]) + 0.3 * dg.ShannonDiversity() + dg.Coherence(2.0)
dg.solve(dg.AlignmentGame(reference, mixed, beta=0.5, weights=weights)).certificate

# %% [markdown]
# **From a reward to its objective.** If you know only what a sample is paid, as a function of the
# probability of its own answer, `classify` finds what that optimises and which theorems hold.

# %%
import sympy

p = sympy.Symbol("p")
rewards = {"novelty": 1 - p, "inverse root": 1 / sympy.sqrt(p), "popular if rare": p * (1 - p)}
for name, paid in rewards.items():
    print(f"{name}: {dg.classify(paid)}\n")

# %%
from dagame.show import plots

start = np.array([[0.6, 0.3, 0.1]])
picture = plots.figure(8.6, 3.2)
for axes, (name, paid) in zip(picture.subplots(1, 3), rewards.items(), strict=True):
    found = dg.classify(paid).equilibrium(start, beta=1.0, strength=5.0)
    found.plot("ABC", ax=axes, title=name, legend=False)
picture

# %% [markdown]
# **Try next**
#
# - `Diminishing.reward` with the sign reversed, or `concave = True` on an objective that is convex: what is said?
# - `dg.AlignmentGame(..., check=False)` with `Weighted`: what does the certificate say then?
# - `dg.classify(lambda p: p)`: why is it refused at strength 2, beta 1?
# - Seventeen published rewards, classified: `dg.methods`.

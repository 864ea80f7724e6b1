# %% [markdown]
# # Quickstart
#
# **Question.** A model is asked the same thing in two ways and answers differently. Which policy
# agrees with itself more and still stays close to the model? How do we know that none is better?

# %%
import polars as pl

import dagame as dg

reference = pl.DataFrame(
    {
        "phrasing": ["plain question", "polite question"],
        "yes": [0.7, 0.2],
        "no": [0.2, 0.7],
        "no answer": [0.1, 0.1],
    }
)
game = dg.AlignmentGame(reference, dg.Coherence(strength=2.0), beta=1.0)
game

# %% [markdown]
# `Coherence` pays the contexts for agreeing with their mean, `beta` is the price of leaving the
# reference. The policy plays against a target distribution over answers; one call finds the
# equilibrium.

# %%
solution = dg.solve(game)
solution

# %%
solution.plot()

# %% [markdown]
# **The proof.** Each target *q* gives an upper bound *D(q)* of what *any* policy can reach. The
# certificate is computed from the game and the policy alone and never looks at the solver.

# %%
solution.certificate

# %% [markdown]
# The model as it is gets a certificate too: no policy can gain more than this `gap`.

# %%
dg.certify(game, game.reference)

# %% [markdown]
# **What to do with it.** `reward` is what a completion with that answer would be paid at the equilibrium: as a fixed
# reward its KL-regularised optimum is the equilibrium. (Training pays the reward at the policy as it then is.)
# `weight` is what a sample of the reference is worth in weighted fine-tuning or rejection sampling.

# %%
solution.to_polars().with_columns(weight=pl.col("equilibrium") / pl.col("reference"))

# %% [markdown]
# **How it gets there.** Rounds of mirror ascent, each one certified.

# %%
dg.run(game, "mirror", 30).plot()

# %% [markdown]
# **Try next**
#
# - `strength=20`, then `dg.HardCoherence()`: where do the contexts meet?
# - `dg.ShannonDiversity(0.9)` and `dg.ShannonDiversity(1.1)` with `dg.run(game, "best_response", 30)`.
# - `dg.path(game, [0.1, 1, 10, 100]).plot()`: what strength buys. `dg.explore(game)`: the same with sliders.
# - By hand: [01 equilibria by hand](01_equilibria_by_hand.ipynb). A file of your model's answers:
#   [08 your own samples](08_your_own_samples.ipynb). Training a model:
#   [06 fine-tuning](06_fine_tuning.ipynb).

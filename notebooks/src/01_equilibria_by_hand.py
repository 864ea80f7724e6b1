# %% [markdown]
# # Equilibria by hand
#
# **Question.** Can we find an equilibrium without a solver, and what do `beta` and `strength` do?
#
# Diversity first: maximise $\lambda H(\nu) - \beta\,\mathrm{KL}(\nu\|\nu^0)$. Setting the derivative
# $-\lambda\log\nu - \beta\log(\nu/\nu^0)$ to a constant gives $\nu^* \propto (\nu^0)^{\beta/(\beta+\lambda)}$.

# %%
import numpy as np

import dagame as dg
from dagame.show import plots

beta, strength = 1.0, 2.0
reference = np.array([[0.75, 0.20, 0.05]])
by_hand = reference ** (beta / (beta + strength))
by_hand /= by_hand.sum()
solution = dg.solve(dg.AlignmentGame(reference, dg.ShannonDiversity(strength), beta=beta))
print("by hand", by_hand.round(6), "  solver", solution.marginals.round(6))

# %% [markdown]
# Coherence has no formula, but two steps that repeat: the target moves to the mean of the contexts,
# every context moves towards the target. That is mirror ascent, and the gap says when to stop.

# %%
three = np.array([[0.80, 0.15, 0.05], [0.15, 0.70, 0.15], [0.15, 0.10, 0.75]])
game = dg.AlignmentGame(three, dg.Coherence(strength), beta=beta, answer_names="ABC")
share, nu = strength / (strength + beta), three
for step in range(41):
    if step % 10 == 0:
        print(f"round {step:2}  gap {float(dg.certify(game, nu).gap):.1e}")
    target = nu.mean(0)
    nu = target**share * three ** (1 - share)
    nu /= nu.sum(-1, keepdims=True)
print("distance to dg.solve:", f"{np.abs(nu - dg.solve(game).marginals).max():.0e}")

# %% [markdown]
# What strength does, at `beta` 1: three phrasings (colours) leave the reference (○) and meet.

# %%
picture = plots.figure(11, 3.2)
for ax, strength in zip(picture.subplots(1, 4), (0.3, 1, 3, 100), strict=True):
    solution = dg.solve(game.with_objective(dg.Coherence(strength)))
    title = f"strength {strength}, value {float(solution.value):.3f}"
    solution.plot(ax=ax, title=title, legend=False)
picture

# %% [markdown]
# **Now you.** Run the notebook and drag. Only the ratio of `strength` to `beta` moves the points;
# the value moves with both.

# %%
dg.explore(game)

# %% [markdown]
# **Try next**
#
# - `dg.explore(game.with_objective(dg.Reward([0, 0, 1]) + dg.Coherence(2.0)))`: where does the meeting point go?
# - `dg.Coherence(2.0, "geometric")`, `dg.GiniDiversity(1.0)`: which sliders do they have?
# - Let a reference have a zero. Which answers can the equilibrium never give?
# - Why the certificate is a proof: [02 the theorems](02_the_theorems.ipynb).

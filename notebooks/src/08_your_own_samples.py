# %% [markdown]
# # Your own samples
#
# **Question.** You have a file of completions of your model. What would it answer if it agreed with
# itself, and what is each completion worth?
#
# For a file to play with, the embedded model answers word problems in eight phrasings each. Yours
# needs the same: one row per completion, a column that names the question, one that names the phrasing.

# %%
import tempfile
from pathlib import Path

import dagame as dg
from dagame.show import plots
from dagame.lm import tiny

model, tokenizer = tiny.load()
rows = tiny.rows("test", 40)
answered = dg.lm.evaluate(
    model, tokenizer, rows, samples=8, max_new_tokens=16, extract=tiny.extract, seed=0
)
columns = ("class_id", "member_id", "completion", "correct")
path = Path(tempfile.mkdtemp()) / "samples.jsonl"
answered.completions.select(columns).write_ndjson(path)
print(*path.read_text().splitlines()[:40:8], sep="\n")

# %% [markdown]
# **Read it.** `extract` is a pattern whose group is the answer (its last match counts), or a preset:
# `boxed`, `gsm8k`, `last-number`, `choice`, `math`.

# %%
samples = dg.Samples.read(
    path, class_by="class_id", context_by="member_id", extract="last-number", correct="correct"
)
print(len(samples.partition), "questions,", samples.frame.height, "completions")

# %% [markdown]
# **Solve it.** Every question is a game on its own samples, solved with a certificate.

# %%
found = samples.solve(dg.Coherence(1.0), beta=0.1)
found

# %%
classes = found.classes
panels = [
    (name, classes[f"{name}_reference"].to_numpy(), classes[f"{name}_equilibrium"].to_numpy())
    for name in ("accuracy", "agreement")
]
plots.class_scatter(panels)

# %% [markdown]
# Every dot is a question: above the diagonal, the equilibrium is better. **The labels were not
# used.** The question that moved most:

# %%
found.plot()

# %% [markdown]
# **What each completion is worth.** `weight` makes the file a sample of the equilibrium: use it in
# weighted fine-tuning, or keep a completion with probability proportional to it.

# %%
most = classes["class_id"][classes["moved"].arg_max()]
worth = found.rows.filter(found.rows["class_id"] == most)
worth.select("member_id", "completion", "correct", "reward", "weight").sort("weight").tail(6)

# %% [markdown]
# **Try next**
#
# - Your file: change `path` and the column names. In a shell, `dagame solve FILE --out results` also writes a page.
# - `strength`: which one raises accuracy most, and does the share without an answer rise with it?
# - `samples.solve(dg.HardCoherence(), beta=0.1)`: which questions have no common answer at all?

"""Write docs/methods.md, the atlas of published rewards, from `dagame.methods`.

python docs/make_methods.py
"""

from __future__ import annotations

from pathlib import Path

from dagame.theory.atlas import REFERENCE, SUCCESS, atlas

TEXT = """# What published rewards optimise

A sample that is paid g(p) (with a stop-gradient) follows the gradient of an objective Φ with F' = g, and
Φ is concave if g does not increase. Then the theorems apply, the equilibrium is known before any training
and is certified. `dagame.classify(reward)` does this for any reward, `dagame.methods` holds these rows. The
sources name where a reward is used; objective, concavity and equilibria are derived and computed here.

The last four columns are the equilibrium of one game at strength 0.5 and beta 1: two contexts with
references {reference}; of the four answers the {right} are correct. Where neither T4 nor
T6 nor a formula certifies an optimum, the end of 2,000 mirror steps from the reference is shown.

{table}

*Written by `python docs/make_methods.py` from the package itself.*
"""


def main() -> None:
    """Fill the text."""
    right = [("first", "second", "third", "fourth")[k] for k, c in enumerate(SUCCESS) if c]
    page = TEXT.format(
        reference=" and ".join(str(tuple(row.tolist())) for row in REFERENCE),
        right=" and the ".join(right),
        table=atlas().replace("<", "&lt;"),  # no markup
    )
    Path(__file__).with_name("methods.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

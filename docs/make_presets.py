"""Write docs/presets.md, what each preset reads, from the table that is also its test.

python docs/make_presets.py
"""

from __future__ import annotations

from pathlib import Path

from dagame.samples.keys.presets import PRESETS
from dagame.samples.keys.reader import ENOUGH, TRIED

TEXT = """# How answers are found: presets

A preset returns the *whole* answer or none. What stands beside a match and belongs to it (a sign, a group of
digits, a power, a bracket, a second letter) is part of the answer, or makes it text that is compared as text;
it is never cut off. Reasoning between tags such as `<think>` is taken off first, and a truncated completion
has no answer.

`--extract auto` (the default for files) tries {tried} in this order and takes the first that reads at
least {enough:.0%} of the completions, else the one that reads most; it says which, and how many each
reads. `first-` or `last-` before a name (`last-gsm8k`, `first-number`, ...) chooses which of several
counts. Besides, `math` finds and reads whole formulas with their units, a pattern takes group 1 of its
last match, and in Python a function of one completion does as it likes. `--canonical auto` compares
answers in the form named with each preset.

{sections}

*Written by `python docs/make_presets.py` from the presets' own examples, which are their tests.*
"""


def _cell(text: str | None) -> str:
    if text is None:
        return "no answer"
    shown = text.replace("\n", "\u23ce").replace("|", "\\|")
    return f"`{shown}`"


def _section(name: str) -> str:
    preset = PRESETS[name]
    rows = "\n".join(f"| {_cell(text)} | {_cell(answer)} |" for text, answer in preset.examples)
    head = f"## {name}\n\n{preset.meaning[0].upper()}{preset.meaning[1:]}; compared as `{preset.canonical}`."
    return f"{head}\n\n| completion | answer |\n|---|---|\n{rows}"


def page() -> str:
    """The page as it should be."""
    shown = [name for name, preset in PRESETS.items() if preset.examples]
    return TEXT.format(
        tried=", ".join(f"`{name}`" for name in TRIED),
        enough=ENOUGH,
        sections="\n\n".join(map(_section, shown)),
    )


if __name__ == "__main__":
    Path(__file__).with_name("presets.md").write_text(page(), encoding="utf-8")

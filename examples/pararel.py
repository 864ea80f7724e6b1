"""Facts and prompts of one relation of ParaRel (github.com/yanaiela/pararel, MIT), for `dagame sample`.

    python examples/pararel.py FOLDER P36 --limit 40
    dagame sample MODEL P36.jsonl --paraphrases P36.txt --class sub_label --out samples.jsonl

FOLDER holds P36_facts.jsonl (sub_label, obj_label) and P36_patterns.jsonl (pattern, with [X] and [Y]).
Patterns that end in [Y] are prompts: the model writes what follows. Of facts with one subject, and of
prompts that are alike, the first is kept.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path


def rows(path: Path) -> list[dict[str, str]]:
    """The objects of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def templates(patterns: list[str]) -> list[str]:
    """Prompts with {sub_label} in them, of the patterns whose last word is [Y]."""
    ends = (re.fullmatch(r"(.*\[X\].*\S)\s*\[Y\]\s*\.?", pattern) for pattern in patterns)
    texts = [m[1].replace("{", "{{").replace("}", "}}") for m in ends if m and "[Y]" not in m[1]]
    return list(dict.fromkeys(text.replace("[X]", "{sub_label}") for text in texts))


def main() -> None:
    """Write RELATION.jsonl and RELATION.txt into the current folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("relation")
    parser.add_argument("--limit", type=int, help="the first so many facts")
    given = parser.parse_args()
    facts, patterns = (
        rows(given.folder / f"{given.relation}_{kind}.jsonl") for kind in ("facts", "patterns")
    )
    prompts = templates([row["pattern"] for row in patterns])
    if not prompts:
        sys.exit(f"no pattern of {given.relation} ends in [Y], so that there is no prompt in them.")
    kept: dict[str, dict[str, str]] = {}
    for row in facts:
        kept.setdefault(row["sub_label"], row)
    lines = [json.dumps(row, ensure_ascii=False) for row in list(kept.values())[: given.limit]]
    for suffix, text in ((".jsonl", lines), (".txt", prompts)):
        Path(given.relation + suffix).write_text("\n".join(text) + "\n", encoding="utf-8")
    print(f"{given.relation}: {len(lines)} facts, {len(prompts)} prompts")


if __name__ == "__main__":
    main()

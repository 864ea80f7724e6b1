"""`python -m dagame.lm.tiny --seed 0 --out FOLDER`: pre-train the embedded model on one thread."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from ...errors import DagameError
from ...files.output import check_folder
from . import pretrain, save
from .corpus import CORPORA


def main() -> None:
    """Pre-train with a progress bar and write the folder."""
    import torch

    parser = argparse.ArgumentParser(prog="python -m dagame.lm.tiny", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1300)
    parser.add_argument("--corpus", choices=sorted(CORPORA), default="scattered")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = check_folder(options.out)
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("pre-training", total=options.steps)
        model, tokenizer = pretrain(
            options.seed,
            steps=options.steps,
            corpus=options.corpus,
            progress=lambda step, loss: bar.update(
                task, completed=step, description=f"pre-training, loss {loss:.3f}"
            ),
        )
    save(model, tokenizer, folder)
    print(f"wrote {folder}")


if __name__ == "__main__":
    try:
        main()
    except DagameError as error:
        print(f"dagame: {error}", file=sys.stderr)
        sys.exit(2)

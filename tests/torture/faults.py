"""What the fault tests run beside the command line."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path


def build_tables() -> None:
    """Reward tables of the group sizes named, kept on disk; their entries on stdout."""
    import dagame as dg
    from dagame.estimators import reward_table

    for k in map(int, sys.argv[1:]):
        print(json.dumps(reward_table(dg.ShannonDiversity(), k, "minimax").entries.tolist()))


def write_set() -> None:
    """`fill_set` of the folder and word given."""
    fill_set(Path(sys.argv[1]), sys.argv[2])


def fill_set(root: Path, word: str) -> None:
    """Two files and a folder of two, all filled with one word."""
    from dagame.files.output import replacing_all

    first, second, folder = root / "first", root / "second", root / "folder"
    with replacing_all([first, second], folders=[folder]) as drafts:
        drafts[first].write_text(word * 100)
        for name in ("one", "two"):
            (drafts[folder] / name).write_text(word * 100)
        drafts[second].write_text(word * 100)


def write_often() -> None:
    """A file of one line a thousand times, written over and over."""
    from dagame.files.output import write_text

    path, count, name = sys.argv[1:]
    for k in range(int(count)):
        write_text(path, f"{name}{k}\n" * 1000)


def hold() -> None:
    """Hold a folder, say so, and stay."""
    from dagame.files.output import locked

    with locked(sys.argv[1]):
        print("held", flush=True)
        signal.pause()


def lose_a_process() -> None:
    """Of two, the second leaves; what the first gets told, and whether that is known."""
    import torch
    import torch.distributed as dist

    from dagame.known_errors import connection_lost

    dist.init_process_group("gloo")
    dist.all_reduce(torch.zeros(1))
    if dist.get_rank() == 1:
        os._exit(0)
    try:
        for _ in range(100):
            dist.all_reduce(torch.zeros(1))
    except Exception as error:
        print(connection_lost(error), type(error).__name__, str(error)[:200], flush=True)
    os._exit(0)

"""What a fine-tuning run leaves on disk, and from where it goes on after it was killed.

    OUTPUT/run.json               configuration, number of processes, what the run rests on
    OUTPUT/metrics.jsonl          one line per logged step
    OUTPUT/checkpoints/checkpoint-N/, complete.json written last in each, with the sizes of its files
    OUTPUT/model/                 the final weights (safetensors) with their card
    OUTPUT/curves.png, README.md  put in place at the end, together with model/

Only the main process writes, and holds the folder while it does (`dagame.files.output.locked`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers.trainer_callback import TrainerCallback

from ...errors import OutputError
from ...files.drafts import sync
from ...files.fields import section
from ...files.output import write_json, write_text
from ...provenance import provenance
from ...show.progress import Progress
from .sections import FinetuneConfig

COMPLETE = "complete.json"

_TOLD = ("game/value", "game/agreement", "game/accuracy", "game/kl", "kl")
_TOLD += ("mean_token_accuracy", "rewards/accuracies", "rewards/margins")


def prepare(folder: Path, config: FinetuneConfig, processes: int, resume: bool) -> str | None:
    """The checkpoint to go on from, None for a new run; writes run.json (main process only).

    Raises:
        OutputError: there is a run already and `resume` is off; or it is on, and the run there has
            another configuration or number of processes, its run.json is damaged or gone, or none of
            the checkpoints that it completed is whole.
    """
    record, wanted = folder / "run.json", _plain(config)
    checkpoints = folder / "checkpoints"
    if record.exists() and not resume:
        raise OutputError(
            f"{folder} holds a run already; resume it with --resume, or name a new output."
        )
    if not record.exists():
        if begun := _begun(checkpoints):
            raise OutputError(
                f"{folder} holds {', '.join(begun)} but no run.json; restore that, or name a new output."
            )
        write_json(record, {"config": wanted, "processes": processes, **provenance()})
        return None
    _check_same(folder, wanted, processes)
    found = last_complete(checkpoints)
    lost = [] if found else _begun(checkpoints)
    # A run that was killed while it wrote its first checkpoint left that alone, and without a mark.
    if len(lost) > 1 or (lost and (checkpoints / lost[0] / COMPLETE).exists()):
        raise OutputError(
            f"no checkpoint in {checkpoints} is whole, of {', '.join(lost)}; restore one from a copy, "
            "or remove them to begin again from the first step."
        )
    return found


def _check_same(folder: Path, wanted: dict[str, Any], processes: int) -> None:
    """The run that is there has this configuration, but for its evaluation, and number of processes."""
    config_then, processes_then = _record(folder / "run.json")
    changed = sorted(k for k in wanted if k != "evaluation" and config_then.get(k) != wanted[k])
    if changed:
        raise OutputError(
            f"{folder} was begun with other settings of {', '.join(changed)}; restore them (they are "
            "in run.json), or name a new output."
        )
    if processes_then != processes:
        raise OutputError(
            f"{folder} was begun with {processes_then} processes, now there are {processes}; "
            "their random numbers differ, so launch as many as then."
        )


def read_run(folder: Path) -> FinetuneConfig:
    """The configuration of a run that ended, whose model/ is there.

    Raises:
        OutputError: run.json is damaged, or the run has not come to its end.
        ConfigError: run.json is of a version with other settings.
    """
    record = folder / "run.json"
    config: FinetuneConfig = section(FinetuneConfig, _record(record)[0], str(record))
    if not (folder / "model" / "README.md").is_file():
        raise OutputError(
            f"the run in {folder} has no model yet; go on with dagame finetune --resume."
        )
    return config


def _begun(folder: Path) -> list[str]:
    """Names of the checkpoints, whole or not, the newest first."""
    found = [path for path in folder.glob("checkpoint-*") if path.is_dir() and _step(path) >= 0]
    return [path.name for path in sorted(found, key=_step, reverse=True)]


def _record(path: Path) -> tuple[dict[str, Any], int]:
    """Configuration and number of processes of the run that is there."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return dict(known["config"]), int(known["processes"])
    except (OSError, ValueError, TypeError, KeyError):
        raise OutputError(
            f"{path} cannot be read as the record of a run; restore it, or name a new output."
        ) from None


def last_complete(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end and has all of its files still."""
    whole = (folder / name for name in _begun(folder) if _whole(folder / name))
    return next(map(str, whole), None)


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() else -1


def _whole(checkpoint: Path) -> bool:
    """Whether every file that the checkpoint's mark names has the size it was written with.

    Marks of early versions name no files.
    """
    try:
        mark = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))
        if mark == {"step": _step(checkpoint)}:
            return True
        sizes = mark["files"].items()
        return all((checkpoint / name).stat().st_size == size for name, size in sizes)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False


def mark_complete(checkpoint: Path, step: int) -> None:
    """Force the files of a checkpoint to the disk, then write the mark that lists them."""
    files = sorted(p for p in checkpoint.rglob("*") if p.is_file() and p.name != COMPLETE)
    for path in files:
        sync(path)
    sizes = {path.relative_to(checkpoint).as_posix(): path.stat().st_size for path in files}
    write_json(checkpoint / COMPLETE, {"step": step, "files": sizes})


def _plain(config: FinetuneConfig) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(config), default=str))


@contextmanager
def reporting_a_lost_folder(folder: Path) -> Iterator[None]:
    """Raise an error of the run as `OutputError` where run.json is gone: the folder was moved or removed."""
    from accelerate import PartialState

    try:
        yield
    except Exception as error:
        if PartialState().is_main_process and not _is_there(folder):
            raise _moved(folder) from error
        raise


def _is_there(folder: Path) -> bool:
    """Whether this is still the folder that the run began in, not one that a library made in its place."""
    return (folder / "run.json").exists()


def _moved(folder: Path) -> OutputError:
    return OutputError(
        f"{folder} was moved or removed while the run went on; put it back and go on with --resume, "
        "or name a new output."
    )


class RunFiles(TrainerCallback):
    """metrics.jsonl, the marks of complete checkpoints, and progress, while a run goes on."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        """`progress` is called at each logged step."""
        from accelerate import PartialState

        self.metrics = folder / "metrics.jsonl"
        self.folder, self.progress = folder, progress
        self.main = PartialState().is_main_process

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove the lines of steps after the checkpoint, which will be written again."""
        if not self.main:
            return
        kept = [row for row in read_metrics(self.metrics) if row["step"] <= state.global_step]
        write_text(self.metrics, "".join(json.dumps(row) + "\n" for row in kept))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Write one line of finite numbers; `OutputError` if the folder is gone."""
        if not self.main or "loss" not in (logs or {}):
            return
        if not _is_there(self.folder):
            raise _moved(self.folder)
        numbers = {k: v for k, v in logs.items() if isinstance(v, int | float) and math.isfinite(v)}
        with self.metrics.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": state.global_step, **numbers}) + "\n")
        shown = [
            f"{name.removeprefix('game/')} {numbers[name]:z.3f}"
            for name in _TOLD
            if name in numbers
        ]
        self.progress(f"step {state.global_step} of {state.max_steps}: {', '.join(shown)}")

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark the checkpoint as complete once every process has written its part."""
        from accelerate import PartialState

        PartialState().wait_for_everyone()
        if self.main:
            mark_complete(
                Path(args.output_dir) / f"checkpoint-{state.global_step}", state.global_step
            )


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics file; a line that was cut off while being written is left out."""
    rows = []
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for line in text.splitlines():
        with suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                rows.append(row)
    return rows

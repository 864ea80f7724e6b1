"""`dagame finetune`: a fine-tuning run from a YAML file, checked first, resumable, documented on disk.

Under `torchrun` or `accelerate launch` every process calls `run_finetune`; the main one writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ...errors import ConfigError, DagameError, OutputError, one_line
from ...files.output import check_folder, locked, put_text, replacing_all, system_reason
from ...known_errors import connection_lost, damaged
from ...provenance import provenance
from ...show.progress import Progress, silent
from ..models.loading import fit_threads, model_folder, pretrained
from ..trainers.trl.settings import check_sampling
from .cautions import after, before
from .config import OWN_FILES, read_config
from .inputs import question_rows
from .method import Job
from .methods import METHODS
from .sections import FinetuneConfig

Made = TypeVar("Made")


def paths_of(config_path: str | Path) -> list[Path]:
    """The files and folders that the run of a file reads or writes, the file among them."""
    config = read_config(config_path)
    files = filter(None, [config.data.path, config.data.samples, config.evaluation.path])
    named = [config_path, config.model, *files]
    own = [Path(config.output) / name for name in OWN_FILES]
    return [*map(Path, named), *own]


def run_finetune(
    config_path: str | Path, *, resume: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Run the file from start to end, or go on with it, and write its folder (see `run_folder`).

    Everything that can be is checked before a model is loaded: names and types, the data and its
    columns, the arithmetic of batches, the settings of the trainer, the length of prompts, the
    folder. A run that was killed goes on from its last complete checkpoint with `resume` and
    reaches the same weights as one that was not.

    Returns:
        `output`, `model` (its folder), `steps`, `seconds`, `resumed_from` (a step or None),
        `processes`, `main` (whether this process wrote), `method`, `data` (in one sentence),
        `longest` (tokens of the longest completion trained on, None for grpo), `provenance`, `first` and
        `last` (logged metrics), `warnings` (sentences, see `cautions`) and, where questions are held out,
        `evaluation` (of the main process, the numbers of `dagame evaluate`, or their `error`).

    Raises:
        DagameError: in one sentence, what to change; also when the disk is full or another process of
            the run ended, after which `resume` goes on.
    """
    from .judged import judge_run

    say, started = progress or silent, time.perf_counter()
    say("checking the configuration")
    config = read_config(config_path)
    folder = check_folder(config.output)
    say("reading data")
    job = METHODS[config.method].job(config, folder)
    say(job.told)
    asked = config.held_out()
    held = [] if asked is None else question_rows(asked, "evaluation")
    tokenizer = _tokenizer(config, job)
    with _the_only_run(folder, config, resume) as checkpoint:
        trainer = _trained(config, folder, job, tokenizer, checkpoint, say)
        say("saving the model")
        result = _facts(folder, config, job, trainer, checkpoint, started)
        result |= _save(trainer, folder, config, result)
        if held and result["main"]:
            del trainer  # two models are loaded
            found = judge_run(config, folder, held, job.prompts, result["longest"], say)
            result["evaluation"] = found
    return result


@contextmanager
def _the_only_run(folder: Path, config: FinetuneConfig, resume: bool) -> Iterator[str | None]:
    """The checkpoint to go on from, with the folder held; what stops the run is told in a sentence."""
    import torch
    from accelerate import PartialState

    from .folder import prepare, reporting_a_lost_folder

    processes = PartialState().num_processes
    with ExitStack() as entered, _reporting_stops(folder, processes):
        entered.callback(torch.set_num_threads, torch.get_num_threads())
        from_main_process(lambda: entered.enter_context(locked(folder)))
        checkpoint = from_main_process(lambda: prepare(folder, config, processes, resume))
        entered.enter_context(reporting_a_lost_folder(folder))
        yield checkpoint


def _trained(
    config: FinetuneConfig,
    folder: Path,
    job: Job,
    tokenizer: Any,
    checkpoint: str | None,
    say: Progress,
) -> Any:
    """The trainer at the end of its training, on as many threads as fit."""
    trainer = _trainer(config, folder, job, tokenizer, say)
    fit_threads(trainer.model)
    with _reporting_damage(trainer, checkpoint):
        trainer.train(resume_from_checkpoint=checkpoint)
    return trainer


def _facts(
    folder: Path,
    config: FinetuneConfig,
    job: Job,
    trainer: Any,
    checkpoint: str | None,
    began: float,
) -> dict[str, Any]:
    """What `run_finetune` returns of a training, but for its metrics."""
    from accelerate import PartialState

    state = PartialState()
    return {
        "output": str(folder),
        "model": str(folder / "model"),
        "steps": trainer.state.global_step,
        "seconds": time.perf_counter() - began,
        "resumed_from": _step(checkpoint),
        "processes": state.num_processes,
        "main": state.is_main_process,
        "method": config.method,
        "data": job.told,
        "longest": job.longest(trainer),
        "provenance": provenance(),
    }


def _save(
    trainer: Any, folder: Path, config: FinetuneConfig, result: dict[str, Any]
) -> dict[str, Any]:
    """Put model/, README.md and curves.png in place; the first and last metrics (main process)."""
    from accelerate import PartialState

    from .card import card
    from .folder import read_metrics

    state, found = PartialState(), dict[str, Any]()
    weights, readme, picture = (folder / name for name in ("model", "README.md", "curves.png"))
    metrics = read_metrics(folder / "metrics.jsonl") if state.is_main_process else []
    files = [readme, picture] if metrics else [readme]
    with ExitStack() as writing:
        drafts = from_main_process(
            lambda: writing.enter_context(replacing_all(files, folders=[weights]))
        )
        trainer.save_model(str(drafts[weights]))
        if state.is_main_process:
            (drafts[weights] / "training_args.bin").unlink(missing_ok=True)  # a pickle nobody needs
            found |= {"first": metrics[0], "last": metrics[-1]} if metrics else {}
            found["warnings"] = [*before(config), *after(config, found.get("first", {}))]
            text = card(folder, config, metrics, result | found)
            _document(text, metrics, [Path(drafts[file]) for file in files], Path(drafts[weights]))
        state.wait_for_everyone()
    state.wait_for_everyone()
    return found


def _document(text: str, metrics: list[dict[str, Any]], files: list[Path], model: Path) -> None:
    """The card and, where there are metrics, their curves, each also beside the weights."""
    from .card import curves

    for place in (files[0], model / "README.md"):
        put_text(place, text)
    if metrics:
        figure = curves(metrics)
        for place in (files[1], model / "curves.png"):
            figure.savefig(place, format="png", dpi=120)


@contextmanager
def _reporting_stops(folder: Path, processes: int) -> Iterator[None]:
    """Raise what stops a run from outside as one sentence that says how to go on."""
    try:
        yield
    except Exception as error:
        reason = system_reason(error)
        if reason is None and processes > 1 and connection_lost(error):
            reason = "another of its processes ended"
        if reason is None:
            raise
        raise OutputError(
            f"the run in {folder} stopped: {reason}; when that is put right, go on with --resume."
        ) from error


@contextmanager
def _reporting_damage(trainer: Any, checkpoint: str | None) -> Iterator[None]:
    """Raise `OutputError` where the checkpoint is damaged: an error before the first step after resuming."""
    try:
        yield
    except Exception as error:
        resumed = _step(checkpoint)
        if resumed is None or trainer.state.global_step > resumed or not damaged(error):
            raise
        raise OutputError(
            f"the checkpoint {checkpoint} cannot be read; delete it, and go on from the one before "
            "with --resume."
        ) from error


def _step(checkpoint: str | None) -> int | None:
    return None if checkpoint is None else int(checkpoint.rpartition("-")[2])


def from_main_process(make: Callable[[], Made]) -> Made:
    """Call `make` on the main process; return its result, or raise its `DagameError`, on every process."""
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    box: list[Any] = [None, None]
    if PartialState().is_main_process:
        try:
            box[0] = make()
        except DagameError as error:
            box[1] = error
    broadcast_object_list(box)
    if box[1] is not None:
        raise box[1]
    return box[0]


def _tokenizer(config: FinetuneConfig, job: Job) -> Any:
    """The model's tokenizer, once model and tokenizer are known to exist and prompts to fit."""
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    name = model_folder(config.model)
    where = Path(name)
    _check_model(config.model, where)
    trusted = bool(config.training.get("trust_remote_code", False))
    shape = pretrained(AutoConfig, name, trust_remote_code=trusted).get_text_config()
    tokenizer = pretrained(AutoTokenizer, name, trust_remote_code=trusted, padding_side="left")
    samples = job.room is not None
    if samples and ((where / "generation_config.json").is_file() or not where.is_dir()):
        own = GenerationConfig.from_pretrained(name)
        check_sampling(own, config.training.get("generation_kwargs"))
    if tokenizer.eos_token is None:
        raise ConfigError(f"the tokenizer of {config.model!r} has no end-of-sequence token.")
    chats = not isinstance(job.prompts[0]["prompt"], str)
    if chats and not tokenizer.chat_template:
        raise ConfigError(
            f"the tokenizer of {config.model!r} has no chat template; leave data.chat out, or give "
            "prompts as text."
        )
    _check_room(config, job, tokenizer, getattr(shape, "max_position_embeddings", None))
    return tokenizer


def _check_model(model: str, where: Path) -> None:
    """A folder has a model in it; what looks like a path is one."""
    if where.is_dir() and not (where / "config.json").is_file():
        raise ConfigError(f"model {model!r} is a folder without a config.json.")
    if not where.is_dir() and (model.startswith((".", "/")) or where.is_file()):
        raise ConfigError(f"model {model!r} is no folder; save_pretrained makes one.")


def _check_room(config: FinetuneConfig, job: Job, tokenizer: Any, limit: int | None) -> None:
    """The longest prompts can be tokenised, and leave room for a completion that is sampled."""
    from ..models.generation import prompt_ids

    longest = sorted(job.prompts, key=lambda row: -len(str(row["prompt"])))[:32]
    template = config.training.get("chat_template_kwargs") or {}
    try:
        used = max(map(len, prompt_ids(tokenizer, [r["prompt"] for r in longest], template)))
    except Exception as error:  # a chat template is a program
        raise ConfigError(
            f"prompts cannot be tokenised by the tokenizer of {config.model!r}: {one_line(error)}."
        ) from error
    if limit is not None and job.room is not None and used + job.room > limit:
        raise ConfigError(
            f"a prompt of {used} tokens and training.max_completion_length {job.room} pass the model's "
            f"{limit} positions; shorten one of them."
        )


def _trainer(config: FinetuneConfig, folder: Path, job: Job, tokenizer: Any, say: Progress) -> Any:
    from transformers.trainer_callback import PrinterCallback

    from .folder import RunFiles

    options: dict[str, Any] = {"tokenizer": tokenizer, "peft_config": None}
    if config.lora is not None:
        from peft import LoraConfig

        own: dict[str, Any] = {"task_type": "CAUSAL_LM"} | config.lora
        options["peft_config"] = LoraConfig(**own)
    say("loading the model")
    options["callbacks"] = [RunFiles(folder, say)]
    trainer = _reporting_refusals(job.make, model_folder(config.model), **options)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _reporting_refusals(make: Callable[..., Made], model: str, **options: Any) -> Made:
    """Call `make` on a model; raise as one sentence what the trainer refuses in it or its settings."""
    try:
        return make(model, **options)
    except Exception as error:
        if isinstance(error, DagameError) or system_reason(error) is not None:
            raise
        raise ConfigError(
            f"the trainer refuses {model!r} or its settings: {one_line(error)}."
        ) from error

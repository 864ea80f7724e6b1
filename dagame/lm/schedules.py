"""The order of prompts in which every generation batch holds whole classes, for a trainer that keeps it.

A class reward needs all contexts of a class at once. Trainers cut the dataset into chunks of as
many rows as one generation batch has prompts; here every chunk is `classes_per_step` whole classes,
all epochs are written out one after the other, and the trainer's own shuffling must be off.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ScheduleError, nearest

if TYPE_CHECKING:
    from datasets import Dataset

CLASS, MEMBER, SIZE = "class_id", "member_id", "class_size"
"""The columns that a group reward reads: class, context within it, contexts drawn of it."""


def schedule(
    rows: Dataset | Iterable[Mapping[str, Any]],
    *,
    classes_per_step: int,
    contexts: int | None = None,
    epochs: int = 1,
    steps: int | None = None,
    class_column: str = "class",
    prompt_column: str = "prompt",
    seed: int = 0,
) -> Dataset:
    """Prompts -> the dataset of a whole run, every chunk of it whole classes.

    Classes come in a new random order each epoch, their contexts side by side. A chunk is
    classes_per_step * contexts rows, one generation batch of prompts; no class appears in it twice
    and the last chunk is filled up with classes of the next epoch, so that no tail is dropped.
    Counts of visits differ between classes by at most one.

    Args:
        rows: one row per context with at least `class_column` and `prompt_column`; the contexts of
            a class are its rows in their order. Other columns are kept.
        classes_per_step: classes in one generation batch.
        contexts: contexts of a class in one visit; a class with more gets a fresh random subset
            each visit. None: all, where every class has the same number.
        epochs: visits of every class (at least).
        steps: generation batches in all, instead of `epochs`.
        class_column, prompt_column: what names the class, and the prompt (text or messages).
        seed: of orders and subsets.

    Returns:
        A `datasets.Dataset` with the columns prompt, class_id (0, 1, ... in order of appearance),
        member_id (0, 1, ... within the class), class_size (= contexts), and the others.

    Raises:
        ScheduleError: a missing column, too few classes, or classes of unequal size without
            `contexts`.
    """
    data = _dataset(rows, class_column, prompt_column)
    names = data[class_column]
    classes: dict[Any, list[int]] = {}
    for row, name in enumerate(names):
        classes.setdefault(name, []).append(row)
    members = list(classes.values())
    width = _contexts(list(classes), [len(m) for m in members], contexts)
    if classes_per_step < 1 or len(members) < classes_per_step:
        raise ScheduleError(
            f"classes_per_step is {classes_per_step} with {len(members)} classes; give a number "
            f"from 1 to {len(members)}, so that no class is in one batch twice."
        )
    if steps is None:
        steps = -(-epochs * len(members) // classes_per_step)
    if steps < 1:
        raise ScheduleError(f"the run has {steps} generation batches; give epochs or steps >= 1.")
    rng = np.random.default_rng(seed)
    visits = class_order(len(members), classes_per_step, steps, rng).ravel()
    drawn = [_draw(len(members[c]), width, rng) for c in visits]
    order = [members[c][k] for c, chosen in zip(visits, drawn, strict=True) for k in chosen]
    return _with_ids(data, members, width, prompt_column).select(order)


def check_schedule(data: Any, classes_per_step: int) -> None:
    """Raise `ScheduleError` unless a dataset is a schedule with this many classes a step."""
    columns = [np.asarray(data[name]) for name in (CLASS, MEMBER, SIZE)]
    if any(c.dtype.kind not in "iu" for c in columns):
        raise ScheduleError(
            f"{CLASS}, {MEMBER} and {SIZE} must be integers; make the dataset with dagame.lm.schedule."
        )
    rows = int(columns[2][0]) * classes_per_step if len(columns[2]) else 0
    if not rows or len(data) % rows:
        raise ScheduleError(
            f"a schedule of {len(data)} prompts is not whole steps of {classes_per_step} classes; give "
            "both the same classes_per_step."
        )
    for start in range(0, len(data), rows):
        check_whole_classes(*(c[start : start + rows] for c in columns), group_size=1)


def check_columns(count: int, columns: dict[str, Any], others: Sequence[str]) -> None:
    """Raise `ScheduleError` unless the class columns and `others` have an entry per completion."""
    for name in (CLASS, MEMBER, SIZE, *others):
        column = columns.get(name)
        if column is not None and len(column) != count:
            raise ScheduleError(f"{name} has {len(column)} entries for {count} completions.")
        if name not in others and np.asarray(column).dtype.kind not in "iu":
            raise ScheduleError(f"{name} holds no integers; dagame.lm.schedule numbers classes.")


def check_whole_classes(
    class_id: np.ndarray, member_id: np.ndarray, class_size: np.ndarray, *, group_size: int
) -> None:
    """Raise `ScheduleError` unless the rows (N,) are whole classes, group_size rows per prompt.

    Row i belongs to prompt i // group_size. Every class must have class_size distinct contexts.
    """
    n, k = len(class_id), group_size
    blocks = np.stack([class_id, member_id, class_size], axis=1)
    if n % k or (blocks.reshape(n // k, k, 3) != blocks[::k, None]).any():
        raise ScheduleError(
            f"{n} completions are not groups of {k} of one prompt each; give the reward the "
            "trainer's num_generations as group_size."
        )
    prompts = blocks[::k]
    names, counts = np.unique(prompts[:, 0], return_counts=True)
    distinct = np.unique(prompts[:, :2], axis=0)
    wanted = np.array([prompts[prompts[:, 0] == c, 2].max() for c in names])
    if len(distinct) != len(prompts) or (counts != wanted).any():
        bad = int(np.argmax(counts != wanted))
        raise ScheduleError(
            f"class {names[bad]} has {counts[bad]} prompts in this batch instead of its "
            f"{wanted[bad]} contexts once each; use dagame.lm.schedule with shuffle_dataset=False, "
            "batches of whole classes (grpo_config makes them), and no asynchronous trainer."
        )


def class_order(classes: int, per_step: int, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Classes of each step (steps, per_step): permutations in a row, none in one step twice.

    A class that the next permutation would repeat within a step waits for the step after.
    """
    queue: deque[int] = deque()
    out = np.empty((steps, per_step), dtype=np.int64)
    for step in range(steps):
        chosen: list[int] = []
        waiting: list[int] = []
        while len(chosen) < per_step:
            if not queue:
                queue.extend(rng.permutation(classes).tolist())
            c = queue.popleft()
            (waiting if c in chosen else chosen).append(c)
        queue.extendleft(reversed(waiting))
        out[step] = chosen
    return out


def _dataset(rows: Any, class_column: str, prompt_column: str) -> Any:
    from datasets import Dataset

    data = rows if isinstance(rows, Dataset) else Dataset.from_list([dict(r) for r in rows])
    if not len(data):
        raise ScheduleError("there are no prompts.")
    for name, role in ((class_column, "class"), (prompt_column, "prompt")):
        if name not in data.column_names:
            hint = nearest(name, data.column_names, "columns")
            raise ScheduleError(f"there is no column {name!r} for the {role}; {hint}")
    return data


def _contexts(names: Sequence[Any], sizes: Sequence[int], contexts: int | None) -> int:
    least, most = min(sizes), max(sizes)
    smallest = names[int(np.argmin(sizes))]
    if contexts is None:
        if least != most:
            raise ScheduleError(
                f"classes have {least} (class {smallest!r}) to {most} contexts; contexts={least} "
                "draws that many of each class afresh at every visit."
            )
        return least
    if not 1 <= contexts <= least:
        raise ScheduleError(
            f"contexts is {contexts}, but class {smallest!r} has {least}; lower contexts or leave "
            "such classes out."
        )
    return contexts


def _draw(size: int, width: int, rng: np.random.Generator) -> list[int]:
    """Draw `width` of `size` contexts, in increasing order; the generator is not used where all are taken."""
    return list(range(size)) if size == width else sorted(rng.permutation(size)[:width].tolist())


def _with_ids(data: Any, members: list[list[int]], width: int, prompt_column: str) -> Any:
    """The rows with their numbers; the prompt under the trainer's name."""
    data = data.remove_columns([c for c in (CLASS, MEMBER, SIZE) if c in data.column_names])
    if prompt_column != "prompt":
        data = data.remove_columns([c for c in ["prompt"] if c in data.column_names])
        data = data.rename_column(prompt_column, "prompt")
    class_id, member_id = [0] * len(data), [0] * len(data)
    for c, rows in enumerate(members):
        for k, row in enumerate(rows):
            class_id[row], member_id[row] = c, k
    for name, values in ((CLASS, class_id), (MEMBER, member_id), (SIZE, [width] * len(data))):
        data = data.add_column(name, values)
    return data

"""Where questions come from beside files: data sets by name, and templates that make prompts of rows."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from ..errors import ConfigError, nearest, one_line


def load_data_set(name: str, config: str | None, split: str) -> list[Any]:
    """The rows of a split of a data set of the package `datasets`; `ConfigError` if it has none."""
    from datasets import load_dataset

    try:
        data: Any = load_dataset(name, config, split=split)
        rows: list[Any] = list(data)
    except Exception as error:  # the hub, the network and the scripts of data sets raise anything
        raise ConfigError(
            f"data set {name!r} cannot be loaded: {one_line(error)}; where it cannot be fetched, give a "
            "local file of its rows instead (in a file of dagame finetune: data.path)."
        ) from None
    if not rows:
        raise ConfigError(f"data set {name!r} has no rows in split {split!r}.")
    return rows


def check_template(template: str, columns: Sequence[str]) -> list[str]:
    """The columns that a template names in braces; `ConfigError` unless there are, and all are known."""
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ConfigError(
            f"paraphrase {template!r}: {error}; double braces that are no column, {{{{ and }}}}."
        ) from None
    if not names:
        raise ConfigError(f"paraphrase {template!r} has no {{column}} in it.")
    for name in names:
        if name not in columns:
            raise ConfigError(
                f"paraphrase {template!r} names {{{name}}}; {nearest(name, columns, 'columns')}"
            )
    return names

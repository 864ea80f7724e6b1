"""A Ray engine of this process's own, or one that is joined, quiet and set up for the passes."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ...errors import DagameError, one_line
from ...provenance import not_installed
from ..cores import cores

_OWN = {"RAY_max_io_workers": "1", "RAY_task_rpc_inlined_bytes_limit": "1000000"}
"""Of an engine of this process's own, to hold less memory.

One process to spill and one to restore, of 45 MiB each; Ray's way is four and four. Of the results of a
task 1 MB may be held by this process, where nothing can be spilled; Ray's way is 10 MiB, or a shuffle.
"""


def started(address: str | None, store: int) -> tuple[Any, bool]:
    """Ray with an engine, quiet, and without its reports to its makers; whether it was begun here."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.data
    except ImportError:
        told = not_installed("ray", "ray", "--engine ray")
        raise DagameError(f"{told}; or leave --engine out") from None
    own = not ray.is_initialized()
    if own:
        _begin(ray, address, store)
    _set_up(ray, store)
    return ray, own


def _begin(ray: Any, address: str | None, store: int) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    size = {"num_cpus": cores(), "object_store_memory": store, "include_dashboard": False}
    try:
        if address is None:
            with _unless_set(_OWN):  # which the engine's processes read as they start
                ray.init("local", **size, **quiet)
        else:
            ray.init(address, **quiet)
    except Exception as error:  # Ray raises bare ones
        ray.shutdown()
        raise _not_begun(address, one_line(error, 200)) from None


def _not_begun(address: str | None, said: str) -> DagameError:
    if address is None:
        return DagameError(f"Ray does not start: {said}.")
    return DagameError(
        f"Ray at {address} cannot be reached: {said}; one that asks for a token is joined with "
        "RAY_AUTH_MODE=token, as `ray get-auth-token` tells it."
    )


def _set_up(ray: Any, store: int) -> None:
    """Quiet, and blocks in their order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of its own settings
        context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    context.shuffle_input_batch_bytes = store // 4  # which each task of a shuffle holds
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what fails is raised


@contextmanager
def _unless_set(settings: Mapping[str, str]) -> Iterator[None]:
    """Those environment variables that are not set, set for a while."""
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]

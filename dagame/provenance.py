"""What a result rests on: versions, commit, machine, date and command, for files, pages and cards."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path
from typing import Any

DISTRIBUTION = "dagame"
FURTHER = ("clarabel", "scs", "tokenizers", "huggingface-hub", "jax", "jaxopt", "verl")
"""Packages that decide a result without being required by name: solvers of cvxpy's and peers."""
PROGRAMS = ("dagame", "dagame-bench")
_MODULES = {"pyyaml": "yaml"}
"""Modules that are not called as their distribution with _ for -."""


def provenance() -> dict[str, Any]:
    """What a result of this process rests on, for JSON.

    `dagame` (version), `commit` ("-dirty" after changes; None outside a checkout), `python`,
    `platform`, `versions` (of the packages that were loaded, by name), `date` (UTC, to the second;
    that of SOURCE_DATE_EPOCH if it is set, for files that are the same each time), `command`
    (program and arguments; of other programs than dagame's the name alone).
    """
    return {
        "dagame": installed(DISTRIBUTION),
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: found for name in _loaded() if (found := installed(name))},
        "date": _date(),
        "command": _command(),
    }


def in_words(found: Mapping[str, Any]) -> str:
    """One sentence of a `provenance`, for pages, cards and terminals."""
    at = f" ({found['commit']})" if found["commit"] else ""
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return (
        f"dagame {found['dagame'] or 'not installed'}{at}, Python {found['python']}"
        f"{', ' if versions else ''}{versions}, on {found['platform']}, {found['date']}, "
        f"by {' '.join(found['command'])}"
    )


def installed(name: str) -> str | None:
    """The version of an installed distribution, else None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _path_of(url: str) -> str:
    """The path of a file: address."""
    path = url.removeprefix("file://").encode()
    path = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), path)
    return os.fsdecode(re.sub(rb"^/(?=[A-Za-z]:)", b"", path))


def install(extra: str) -> str:
    """The command that brings an extra to this installation, from a checkout or from the index.

    >>> install("lm").endswith("[lm]'")
    True
    """
    try:
        told = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        told = None
    source = json.loads(told) if told else {}
    root = Path(__file__).parents[1]
    if (root / "pyproject.toml").is_file():  # the checkout that this file is of
        source = {"url": root.as_uri(), "dir_info": {"editable": True}}
    if not source.get("url", "").startswith("file:"):
        return f"pip install '{DISTRIBUTION}[{extra}]'"
    place = _path_of(source["url"])
    place = "." if Path(place) == Path.cwd() else place
    option = "-e " if source.get("dir_info", {}).get("editable") else ""
    return f"pip install {option}{shlex.quote(f'{place}[{extra}]')}"


def not_installed(name: str, extra: str, use: str) -> str:
    """One sentence for a package that is not there: what it is for, and the command that brings it."""
    return f"{name} is not installed, which {use} needs: {install(extra)}"


def requirements() -> dict[str, tuple[str, str]]:
    """Bound and extra ("" where it is always needed) of every direct dependency, by name.

    From the metadata of the installed package, which are those of pyproject.toml; of extras those
    that users of the package install, not "dev" and "notebooks".
    """
    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return {}
    out: dict[str, tuple[str, str]] = {}
    for line in lines:
        needed, _, marker = line.partition(";")
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker)
        name = re.match(r"[\w.-]+", needed.strip())
        if name is None or name[0] == DISTRIBUTION or (extra and extra[1] in ("dev", "notebooks")):
            continue
        bound = re.sub(r"\[.*?\]", "", needed[name.end() :]).strip(" ()")
        out.setdefault(name[0].lower(), (bound, extra[1] if extra else ""))
    return out


def module_of(name: str) -> str:
    """The module that a distribution installs."""
    return _MODULES.get(name, name.replace("-", "_"))


def commit() -> str | None:
    """The commit of the package's own checkout, "-dirty" after changes; None where it is installed."""
    package = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            capture_output=True,
            text=True,
            cwd=package,
            check=True,
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        return git("describe", "--always", "--dirty")
    except (OSError, subprocess.CalledProcessError):
        return None


def _loaded() -> list[str]:
    names = dict.fromkeys([*requirements(), *FURTHER])
    return [name for name in names if module_of(name) in sys.modules]


def _date() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdecimal() else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")


def _command() -> list[str]:
    program = Path(sys.argv[0] if sys.argv else "")
    name = program.name
    if name == "__main__.py":  # python -m dagame, python -m dagame.bench
        name = {"dagame": "dagame", "bench": "dagame-bench"}.get(program.parent.name, name)
    return [name, *sys.argv[1:]] if name in PROGRAMS else [name]

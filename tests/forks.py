"""A process that imports the command line once and forks its runs, which may fail at chosen moments.

A run behaves as one of `python -m dagame` whose imports are done. It ends undisturbed; or it is killed,
or its folder moved away, at its k-th change of that (audit hook: files opened for writing, renames, locks,
folders made and removed); or it is killed when a file passes n bytes, in the middle of the write,
whatever library writes (RLIMIT_FSIZE); or there its writes fail instead, as on a full disk. Or several
run at once, as the processes of one distributed job, or one goes on, as a server does. Started as a script
this is the parent: no run waits for imports, and no thread is alive at a fork.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
COMMAND = "dagame.apps.cli:main"
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.utime"}
NEVER = 10**9
COUNTED = "\0changes "
STREAMS = ("input", "output", "errors")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
SOLVING = (
    "dagame.apps.cli",
    "dagame.apps.report",
    "dagame.samples.equilibria",
    "polars",
    "rich.progress",
    "cvxpy",
    "email.parser",
)
OPTIONAL = ("pydantic.type_adapter",)
"""What newer versions of typer load when a command is called."""
STEADY = {"SOURCE_DATE_EPOCH": "0", "GIT_DIR": os.devnull, "HF_HUB_OFFLINE": "1"}
"""What makes outputs of the same run equal: no clock, and no commit, which an edit meanwhile would change."""
TRAINING = (
    *SOLVING,
    "trl.trainer.grpo_trainer",
    "dagame.lm.finetune.run",
    "dagame.lm.finetune.folder",
)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: exit code (negative: the signal), what it said, whether it passed the time limit.

    `changes`: how often it changed the folder, counted if it was to be killed but came to its end.
    """

    code: int
    said: str
    hung: bool
    changes: int

    @property
    def killed(self) -> bool:
        """Whether the fault came to pass as a kill."""
        return self.code in (-signal.SIGKILL, -signal.SIGXFSZ)


class Forks:
    """A parent of runs: `with Forks(SOLVING) as forks: forks.run(["solve", ...], kill=3, root=folder)`."""

    def __init__(self, modules: Sequence[str]) -> None:
        env = os.environ | STEADY | {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
        here = Path(__file__).parent
        places = [ROOT, here, here / "torture", here / "lm"]
        env["PYTHONPATH"] = os.pathsep.join(map(str, places))
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        call: str = COMMAND,
        kill: int | None = None,
        signal_number: int = signal.SIGKILL,
        move: int | None = None,
        root: str | Path = "/",
        torn: int | None = None,
        full: int | None = None,
        env: dict[str, str] | None = None,
        limit: float = 180,
    ) -> Outcome:
        """One run; `kill`, or `move` root: at its k-th change; `torn`, `full`: at n bytes of a file."""
        job = {
            "call": call,
            "kill": kill,
            "move": move,
            "root": str(root),
            "torn": torn,
            "full": full,
        }
        return self._done(argv, env=env or {}, limit=limit, signal=int(signal_number), **job)

    def ran(
        self,
        argv: Sequence[str | Path],
        *,
        input: str | bytes = b"",
        cwd: str | Path | None = None,
        env: dict[str, str] | None = None,
        text: bool = True,
        limit: float = 180,
    ) -> subprocess.CompletedProcess[Any]:
        """One undisturbed run, its streams apart, as `subprocess.run` tells it."""
        with tempfile.TemporaryDirectory() as streams:
            given, out, err = (Path(streams, name) for name in STREAMS)
            given.write_bytes(input.encode() if isinstance(input, str) else input)
            for path in (out, err):
                path.touch()
            job = {"streams": streams, "cwd": str(cwd or Path.cwd())}
            outcome = self._done(argv, env=env or {}, limit=limit, **job)
            assert not outcome.hung, f"no end after {limit} s: {argv}"
            said = [p.read_text() if text else p.read_bytes() for p in (out, err)]
        return subprocess.CompletedProcess(list(argv), outcome.code, *said)

    def together(
        self, argv: Sequence[str | Path], *, call: str, env: Sequence[dict[str, str]], limit: float
    ) -> list[Outcome]:
        """A run in each of the environments, all at once."""
        return self._all_done([_job(argv, env=e, call=call, signal=0) for e in env], limit)

    def ranks(
        self, argv: Sequence[str | Path], *, call: str, count: int = 2, limit: float = 600
    ) -> list[Outcome]:
        """That many processes of one distributed job, with the environment that torchrun sets."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        env = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
        each = [env | {"RANK": str(k), "LOCAL_RANK": str(k)} for k in range(count)]
        return self.together(argv, call=call, env=each, limit=limit)

    @contextmanager
    def going_on(
        self, argv: Sequence[str | Path], *, call: str, folder: Path
    ) -> Iterator[Callable[[], bool]]:
        """A run until it is left, its streams in the folder; whether it still goes on."""
        for name in STREAMS:
            (folder / name).touch()
        job = _job(argv, call=call, env={}, streams=str(folder), cwd=str(folder), signal=0)
        number = self._asked({"jobs": [job]})[0]
        try:
            yield lambda: self._asked({"ask": number})
        finally:
            self._asked({"end": number})

    def _done(self, argv: Sequence[str | Path], *, limit: float, **job: Any) -> Outcome:
        (outcome,) = self._all_done([_job(argv, **job)], limit)
        return outcome

    def _all_done(self, jobs: Sequence[dict[str, Any]], limit: float) -> list[Outcome]:
        return [Outcome(**found) for found in self._asked({"jobs": jobs, "limit": limit})]

    def _asked(self, task: dict[str, Any]) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def changes(self, argv: Sequence[str | Path], **options: Any) -> int:
        """How often an undisturbed run changes the folder `root`."""
        outcome = self.run(argv, kill=NEVER, **options)
        assert outcome.code == 0, outcome.said
        return outcome.changes


def _job(argv: Sequence[str | Path], **changes: Any) -> dict[str, Any]:
    """What a child is told: an undisturbed run of the command, but for the changes."""
    plain = {
        "argv": [str(a) for a in argv],
        "call": COMMAND,
        "streams": None,
        "kill": None,
        "move": None,
        "root": "/",
        "torn": None,
        "full": None,
    }
    return plain | changes


# -- in the parent --------------------------------------------------------------------------------


def _serve(modules: Sequence[str]) -> None:
    gc.disable()
    for name in modules:
        importlib.import_module(name)
    for name in OPTIONAL:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # so that no child walks, and thereby copies, what was imported
    gc.enable()
    for line in sys.stdin:
        print(json.dumps(_answered(json.loads(line))), flush=True)


def _answered(task: dict[str, Any]) -> Any:
    if (child := task.get("ask")) is not None:
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    if (child := task.get("end")) is not None:
        os.killpg(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]
    children = dict(_begun(job) for job in task["jobs"])
    return _watched(children, task["limit"]) if "limit" in task else list(children.values())


def _begun(job: dict[str, Any]) -> tuple[int, int]:
    """What to read a child's words from, and its number."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.close(reader)
        _run(job, writer)
    os.close(writer)
    return reader, child


def _watched(children: dict[int, int], limit: float) -> list[dict[str, Any]]:
    """What children say until all have ended; those that have not are killed at the limit."""
    said, end = dict.fromkeys(children, b""), time.monotonic() + limit
    alive = set(children)
    while alive:
        ready, _, _ = select.select(list(alive), [], [], max(end - time.monotonic(), 0))
        if not ready:
            for reader in alive:
                os.killpg(children[reader], signal.SIGKILL)
            break
        for reader in ready:
            data = os.read(reader, 1 << 16)
            said[reader] += data
            if not data:
                alive.remove(reader)
    return [_ended(said[r], child, r in alive, r) for r, child in children.items()]


def _ended(said: bytes, child: int, hung: bool, reader: int) -> dict[str, Any]:
    os.close(reader)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    text, _, changes = said.decode(errors="replace").partition(COUNTED)
    return {"code": code, "said": text, "hung": hung, "changes": int(changes or 0)}


def _run(job: dict[str, Any], writer: int) -> None:
    """The child: never returns."""
    code, counted = 70, None
    try:
        os.setsid()
        _set_streams(job, writer)
        os.environ.update(job["env"])
        sys.argv = ["dagame", *job["argv"]]
        module, _, name = job["call"].partition(":")
        function = getattr(importlib.import_module(module), name)
        counted = _arm(job)
        function()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if counted is not None:
            os.write(1, f"{COUNTED}{counted[0]}".encode())
        os._exit(code)


def _set_streams(job: dict[str, Any], writer: int) -> None:
    """Both outputs into the pipe and nothing to read; or three files, while the pipe stays open."""
    if job["streams"] is None:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        os.close(writer)
    else:
        os.chdir(job["cwd"])
        for number, name in enumerate(STREAMS):
            way = os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY
            os.dup2(os.open(os.path.join(job["streams"], name), way), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115


def _arm(job: dict[str, Any]) -> list[int] | None:
    size = job["torn"] if job["full"] is None else job["full"]
    if size is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        kind = signal.SIG_DFL if job["full"] is None else signal.SIG_IGN
        signal.signal(signal.SIGXFSZ, kind)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if job["kill"] is not None:
        return _at(job["kill"], job["root"], lambda: os.kill(os.getpid(), job["signal"]))
    if job["move"] is not None:
        return _at(job["move"], job["root"], lambda: os.rename(job["root"], job["root"] + ".moved"))
    return None


def _at(k: int, root: str, act: Callable[[], None]) -> list[int]:
    """Act at the k-th change; the number of changes so far, in a list."""
    seen, prefix = [0], os.path.realpath(root)

    def hook(event: str, arguments: Any) -> None:
        if event == "fcntl.flock":
            changes = True
        elif event == "open":
            path, _, flags = arguments
            changes = bool(flags & WRITING) and _under(path, prefix)
        else:
            changes = event in CHANGES and _under(arguments[0], prefix)
        if changes:
            seen[0] += 1
            if seen[0] == k:
                act()

    sys.addaudithook(hook)
    return seen


def _under(path: Any, prefix: str) -> bool:
    return isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(prefix)


if __name__ == "__main__":
    _serve(sys.argv[1:])

"""Command-line options: whatever they say, work that begins or code 2 and a reason."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from budget import scale
from commandline import dagame

pytest.importorskip("trl")

OPTIONS = {
    "dagame solve": "--class --context --completion --correct --extract --canonical --no-answer "
    "--abstain --objective --strength --beta --method --device --on-error --json --out --calibrate --alpha "
    "--seed --what",
    "dagame demo": "--out --seed --steps --problems --json --compare --what",
    "dagame finetune": "--json --resume --what",
    "dagame verify": "--seed --games --json --what",
    "dagame-bench equivalence": "--seed --json --plot",
    "dagame-bench scaling": "--seed --json --plot",
    "dagame-bench solvers": "--seed --json --plot",
    "dagame-bench roof": "--seed --json --plot",
    "dagame-bench estimators": "--seed --json --plot --part",
    "dagame-bench lm": "--seed --json --plot --method --steps --problems",
}
VALUES = [
    "",
    " ",
    "x",
    "-1",
    "0",
    "1.5",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "9" * 30,
    "[/]",
    "[red]",
    "\x1b[31m",
]
VALUES += [
    "\u202e",
    "/no/such/x",
    ".",
    "-",
    "--",
    "(",
    "a\nb",
    "x" * 5000,
    "\udcff",
    "%s{}",
    "/dev/null/x",
]
BEGUN = 77

RUN = f"""
import contextlib, io, json, sys, traceback
from dagame.apps import cli
from dagame.bench import cli as bench, common
from dagame.apps.command import run

def begin(*args, **kwargs):
    raise SystemExit({BEGUN})  # the options were taken, and the work would begin

common.watching = begin
stages = cli.stages
for line in sys.stdin:
    sys.argv = json.loads(line)
    cli.stages = stages if sys.argv[1] == "solve" else begin
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run(bench.app if sys.argv[0] == "dagame-bench" else cli.app, sys.argv[0])
        except SystemExit as error:
            code = error.code
        except BaseException:
            code = "raised"
            traceback.print_exc()
    print(json.dumps([code, out.getvalue(), err.getvalue()]), file=sys.__stdout__, flush=True)
"""


def command_lines():
    """Every option of every command with every value, whole lines, in an order by seed."""
    given_ones = {"dagame solve": ["s.jsonl", "--class", "q"], "dagame finetune": ["run.yaml"]}
    lines = []
    for command, options in OPTIONS.items():
        needed = given_ones.get(command, [])
        for option in options.split():
            lines += [[*command.split(), *needed, option, value] for value in VALUES]
        lines += [[*command.split(), value, *needed[1:]] for value in VALUES]
    return lines


def test_wrong_options_end_with_code_2_and_a_reason(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = command_lines()
    chosen = random.Random(8).sample(lines, min(len(lines), scale(40)))
    rows = [{"q": "a", "completion": f"\\boxed{{{k % 2}}}", "ok": k % 2} for k in range(4)]
    Path("s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("run.yaml").write_text("model: org/model\noutput: out\ndata: {path: data.jsonl}\n")
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "400"}
    sent = "".join(json.dumps(line) + "\n" for line in chosen)
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=sent,
        capture_output=True,
        text=True,
        env=env,
        timeout=900,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(chosen), done.stderr[-2000:]
    codes = []
    for line, (code, out, err) in zip(chosen, answers, strict=True):
        assert code in (0, 1, 2, BEGUN), (line, code, err[-1500:])
        assert "Traceback" not in out + err, line
        if code == 2:
            assert err.strip(), line
            if err.startswith("dagame"):  # a usage error has a box of its own
                assert len(err.strip().splitlines()) == 1, (line, err)
                assert not steering(out + err), line
        codes.append(code)
    assert codes.count(2) > len(codes) / 3


def cli(*arguments):
    done = dagame(*arguments, columns=200, text=False)
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


def steering(text):
    """Characters that a terminal would act on, or that turn text around."""
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c != "\n"]


def test_names_in_a_file_cannot_steer_the_terminal(tmp_path):
    """Classes that the table names, one without a common answer and one without any."""
    names = ["[/]", "[red]x[/red]", "\x1b]0;title\x07\x1b[2J", "\u202eevil", "\x9b31m", "[link=x]"]
    rows = [{"q": n, "f": f, "completion": f"\\boxed{{{f}}}"} for n in names for f in "ab"]
    rows += [{"q": f"lost {n}", "f": "a", "completion": "none"} for n in names]
    rows += [{"q": "fine", "f": f, "completion": "\\boxed{1}"} for f in "ab"]
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given_ones = (
        "--class",
        "q",
        "--context",
        "f",
        "--objective",
        "hard-coherence",
        "--no-answer",
        "drop",
    )
    code, out = cli("solve", str(path), *given_ones)
    assert code in (0, 1), out
    assert "Traceback" not in out
    assert not steering(out)
    assert "[red]x[/red]" in out
    assert "⟨U+202E⟩evil" in out


def test_errors_cannot_steer_the_terminal_either(tmp_path):
    path = tmp_path / "s.jsonl"
    rows = [{"q": "a", "\x1b[2J[/]\u202e": 1, "completion": "\x1b]0;t\x07\u2066 no answer at all"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for arguments in (
        ("solve", str(path), "--class", "\x1b[31mq"),
        ("solve", str(path), "--class", "q", "--extract", "boxed"),
        ("solve", f"{tmp_path}/\x1b[31m\u202e\nx.jsonl", "--class", "q"),
        ("solve", str(path), "--class", "q", "--objective", "\x1b[31m"),
        ("finetune", f"{tmp_path}/\x1b[31m.yaml"),
        ("verify", "--json", f"{tmp_path}/\x1b[31m/x"),
    ):
        code, out = cli(*arguments)
        assert code == 2, out
        assert not steering(out), arguments
        assert len(out.strip().splitlines()) == 1

"""Nothing that is read is run: no pickles, no code of models or templates, nothing for a shell."""

from __future__ import annotations

import ast
import contextlib
import gzip
import json
import os
import pickle
import random
import shutil
import struct
import sys
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import yaml
from budget import FACTOR, settings
from hypothesis import given
from hypothesis import strategies as st

import dagame
from dagame.errors import DagameError, GenerationError, InvalidGame

pytest.importorskip("trl")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from dagame.lm import tiny
from dagame.lm.models.loading import pretrained

PACKAGE = Path(dagame.__file__).parent
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning"),
]

# -- what the source may not hold -----------------------------------------------------------------

MODULES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
MODULES |= {
    "socket",
    "urllib",
    "http",
    "requests",
    "httpx",
    "ftplib",
    "smtplib",
    "xmlrpc",
    "ctypes",
}
MODULES |= {"telnetlib", "webbrowser", "pty", "code"}
BUILTINS = {"eval", "exec", "compile", "__import__", "input", "breakpoint"}
METHODS = {"popen", "mktemp", "read_pickle", "to_pickle", "execfile", "getoutput"}
METHODS |= {"startfile", "write_csv", "to_csv", "sink_csv", "write_excel", "to_excel", "DictWriter"}
METHODS |= {"unsafe_load", "full_load", "load_all", "write_database"}
KEYWORDS = {"shell": True, "trust_remote_code": True, "allow_pickle": True, "verify": False}
KEYWORDS |= {"weights_only": False, "trust_repo": True, "autoescape": False}
NEEDED = {("torch", "load"): "weights_only"}
CLASSES = {"UnsafeLoader", "FullLoader", "Unpickler", "Pickler", "HtmlFormatter"}


def faults(source):
    """What a module does that the package must not."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module or ""]
        for name in names:
            parts = name.split(".")
            if name.startswith("urllib.parse"):  # of texts alone
                continue
            if parts[0] in MODULES or parts[-1] in METHODS | CLASSES or name == "os.system":
                yield f"imports {name}"
        if isinstance(node, ast.Attribute) and node.attr in METHODS | CLASSES:
            yield f"uses .{node.attr}"
        for module, name in (("csv", "writer"), ("os", "system")):
            if isinstance(node, ast.Attribute) and node.attr == name and _is(node.value, module):
                yield f"uses {module}.{name}"
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in BUILTINS:
            yield f"calls {called.id}"
        for keyword in node.keywords:
            value = getattr(keyword.value, "value", None)
            if keyword.arg in KEYWORDS and value is KEYWORDS[keyword.arg]:
                yield f"passes {keyword.arg}={value}"
        if isinstance(called, ast.Attribute):
            given_ones = {keyword.arg for keyword in node.keywords}
            for (module, name), wanted in NEEDED.items():
                if called.attr == name and _is(called.value, module) and wanted not in given_ones:
                    yield f"calls {module}.{name} without {wanted}"
            if called.attr == "load" and _is(called.value, "yaml"):
                yield "calls yaml.load"


def _is(node, name):
    return isinstance(node, ast.Name) and node.id == name


FORBIDDEN = """
import pickle
from pickle import loads
import requests.sessions
from urllib.request import urlopen
from os import system
from subprocess import getoutput
eval("1")
exec(text)
__import__("os")
os.system("x")
os.popen("x")
tempfile.mktemp()
subprocess.run("x", shell=True)
model.from_pretrained("x", trust_remote_code=True)
np.load("x", allow_pickle=True)
torch.load("x")
torch.load("x", weights_only=False)
yaml.load(text, Loader)
yaml.unsafe_load(text)
Loader = yaml.FullLoader
frame.write_csv("x")
frame.to_csv("x")
csv.writer(stream)
Environment(autoescape=False)
""".strip().splitlines()


@pytest.mark.parametrize("line", FORBIDDEN)
def test_the_search_finds_each_forbidden_line(line):
    assert list(faults(line))


def test_the_package_holds_none_of_them():
    found = {p.name: list(faults(p.read_text(encoding="utf-8"))) for p in PACKAGE.rglob("*.py")}
    assert len(found) > 80
    assert found.pop("rays.py") == ["imports pickle"]  # of its own tasks' files, which they sign
    assert {name: said for name, said in found.items() if said} == {}


def test_what_ships_is_source_text_and_safetensors():
    kinds = {p.suffix for p in PACKAGE.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert kinds <= {".py", ".j2", ".css", ".json", ".safetensors", ".typed", ".md", ".txt", ""} | {
        ".gz"
    }
    for packed in PACKAGE.rglob("*.gz"):  # lines of JSON, nothing else
        assert all(map(json.loads, gzip.decompress(packed.read_bytes()).splitlines()))


# -- models and tokenizers ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    model, tokenizer = tiny.load()
    return tiny.save(model, tokenizer, tmp_path_factory.mktemp("good"))


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


def plant(path, canary, kind):
    """A checkpoint of torch, a bare pickle, or an array of objects in a checkpoint, that explodes."""
    if kind == "bare":
        path.write_bytes(pickle.dumps(Bomb(canary)))
    elif kind == "array":
        torch.save({"numpy": np.array([Bomb(canary)], dtype=object)}, path)
    else:
        torch.save({"state": Bomb(canary)}, path)


KINDS = ("torch", "bare", "array")


@pytest.mark.parametrize("kind", KINDS)
def test_the_bombs_do_explode(tmp_path, canary, kind):
    plant(tmp_path / "x.pt", canary, kind)
    with contextlib.suppress(RuntimeError):  # a bare pickle is run before it is found to be none
        torch.load(tmp_path / "x.pt", weights_only=False)
    assert canary.exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("only_safetensors", [True, False])
def test_weights_that_are_pickles_are_refused(tmp_path, good, canary, kind, only_safetensors):
    folder = shutil.copytree(good, tmp_path / "m")
    (folder / "model.safetensors").unlink()
    plant(folder / "pytorch_model.bin", canary, kind)
    load = tiny.load if only_safetensors else partial(pretrained, AutoModelForCausalLM)
    with pytest.raises(GenerationError, match="cannot be loaded"):
        load(folder)
    assert not canary.exists()


def with_code(folder, canary):
    """Model and tokenizer whose classes are in a file of the folder, which makes the canary."""
    text = f"import os\nos.makedirs({str(canary)!r}, exist_ok=True)\n"
    text += "from transformers import LlamaConfig as C, LlamaForCausalLM as M\n"
    text += "from transformers import PreTrainedTokenizerFast as T\n"
    text += "class OwnConfig(C):\n    model_type = 'own'\n"
    text += "class OwnModel(M):\n    config_class = OwnConfig\nclass OwnTokenizer(T):\n    pass\n"
    (folder / "own.py").write_text(text)
    for name, changes in (
        (
            "config.json",
            {
                "model_type": "own",
                "architectures": ["OwnModel"],
                "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"},
            },
        ),
        (
            "tokenizer_config.json",
            {
                "tokenizer_class": "OwnTokenizer",
                "auto_map": {"AutoTokenizer": [None, "own.OwnTokenizer"]},
            },
        ),
    ):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(content | changes))
    return folder


@pytest.mark.parametrize("kind", [AutoModelForCausalLM, AutoTokenizer])
def test_code_of_a_model_runs_only_where_it_is_asked_for(tmp_path, good, canary, monkeypatch, kind):
    folder = with_code(shutil.copytree(good, tmp_path / "m"), canary)
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    asked = []
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
    with pytest.raises(GenerationError, match="Python code of its own, which is not run"):
        pretrained(kind, folder)
    with pytest.raises(GenerationError):
        tiny.load(folder)
    assert not canary.exists()
    assert asked == []
    pretrained(kind, folder, trust_remote_code=True)
    assert canary.exists()


HEADERS = {
    "nothing": b"",
    "cut": b"\x10\0\0\0\0\0\0\0{",
    "a huge header": struct.pack("<Q", 2**62) + b"{}",
    "a negative header": struct.pack("<q", -8) + b"{}",
    "no json": struct.pack("<Q", 4) + b"\xff\xff\xff\xff",
    "a huge tensor": None,
}


@pytest.mark.parametrize("name", HEADERS)
def test_weights_with_lying_headers_are_one_sentence(tmp_path, good, name):
    raw = HEADERS[name]
    if raw is None:
        lie = {"x": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 4]}}
        text = json.dumps(lie).encode()
        raw = struct.pack("<Q", len(text)) + text + b"\0\0\0\0"
    folder = shutil.copytree(good, tmp_path / "m")
    (folder / "model.safetensors").write_bytes(raw)
    with pytest.raises(GenerationError) as caught:
        tiny.load(folder)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.filterwarnings("ignore")
@given(
    st.sampled_from(
        ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
    ),
    st.data(),
)
@settings(12)
def test_damaged_model_files_load_or_are_one_sentence(good, tmp_path_factory, name, data):
    folder = tmp_path_factory.mktemp("m") / "m"
    shutil.copytree(good, folder)
    raw = bytearray((folder / name).read_bytes())
    head = min(len(raw), 4000)
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, head)) :]
    else:
        place = data.draw(st.integers(0, head - 1))
        raw[place : place + 4] = data.draw(st.binary(max_size=6))
    (folder / name).write_bytes(raw)
    said = ""
    try:
        tiny.load(folder)
    except DagameError as error:
        said = str(error)
    finally:
        shutil.rmtree(folder)
    assert "\n" not in said


TEMPLATES = (
    "{{{{ lipsum.__globals__['os'].mkdir('{0}') }}}}",
    "{{{{ cycler.__init__.__globals__.os.mkdir('{0}') }}}}",
    "{{{{ joiner.__init__.__globals__['__builtins__']['__import__']('os').mkdir('{0}') }}}}",
    "{{% for c in ''.__class__.__mro__[1].__subclasses__() %}}{{% if c.__name__ == '_wrap_close' %}}"
    "{{{{ c.__init__.__globals__['mkdir']('{0}') }}}}{{% endif %}}{{% endfor %}}",
    "{{{{ raise_exception.__globals__['os'].mkdir('{0}') }}}}",
    "{{{{ strftime_now.__globals__['__builtins__']['__import__']('os').mkdir('{0}') }}}}",
    "{{{{ messages.__class__.__base__.__subclasses__() }}}}{{{{ messages.append(1) }}}}",
    "{{% set x = namespace.__init__.__globals__ %}}{{{{ x['os'].mkdir('{0}') }}}}",
)


@pytest.mark.parametrize("template", TEMPLATES)
def test_chat_templates_cannot_leave_their_sandbox(good, canary, template):
    from jinja2.exceptions import TemplateError

    from dagame.lm.models.generation import prompt_ids

    _, tokenizer = tiny.load(good)
    tokenizer.chat_template = template.format(canary)
    chat = [{"role": "user", "content": "one"}]
    with contextlib.suppress(TemplateError, OverflowError, TypeError):
        prompt_ids(tokenizer, [chat], {})
    assert not canary.exists()
    assert chat == [{"role": "user", "content": "one"}]


def test_the_templates_would_leave_without_a_sandbox(tmp_path):
    import jinja2

    left = 0
    for k, template in enumerate(TEMPLATES):
        canary = tmp_path / str(k)
        made = jinja2.Environment().from_string(template.format(canary))
        try:
            made.render(messages=[], raise_exception=pytest.skip, strftime_now=shutil.copy)
        except Exception:
            continue
        left += canary.exists()
    assert left >= 4


def test_arrays_of_objects_are_refused(tmp_path, canary):
    from dagame.scale.streaming import _Table

    np.save(tmp_path / "x.npy", np.array([[Bomb(canary)]], dtype=object))
    with pytest.raises(InvalidGame, match=r"no readable \.npy"):
        _Table._mapped(tmp_path / "x.npy", "reference")
    assert not canary.exists()
    np.load(tmp_path / "x.npy", allow_pickle=True)
    assert canary.exists()


# -- checkpoints ----------------------------------------------------------------------------------

PARTS = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "pytorch_model.bin")
PLANTED = [(part, kind) for part in PARTS for kind in KINDS]


@pytest.fixture(scope="module")
def stopped(good, tmp_path_factory):
    """A run of two steps with its checkpoint, to go on from; the path of its file."""
    from dagame.lm.finetune.run import run_finetune

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("run")
    rows = [{"q": row["prompt"]} for row in tiny.rows("finetune")[:16:8]]
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    training = {"save_steps": 1, "use_cpu": True, "bf16": False, "dataloader_pin_memory": False}
    training |= {"max_completion_length": 4, "gradient_checkpointing": False}
    content = {
        "model": str(good),
        "output": str(folder / "out"),
        "data": {"path": str(folder / "d.jsonl"), "paraphrases": ["{q}", "{q} "]},
        "answers": {"extract": r"(\d+)"},
        "batch": {"group_size": 3, "classes_per_step": 1, "steps": 2},
        "training": training,
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(content))
    run_finetune(folder / "run.yaml")
    shutil.rmtree(folder / "out" / "model")
    shutil.rmtree(folder / "out" / "checkpoints" / "checkpoint-2")
    return folder


def chosen():
    """One bomb of each kind in the ordinary suite, all of them under make torture."""
    return PLANTED if FACTOR > 1 else random.Random(3).sample(PLANTED, 3)


@pytest.mark.parametrize(("part", "kind"), chosen())
def test_a_run_goes_on_without_running_what_its_checkpoint_holds(stopped, canary, part, kind):
    from dagame.lm.finetune.folder import mark_complete
    from dagame.lm.finetune.run import run_finetune

    kept = stopped / "kept"
    if not kept.exists():
        shutil.copytree(stopped / "out", kept)
    shutil.rmtree(stopped / "out")
    shutil.copytree(kept, stopped / "out")
    checkpoint = stopped / "out" / "checkpoints" / "checkpoint-1"
    if part == "pytorch_model.bin":
        (checkpoint / "model.safetensors").unlink()
    plant(checkpoint / part, canary, kind)
    mark_complete(checkpoint, 1)  # as whoever planted it would
    try:
        assert run_finetune(stopped / "run.yaml", resume=True)["resumed_from"] == 1
        assert part == "training_args.bin"  # which is never read
    except DagameError:
        assert part != "training_args.bin"
    assert not canary.exists()


# -- advisories -----------------------------------------------------------------------------------


def audit_verdict(report, code=0, errors=""):
    spec = spec_from_file_location("audit", PACKAGE.parent / ".ci" / "audit.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.verdict(code, report, errors)


def test_an_audit_fails_on_a_vulnerability_and_says_what_it_could_not_look_up():
    fine = {"name": "a", "version": "1", "vulns": []}
    unknown = {"name": "b", "skip_reason": "not found"}
    bad = {"name": "c", "version": "2", "vulns": [{"id": "X-1", "fix_versions": ["3"]}]}
    rest = "no known vulnerability in 1 of 2 packages; not known to the database: b"
    for packages, given_code, code, words in (
        ([fine, unknown], 0, 0, rest),
        ([unknown], 0, 0, "SKIPPED"),
        ([fine, unknown, bad], 1, 1, "c 2: X-1, mended in 3"),
        ([fine], 1, 2, "FAILED with code 1: last words"),
    ):
        report = json.dumps({"dependencies": packages})
        found = audit_verdict(report, given_code, "first\nlast words\n\n")
        assert found[0] == code
        assert words in found[1]


REPORTS = ("", "[]", "{}", "null", "3", '{"dependencies": 3}', '{"dependencies": [{"name": "a"}]}')


@pytest.mark.parametrize("report", REPORTS)
def test_an_audit_that_crashed_is_no_audit_that_was_skipped(report):
    crash = "Traceback (most recent call last):\n  ...\nKeyError: 'vulns'\n"
    assert audit_verdict(report, 1, crash) == (
        2,
        "audit FAILED, nothing was checked: KeyError: 'vulns'",
    )
    assert audit_verdict(report)[0] == 2
    for reason in (
        "requests.exceptions.ConnectionError: x",
        "Could not connect to the feed",
        "Read timed out.",
    ):
        code, said = audit_verdict(report, 1, reason)
        assert (code, "SKIPPED" in said) == (0, True)

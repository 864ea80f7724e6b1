"""Fine-tuning files and command-line options: whatever they say, a run or one sentence."""

from __future__ import annotations

import json
import os
import random
import unicodedata
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import yaml
from budget import scale, settings
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("trl")

from hostile_texts import SHORT, texts

from dagame.errors import ConfigError, DagameError
from dagame.files.yaml import LARGEST, read_yaml
from dagame.lm.finetune.config import SEEDS, read_config
from dagame.lm.finetune.sections import BatchSection, DataSection, FinetuneConfig
from dagame.lm.spec import AnswerSection, ObjectiveSection
from dagame.objectives.names import NAMES

SECTIONS = {"": FinetuneConfig, "data": DataSection, "answers": AnswerSection}
SECTIONS |= {"batch": BatchSection, "objective": ObjectiveSection}
PATHS = [
    ((section, f.name) if section else (f.name,))
    for section, kind in SECTIONS.items()
    for f in fields(kind)
]
PATHS += [("training", "learning_rate"), ("training", "save_steps"), ("lora", "r")]


def base(**changes):
    made = {
        "model": "org/model",
        "output": "out",
        "data": {"path": "data.jsonl", "answer_column": "gold", "paraphrases": ["{q} a", "{q} b"]},
        "objective": {"name": "coherence", "strength": 2.0},
        "answers": {"extract": "boxed"},
        "batch": {"group_size": 4, "classes_per_step": 2, "steps": 5},
        "training": {"learning_rate": 1e-2, "save_steps": 2},
        "lora": {"r": 4},
        "seed": 3,
    }
    return made | changes


def one_sentence(error):
    """What a person is told: short, on one line, nothing unseen in it."""
    told = str(error)
    assert 10 < len(told) < 8000  # what it quotes is as long as the values tried
    assert "\n" not in told
    assert not [c for c in told if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    return told


def written(folder, content):
    path = folder / "run.yaml"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(yaml.safe_dump(content, allow_unicode=False))
    return path


def read(path):
    """The configuration of a file, or the sentence that refuses it; anything else raises."""
    try:
        return read_config(path)
    except DagameError as error:
        return one_sentence(error)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# -- valid files ----------------------------------------------------------------------------------

words = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="~"), min_size=1, max_size=12
)
positive = st.integers(1, 1000)
PAID = sorted({*NAMES} - {"hard-coherence"})  # whose rewards are multipliers, so it is refused
valid = st.fixed_dictionaries(
    {
        "model": words,
        "output": words.map("out/".__add__),
        "data": st.fixed_dictionaries(
            {"answer_column": words, "path": words},
            optional={
                "class_column": words,
                "alias_column": words,
                "paraphrases": st.lists(words, max_size=3),
                "contexts": positive,
                "limit": positive,
                "split": words,
                "config": words,
            },
        ),
    },
    optional={
        "objective": st.fixed_dictionaries(
            {"name": st.sampled_from(PAID), "strength": st.floats(0.01, 100)}
        ),
        "answers": st.fixed_dictionaries(
            {}, optional={"canonical": st.sampled_from(["exact", "number", "casefold"])}
        ),
        "batch": st.fixed_dictionaries({}, optional={"group_size": st.integers(3, 10**6), "steps": positive}),
        "beta": st.floats(1e-6, 1e6),
        "kl": st.sampled_from(["loss", "reward"]),
        "seed": st.integers(0, SEEDS - 1),
        "training": st.fixed_dictionaries(
            {},
            optional={
                "learning_rate": st.floats(1e-9, 1),
                "bf16": st.booleans(),
                "lr_scheduler_type": st.sampled_from(["linear", "cosine"]),
                "chat_template_kwargs": st.dictionaries(words, words, max_size=2),
            },
        ),
        "lora": st.one_of(st.none(), st.fixed_dictionaries({"r": st.integers(1, 64)})),
    },
)  # fmt: skip


@given(valid)
@settings(60)
def test_a_valid_file_is_read_as_it_was_meant_and_reads_back(content):
    path = written(Path.cwd(), content)
    config = read_config(path)
    found = asdict(config)
    for name, value in content.items():
        if isinstance(value, dict) and name not in ("training", "lora"):
            assert {k: found[name][k] for k in value} == value
        else:
            assert found[name] == value
    assert read_config(written(Path.cwd(), found)) == config
    json.dumps(found, allow_nan=False).encode()


def test_scalars_are_what_yaml_1_2_says():
    text = "a: 010\nb: 1:30\nc: 2024-01-01\nd: yes\ne: 1e-5\nf: 1.\ng: .5\nh: -3\ni: ~\nj: true\nk: 1_0\nl:\n"
    values = read_yaml(written(Path.cwd(), text.encode()))
    wanted = {"a": 10, "b": "1:30", "c": "2024-01-01", "d": "yes", "e": 1e-5, "f": 1.0, "g": 0.5}
    assert values == wanted | {"h": -3, "i": None, "j": True, "k": "1_0", "l": None}
    assert [type(v) for v in values.values()][4:8] == [float, float, float, int]


# -- hostile values in every field ----------------------------------------------------------------

JUNK = [
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 10**400, 0.0, -0.0, 0.5, 1e308, float("inf"),
    float("-inf"), float("nan"), "", " ", "x", "1", "true", "null", "a" * 900, "(", "(?P<x>", "a{99999}",
    "\\d+" * 300, "../../etc/passwd", "/etc/passwd", "/", ".", "..", "~", "~nobody/x",
    "/dev/zero", "/dev/stdin",
    "a/" * 3000, "x" * 300, "C:\\x", [], {}, [None], [1], ["{q"], ["{0}"], ["{q.__class__}"], ["{q!r:>99}"],
    [[]], {"a": 1}, {"": 1}, {"name": "x"}, {"r": "x"}, [{}], {"model": {"model": 1}}, *SHORT,
]  # fmt: skip


def put(content, path, value):
    made = json.loads(json.dumps(content))
    inner = made
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = value
    return made


def require_sound(config, content):
    """What is accepted can be used: an objective, finite numbers, a record that JSON holds."""
    if isinstance(config, str):
        return
    config.objective.make()
    assert json.loads(json.dumps(asdict(config), allow_nan=False)) == json.loads(
        json.dumps(asdict(config))
    )
    for name, value in (("beta", config.beta), ("strength", config.objective.strength)):
        assert type(value) is float, (name, content)
        assert value == value
        assert abs(value) < float("inf")
    for name in ("epochs", "group_size", "classes_per_step"):
        assert 1 <= getattr(config.batch, name) <= 10**6
    for name in (config.model, config.output):
        assert name.strip()
        os.fsencode(name)
        Path(name).is_dir()


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_junk_in_every_field_is_a_sentence_or_sound(path):
    for value in random.Random(str(path)).sample(JUNK, min(len(JUNK), scale(16))):
        content = put(base(), path, value)
        try:
            file = written(Path.cwd(), content)
        except (UnicodeEncodeError, yaml.YAMLError, ValueError):
            file = written(Path.cwd(), json.dumps(content).encode())
        require_sound(read(file), content)


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_a_value_of_the_wrong_kind_is_named_with_its_field(path):
    """An object is right nowhere but in sections, and there an integer is not."""
    section = path in (("training",), ("lora",)) or (path[0] in SECTIONS and len(path) == 1)
    said = read(written(Path.cwd(), put(base(), path, 7 if section else {"a": {}})))
    assert isinstance(said, str)
    assert ".".join(path) in said


@given(st.data())
@settings(40)
def test_several_faults_at_once(data):
    content = base()
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(PATHS))
        value = data.draw(st.one_of(st.sampled_from(JUNK), texts, st.floats(), st.integers()))
        if isinstance(content.get(path[0]), dict | None) or len(path) == 1:
            content = put(content, path, value)
    require_sound(read(written(Path.cwd(), json.dumps(content).encode())), content)


NEAR = [(path, path[-1][:-1] + "x") for path in PATHS if len(path[-1]) > 4]


@pytest.mark.parametrize(("path", "typed"), NEAR, ids=lambda v: v if isinstance(v, str) else "")
def test_a_mistyped_name_is_answered_with_a_known_one(path, typed):
    content = base(training={}, lora={"r": 4})
    said = read(written(Path.cwd(), put(content, (*path[:-1], typed), 1)))
    assert isinstance(said, str)
    assert "did you mean" in said
    assert typed in said


# -- hostile files --------------------------------------------------------------------------------


def laughs(depth=40):
    lines = ["a0: &a0 [x, x]"] + [f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]" for k in range(1, depth)]
    return "\n".join([*lines, f"model: *a{depth - 1}"]).encode()


GOOD = yaml.safe_dump(base()).encode()
FILES = {
    "empty": (b"", "holds no settings"),
    "blank": (b"\n\n# only a comment\n", "holds no settings"),
    "a list": (b"- model: x", "holds no settings"),
    "a text": (b"model", "holds no settings"),
    "a number": (b"3", "holds no settings"),
    "two documents": (b"model: x\n---\nmodel: y", "is no YAML"),
    "binary": (bytes(range(256)) * 20, "not UTF-8"),
    "zeros": (b"\0" * 1000, "is no YAML"),
    "controls": (b"model: \x1b[31m", "is no YAML"),
    "utf-16": (GOOD.decode().encode("utf-16"), "not UTF-8"),
    "truncated": (b"[" + GOOD[:-20], "is no YAML"),
    "billion laughs": (laughs(), "aliases"),
    "an alias": (b"output: &a x\nmodel: *a", "aliases"),
    "an alias in itself": (b"model: &a [*a]", "aliases"),
    "a merge": (b"<<: {model: x}\noutput: y", "<< is unknown"),
    "deep lists": (b"model: " + b"[" * 10_000 + b"]" * 10_000, "nested too deeply"),
    "deep mappings": (b"model: " + b"{a: " * 10_000 + b"}" * 10_000, "nested too deeply"),
    "deep indents": (b"\n".join(b" " * k + b"a:" for k in range(700)), "nested too deeply"),
    "open brackets": (b"[" * 290_000, "nested too deeply"),
    "open braces": (b"{" * 290_000, "nested too deeply"),
    "question marks": (b"? " * 100_000, "is no YAML"),
    "many keys": (b"\n".join(b"k%d: 1" % k for k in range(20_000)), "k0 is unknown"),
    "a long key": (b"x" * 250_000 + b": 1", "is no YAML"),
    "a huge file": (b"#" * (LARGEST + 1), "more than 300,000 bytes"),
    "an object": (b"model: !!python/object/apply:os.system ['touch ran']", "is no YAML"),
    "a module": (b"model: !!python/module:os", "is no YAML"),
    "a name": (b"model: !!python/name:os.system", "is no YAML"),
    "a new object": (b"!!python/object/new:os.system [touch ran]", "is no YAML"),
    "a set": (b"model: !!set {a, b}", "is no YAML"),
    "bytes": (b"model: !!binary aGk=", "is no YAML"),
    "no int": (b"seed: !!int x", "is no YAML"),
    "no bool": (b"seed: !!bool x", "is no YAML"),
    "no float": (b"beta: !!float x", "is no YAML"),
    "a date": (b"seed: !!timestamp x", "is no YAML"),
    "an own tag": (b"model: !x " + b"y" * 3000, "is no YAML"),
    "digits": (b"seed: " + b"1" * 5000, "is no YAML"),
    "nul in a text": (b'model: "a\\0b"', "NUL"),
    "half a pair": (b'model: "\\ud800"', "half"),
    "a key twice": (b"model: x\nmodel: y", "'model' is given twice"),
    "inner key twice": (b"data: {path: a, path: b}", "'path' is given twice"),
    "a number as key": (b"1: x", "a key is no text"),
    "a list as key": (b"[a]: x", "a key is no text"),
    "an unseen key": (b'"mod\\u202eel": x', "U+202E"),
    "a huge tag": (b"model: !<" + b"t" * 100_000 + b"> x", "is no YAML"),
}


@pytest.mark.parametrize("name", FILES)
def test_hostile_files(name):
    content, words_in_it = FILES[name]
    with pytest.raises(ConfigError) as caught:
        read_config(written(Path.cwd(), content))
    assert words_in_it in one_sentence(caught.value)
    assert not Path("ran").exists()


def test_a_byte_order_mark_and_other_line_ends_do_no_harm():
    wanted = read_config(written(Path.cwd(), GOOD))
    assert read_config(written(Path.cwd(), b"\xef\xbb\xbf" + GOOD)) == wanted
    assert read_config(written(Path.cwd(), GOOD.replace(b"\n", b"\r\n"))) == wanted


def test_what_is_no_file():
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    Path("gone").symlink_to("nowhere")
    os.mkdir("folder")
    for name in (
        "pipe",
        "folder",
        "loop",
        "gone",
        "no\0name",
        "x" * 300,
        "/dev/zero",
        "missing",
        "",
    ):
        with pytest.raises(ConfigError) as caught:
            read_config(name)
        one_sentence(caught.value)


SOUP = [*"[]{}:,-?&*!|>'\"%@`#\n\t \\~", "model: x\n", "data:\n  ", "- ", "a: b", "---", "..."]
SOUP += ["!!int ", "&a ", "*a", "<<: ", "\r", "\u2028", "\u00a0", "é", "1e5", ".inf", "0x1"]


@given(st.lists(st.sampled_from(SOUP), max_size=30))
@settings(150)
def test_any_soup_of_yaml_is_refused_or_read(parts):
    require_sound(read(written(Path.cwd(), "".join(parts).encode())), parts)


@given(st.binary(max_size=60), st.integers(0, len(GOOD)))
@settings(80)
def test_damaged_files(noise, place):
    require_sound(
        read(written(Path.cwd(), GOOD[:place] + noise + GOOD[place + len(noise) :])), noise
    )


# -- places ---------------------------------------------------------------------------------------


def test_an_output_that_would_overwrite_what_is_read_is_refused():
    os.makedirs("base/model")
    os.makedirs("run/model")
    Path("data.jsonl").write_text("{}\n")
    Path("run/metrics.jsonl").write_text("{}\n")
    Path("link").symlink_to("run/model")
    refused = [
        {"output": "base", "model": "base"},
        {"output": "./base/../base", "model": "base"},
        {"output": "base", "model": "base/model"},
        {"output": "run", "model": "link"},
        {"output": "run", "data": {"path": "run/metrics.jsonl"}},
        {"output": "data.jsonl", "data": {"path": "data.jsonl"}},
    ]
    for changes in refused:
        said = read(written(Path.cwd(), base(**changes)))
        assert isinstance(said, str), changes
        assert "would overwrite" in said
    for changes in ({"output": ".", "model": "base"}, {"output": "base/out", "model": "base"}):
        assert not isinstance(read(written(Path.cwd(), base(**changes))), str)


def test_paths_at_home_are_written_out(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    changes = {"model": "~/m", "output": "~/out", "data": {"path": "~/d.jsonl"}}
    config = read_config(written(Path.cwd(), base(**changes)))
    found = (config.model, config.output, config.data.path)
    assert found == ("/home/someone/m", "/home/someone/out", "/home/someone/d.jsonl")
    said = read(written(Path.cwd(), base(model="~nobody-here/m")))
    assert "no such home folder" in said

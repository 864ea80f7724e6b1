"""`dagame sample` with the embedded model: killed runs, partial files, columns, revisions, `solve`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import commandline
import numpy as np
import pytest
from forks import TRAINING

pytest.importorskip("trl")

import dagame as dg
from dagame.errors import ConfigError, DagameError, GenerationError, OutputError, SamplesError
from dagame.lm.engines.base import finish_reason
from dagame.lm.engines.in_process import TransformersEngine
from dagame.lm.engines.partial import Partial
from dagame.lm.engines.questions import prompts_of, templates_of
from dagame.lm.engines.revision import revision_of
from dagame.lm.engines.sampling_run import sample_to
from dagame.lm.tiny.llama import WEIGHTS
from dagame.lm.tiny.problems import extract, rows

OPTIONS = {"samples": 4, "seed": 3, "max_new_tokens": 24}
COLUMNS = ("--prompt", "prompt", "--class", "class_id", "--context", "member_id")


def write(path, records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return str(path)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    found = [row | {"extra": {"n": [1, 2]}} for row in rows("test", 4)]
    return write(tmp_path_factory.mktemp("questions") / "q.jsonl", found)


@pytest.fixture(scope="module")
def engine():
    return TransformersEngine(str(WEIGHTS), 24, chat=False, batch_size=8)


@pytest.fixture(scope="module")
def prompts(questions):
    return prompts_of(questions, "prompt", "class_id", "member_id")


def test_a_killed_run_ends_with_the_same_file(tmp_path, questions):
    command = ["sample", WEIGHTS, questions, *COLUMNS, "--samples", 4]
    command += ["--max-new-tokens", 24, "--batch-size", 8, "--out"]
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    partial = tmp_path / "killed.jsonl.partial"
    assert commandline.parent(TRAINING).run([*command, killed], torn=5000).killed
    assert not killed.exists()
    assert partial.read_bytes().count(b"\n") > 4
    with partial.open("ab") as stream:
        stream.write(b'[["torn')
    before = partial.read_bytes()
    other = commandline.dagame_lm(*command, killed, "--seed", 1)
    assert other.returncode == 2
    assert "begun with other seed;" in other.stderr
    assert partial.read_bytes() == before
    for out in (killed, whole):
        done = commandline.dagame_lm(*command, out, columns=1000)
        assert done.returncode == 0, done.stderr
        assert f"next: dagame solve {out} --class class --context context\n" in done.stdout
    assert killed.read_bytes() == whole.read_bytes()
    assert not partial.exists()
    lines = whole.read_text().splitlines()
    assert len(lines) == 4 * len(Path(questions).read_text().splitlines())
    assert not list(tmp_path.glob("*.part*"))


def test_the_samples_are_what_solve_reads(tmp_path, engine, prompts):
    found = sample_to(tmp_path / "s.jsonl", engine, prompts, **OPTIONS)
    assert found.prompts == len(prompts) == 32
    read_back = dg.Samples.read(str(tmp_path / "s.jsonl"), "class", "context", extract=extract)
    assert len(read_back.frame) == found.completions == 128
    assert read_back.solve(dg.Coherence(), beta=1.0).summary["unsolved"] == 0


def test_every_row_says_what_it_is(tmp_path, engine, prompts):
    """Log-probabilities by hand, one row at a time, without a cache; columns as they came."""
    import torch

    out = tmp_path / "s.jsonl"
    told = []
    sample_to(out, engine, prompts, progress=lambda *n: told.append(n), **OPTIONS)
    assert told == [(k, 32) for k in range(0, 33, 2)]
    tokenizer, end = engine.tokenizer, engine.tokenizer.eos_token_id
    for k, row in enumerate(read(out)):
        source = prompts[k // 4]
        assert {name: row[name] for name in source} == source
        assert source["extra"] == {"n": [1, 2]}
        assert (row["sample"], row["seed"], row["model"]) == (k % 4, 3, str(WEIGHTS))
        assert row["revision"] == revision_of(str(WEIGHTS))
        ids = tokenizer(row["prompt"])["input_ids"]
        tokens = tokenizer(row["completion"])["input_ids"]
        tokens = [t for t in tokens if t != end] + [end] * (row["finish_reason"] == "stop")
        assert row["tokens"] == len(tokens)
        with torch.no_grad():
            log_p = engine.network(torch.tensor([ids + tokens])).logits[0].double().log_softmax(-1)
        by_hand = sum(float(log_p[len(ids) - 1 + t, token]) for t, token in enumerate(tokens))
        assert row["log_probability"] == pytest.approx(by_hand, abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batches_change_no_completion(tmp_path, engine, prompts, batch_size):
    other = TransformersEngine(str(WEIGHTS), 24, chat=False, batch_size=batch_size)
    found = []
    for name, made in (("a", engine), ("b", other)):
        sample_to(tmp_path / f"{name}.jsonl", made, prompts, **OPTIONS)
        found.append(read(tmp_path / f"{name}.jsonl"))
    assert [r["completion"] for r in found[0]] == [r["completion"] for r in found[1]]
    sums = [np.array([r["log_probability"] for r in f]) for f in found]
    np.testing.assert_allclose(*sums, atol=1e-4)


def test_parquet_by_suffix(tmp_path, engine, prompts):
    import polars as pl

    sample_to(tmp_path / "o.parquet", engine, prompts[:2], **OPTIONS)
    sample_to(tmp_path / "o.jsonl", engine, prompts[:2], **OPTIONS)
    assert pl.read_parquet(tmp_path / "o.parquet").to_dicts() == read(tmp_path / "o.jsonl")
    mixed = [prompts[0] | {"c": 1}, prompts[1] | {"c": "one"}]
    with pytest.raises(OutputError, match="no column of a table"):
        sample_to(tmp_path / "m.parquet", engine, mixed, **OPTIONS)


def test_a_chat_is_read_as_the_template_writes_it(tmp_path, engine, prompts):
    folder = tmp_path / "chats"
    shutil.copytree(WEIGHTS, folder)
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    chats = TransformersEngine(str(folder), 24, chat=True, batch_size=8)
    texts = [row["prompt"] for row in prompts[:2]]
    chats.check(texts)
    assert chats.complete(texts, 4, [1, 2]) == engine.complete(texts, 4, [1, 2])


# -- the partial file -----------------------------------------------------------------------------


class Stopped(Exception):
    pass


def stopped_at(count):
    def progress(done, _all):
        if done == count:
            raise Stopped

    return progress


def begun(out, engine, prompts, count=8):
    with pytest.raises(Stopped):
        sample_to(out, engine, prompts, progress=stopped_at(count), **OPTIONS)
    return out.with_name(out.name + ".partial")


def test_a_resumed_run_goes_on_where_it_was(tmp_path, engine, prompts):
    out, told = tmp_path / "s.jsonl", []
    begun(out, engine, prompts)
    sample_to(out, engine, prompts, progress=lambda *n: told.append(n), **OPTIONS)
    assert told[0] == (8, 32)


def test_a_batch_that_was_half_written_is_drawn_anew(tmp_path, engine, prompts):
    """So that a run that goes on has the batches, and the rounding, of one that was never killed."""
    whole, out = tmp_path / "w.jsonl", tmp_path / "s.jsonl"
    sample_to(whole, engine, prompts, **OPTIONS)
    partial = begun(out, engine, prompts)
    lines = partial.read_bytes().splitlines(keepends=True)
    partial.write_bytes(b"".join(lines[:-1]) + lines[-1][:-20])
    told = []
    sample_to(out, engine, prompts, progress=lambda *n: told.append(n), **OPTIONS)
    assert told[0] == (6, 32)
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"samples": 5}, "samples"),
        ({"seed": 4}, "seed"),
        ({"max_new_tokens": 23}, "max_new_tokens"),
        ({"chat": True}, "chat"),
    ],
)
def test_a_partial_file_of_other_settings_is_refused_and_kept(
    tmp_path, engine, prompts, change, named
):
    partial = begun(tmp_path / "s.jsonl", engine, prompts)
    before = partial.read_bytes()
    with pytest.raises(GenerationError, match=f"begun with other {named};"):
        sample_to(tmp_path / "s.jsonl", engine, prompts, **(OPTIONS | change))
    with pytest.raises(GenerationError, match="begun with other questions;"):
        sample_to(tmp_path / "s.jsonl", engine, prompts[:-1], **OPTIONS)
    assert partial.read_bytes() == before


def test_a_partial_file_of_other_weights_is_refused_and_kept(tmp_path, engine, prompts):
    from safetensors.torch import load_file, save_file

    partial = begun(tmp_path / "s.jsonl", engine, prompts)
    before = partial.read_bytes()
    folder = tmp_path / "model"
    shutil.copytree(WEIGHTS, folder)
    assert revision_of(str(folder)) == engine.revision
    weights = load_file(folder / "model.safetensors")
    name = next(iter(weights))
    weights[name] = weights[name] + 1e-6
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    other = TransformersEngine(str(folder), 24, chat=False, batch_size=8)
    with pytest.raises(GenerationError, match="begun with other model, revision;"):
        sample_to(tmp_path / "s.jsonl", other, prompts, **OPTIONS)
    assert partial.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"my own notes",
        b"my own notes\n",
        b'{"a": 1}\n',
        b"[1, 2]\n",
        b"\xff\xfe\n",
        b"\n",
        b"null\n",
    ],
)
def test_a_foreign_file_in_its_place_is_refused_and_kept(tmp_path, engine, prompts, content):
    partial = tmp_path / "s.jsonl.partial"
    partial.write_bytes(content)
    with pytest.raises(GenerationError, match="is no file of `dagame sample`"):
        sample_to(tmp_path / "s.jsonl", engine, prompts, **OPTIONS)
    assert partial.read_bytes() == content


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[:10] + b"\n",
        lambda line: b"[]\n",
        lambda line: b"[[1, 2, 3, 4]]\n",
        lambda line: json.dumps(json.loads(line)[:-1]).encode() + b"\n",
        lambda line: line.replace(b'"stop"', b"7").replace(b'"length"', b"7"),
    ],
)
def test_a_damaged_line_is_refused_and_kept(tmp_path, engine, prompts, damage):
    partial = begun(tmp_path / "s.jsonl", engine, prompts)
    lines = partial.read_bytes().splitlines(keepends=True)
    lines[2] = damage(lines[2])
    partial.write_bytes(b"".join(lines))
    with pytest.raises(GenerationError, match="line 3, is not 4 completions"):
        sample_to(tmp_path / "s.jsonl", engine, prompts, **OPTIONS)
    assert partial.read_bytes() == b"".join(lines)


def test_more_lines_than_prompts_are_refused(tmp_path, engine, prompts):
    partial = begun(tmp_path / "s.jsonl", engine, prompts)
    lines = partial.read_bytes().splitlines(keepends=True)
    content = b"".join([*lines, *lines[1:] * 4])
    partial.write_bytes(content)
    with pytest.raises(GenerationError, match="line 34,"):
        sample_to(tmp_path / "s.jsonl", engine, prompts, **OPTIONS)
    assert partial.read_bytes() == content


def test_a_second_process_is_refused(tmp_path, engine, prompts):
    out = tmp_path / "s.jsonl"

    def meanwhile(done, _all):
        if done == 8:
            with pytest.raises(OutputError, match="written to by another process"):
                sample_to(out, engine, prompts, **OPTIONS)

    sample_to(out, engine, prompts, progress=meanwhile, **OPTIONS)
    assert len(read(out)) == 128


def test_what_stands_in_a_partial_file_comes_back(tmp_path):
    from dagame.lm.engines.base import Drawn

    path, head = tmp_path / "p", {"seed": 1, "x": None, "deep": {"a": [1, True]}}
    path.touch()
    parts = [[Drawn("a\u2028\n\x85 ü", -1.5, 3, None)], [Drawn("", None, None, "other: filter")]]
    Partial(path, head, 1, 2).add(parts)
    assert Partial(path, head, 1, 2).done == parts


# -- models ---------------------------------------------------------------------------------------


def test_the_revision_of_a_name_on_the_hub_is_its_commit(tmp_path):
    """A cache as the hub's package lays it out, without a network."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = tmp_path / "models--who--tiny"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(commit)
    shutil.copytree(WEIGHTS, place / "snapshots" / commit)
    code = "from dagame.lm.engines.in_process import TransformersEngine as E\n"
    code += "e = E('who/tiny', 4, False, 8); print(e.model, e.revision)"
    env = os.environ | {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["who/tiny", commit], done.stderr


def test_the_revision_of_adapters_is_that_of_their_base_too(tmp_path):
    base, adapters = tmp_path / "base", tmp_path / "adapters"
    shutil.copytree(WEIGHTS, base)
    adapters.mkdir()
    (adapters / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(base)})
    )
    first = revision_of(str(adapters))
    (base / "generation_config.json").write_text("{}")
    assert revision_of(str(adapters)) != first


def test_finish_reasons_are_a_closed_set():
    found = {
        w: finish_reason(w) for w in ("stop", "eos", "LENGTH", "max_tokens", "tool_calls", None)
    }
    assert found == {
        "stop": "stop",
        "eos": "stop",
        "LENGTH": "length",
        "max_tokens": "length",
        "tool_calls": "other: tool_calls",
        None: None,
    }


# -- questions ------------------------------------------------------------------------------------

LANDS = [{"land": "France", "town": "Paris", "n": 1}, {"land": "Italy", "town": "Rome", "n": 2}]
TEMPLATES = ["The capital of {land} is", "Land: {land}. Capital:"]


def test_templates_are_the_contexts(tmp_path):
    found = prompts_of(write(tmp_path / "q.jsonl", LANDS), class_by="land", templates=TEMPLATES)
    assert [(r["class"], r["context"], r["prompt"]) for r in found] == [
        (row["land"], t, t.replace("{land}", row["land"])) for row in LANDS for t in TEMPLATES
    ]
    assert found[0]["town"] == "Paris"
    (tmp_path / "t.txt").write_text("\n".join([TEMPLATES[0], "", TEMPLATES[1]]))
    (tmp_path / "t.json").write_text(json.dumps(TEMPLATES))
    assert templates_of(tmp_path / "t.txt") == templates_of(tmp_path / "t.json") == TEMPLATES


def test_digits_of_a_table_stand_in_the_prompt_as_in_the_file(tmp_path):
    (tmp_path / "q.csv").write_text("code,n\n007,1.50\n")
    found = prompts_of(str(tmp_path / "q.csv"), templates=["Agent {code} paid {n}:"])
    assert found[0]["prompt"] == "Agent 007 paid 1.50:"


def test_contexts_are_numbered_where_no_column_names_them(tmp_path):
    records = [{"p": t.format(**row), "c": row["land"]} for t in TEMPLATES for row in LANDS]
    found = prompts_of(write(tmp_path / "q.jsonl", records), "p", "c")
    assert [(r["class"], r["context"]) for r in found] == [
        ("France", 0), ("Italy", 0), ("France", 1), ("Italy", 1),
    ]  # fmt: skip
    few = prompts_of(write(tmp_path / "q.jsonl", records), "p", "c", limit=1)
    assert [(r["class"], r["context"]) for r in few] == [("France", 0), ("France", 1)]
    alone = prompts_of(write(tmp_path / "q.jsonl", records), "p")
    assert [r["class"] for r in alone] == [0, 1, 2, 3]


def test_a_data_set_by_name(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "lands"
    folder.mkdir()
    write(folder / "test.jsonl", LANDS)
    found = prompts_of(str(folder), class_by="land", templates=TEMPLATES, split="test")
    assert len(found) == 4
    assert found[-1]["town"] == "Rome"
    with pytest.raises(ConfigError, match=r"data set .* cannot be loaded"):
        prompts_of(str(folder), class_by="land", templates=TEMPLATES, split="nowhere")


@pytest.mark.parametrize(
    ("records", "options", "said"),
    [
        (LANDS, {}, "either --prompt COLUMN or --paraphrases"),
        (LANDS, {"prompt": "land", "templates": TEMPLATES}, "either --prompt COLUMN or --par"),
        (LANDS, {"templates": TEMPLATES, "context_by": "n"}, "leave out --context"),
        (LANDS, {"prompt": "lend"}, r"no column 'lend' \(--prompt\); did you mean 'land'"),
        (LANDS, {"prompt": "land", "class_by": "tawn"}, r"\(--class\); did you mean 'town'"),
        (LANDS, {"templates": ["of {lnd}"]}, r"names \{lnd\}; did you mean 'land'"),
        (LANDS, {"templates": ["of {}"]}, r"names \{\}; The columns|names \{\}; the columns"),
        (LANDS, {"templates": ["of {land.upper}"]}, r"names \{land.upper\}; did you mean 'land'"),
        (LANDS, {"templates": ["of {land"]}, "double braces"),
        (LANDS, {"templates": ["of it"]}, "has no {column}"),
        (LANDS, {"templates": ["{land:d}"]}, "row 1: paraphrase '{land:d}' cannot be filled"),
        (LANDS, {"templates": ["{land:{n}x{town}}"]}, "row 1: paraphrase .* cannot be filled"),
        ([*LANDS, {"town": "Oslo"}], {"templates": TEMPLATES}, "row 3: column 'land' holds None"),
        ([*LANDS, {"land": ["x"]}], {"templates": TEMPLATES}, r"row 3: column 'land' holds \['x'\]"),
        ([*LANDS, {"town": ""}], {"prompt": "town"}, "row 3: column 'town' holds '', not a prompt"),
        ([*LANDS, {"n": 3}], {"prompt": "town"}, "row 3: column 'town' holds None, not a prompt"),
        ([*LANDS, {"town": "Oslo"}], {"prompt": "town", "class_by": "land"}, "row 3: column 'land'"),
        ([*LANDS, {"town": "Oslo"}], {"prompt": "town", "context_by": "n"}, "row 3: column 'n'"),
        ([*LANDS, LANDS[0]], {"prompt": "town", "class_by": "land", "context_by": "n"}, "row 3: cl"),
        ([*LANDS, LANDS[0]], {"templates": TEMPLATES, "class_by": "land"}, "row 3: class 'France'"),
        ([{"p": "a", "model": 1}], {"prompt": "p"}, "column 'model', which sampling writes"),
        ([{"p": "a", "class": 1}], {"prompt": "p"}, "column 'class', which sampling writes"),
    ],
)  # fmt: skip
def test_questions_that_are_refused(tmp_path, records, options, said):
    with pytest.raises((SamplesError, ConfigError), match=said):
        prompts_of(write(tmp_path / "q.jsonl", records), **options)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.txt", "\n\n", "has no template"),
        ("t.txt", "a {x}\na {x}\n", "template 'a {x}' twice"),
        ("t.json", "{", "cannot be read"),
        ("t.json", '{"a": 1}', "is no list of texts"),
        ("t.json", "[1]", "is no list of texts"),
    ],
)
def test_templates_that_are_refused(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(SamplesError, match=said):
        templates_of(tmp_path / name)
    with pytest.raises(SamplesError, match="cannot be read"):
        templates_of(tmp_path / "nowhere.txt")


# -- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--temperature", "0.7"], "--temperature is 0.7, but samples are drawn at 1"),
        (["--engine", "magic"], "choose transformers or vllm"),
        (["--engine", "vllm", "--endpoint", "http://x/v1"], "leave --engine out"),
        (["--endpoint", "localhost:8000"], "give a URL such as"),
        (["--endpoint", "http://u:hush@x/v1"], "has a user, a password or parameters"),
        (["--endpoint", "http://x/v1?api-key=hush"], "has a user, a password or parameters"),
        (["--endpoint", "//u:hush@x/v1"], "has a user, a password or parameters"),
        (["--out", "s.txt"], "must be a file that ends in .jsonl or .parquet"),
        (["--chat"], "no chat template"),
        (["--max-new-tokens", "1000000"], "passes the model's"),
    ],
)
def test_what_the_command_refuses(tmp_path, monkeypatch, questions, capsys, more, said):
    from dagame.apps import cli
    from dagame.apps.command import run

    if "--endpoint" in more:
        pytest.importorskip("openai")
    monkeypatch.chdir(tmp_path)
    given = ["dagame", "sample", str(WEIGHTS), questions, *COLUMNS, "--out", "s.jsonl", *more]
    monkeypatch.setattr(sys, "argv", given)
    monkeypatch.setattr("dagame.apps.command._reserve_streams", lambda: None)
    with pytest.raises(SystemExit) as stopped:
        run(cli.app, "dagame")
    told = capsys.readouterr()
    assert stopped.value.code == 2
    assert said in told.err
    assert "hush" not in told.err + told.out
    assert not list(tmp_path.iterdir())


def test_vllm_says_that_it_is_not_installed():
    try:
        import vllm  # noqa: F401
    except ImportError:
        from dagame.lm.engines.vllm_engine import VLLMEngine

        with pytest.raises(DagameError, match="install it, or leave out --engine vllm"):
            VLLMEngine(str(WEIGHTS), 8, chat=False)
    else:
        pytest.skip("vllm is installed; test_sample_vllm.py runs it")


def test_facts_of_a_folder_of_pararel_become_questions_and_templates(tmp_path):
    """A folder laid out as ParaRel's: patterns that do not end in [Y] are no prompts."""
    script = Path(__file__).parents[2] / "examples" / "pararel.py"
    patterns = [
        "The town of [X] is [Y] .",
        "The town of [X] is [Y].",
        "[Y], town of [X].",
        "[X]: [Y]",
    ]
    facts = [{"sub_label": s, "obj_label": o} for s, o in (("A", "a"), ("A", "b"), ("B", "c"))]
    write(tmp_path / "P1_patterns.jsonl", [{"pattern": p} for p in patterns])
    write(tmp_path / "P1_facts.jsonl", facts)
    command = [sys.executable, str(script), str(tmp_path), "P1", "--limit", "2"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    templates = templates_of(tmp_path / "P1.txt")
    assert templates == ["The town of {sub_label} is", "{sub_label}:"]
    found = prompts_of(str(tmp_path / "P1.jsonl"), class_by="sub_label", templates=templates)
    assert [r["prompt"] for r in found] == ["The town of A is", "A:", "The town of B is", "B:"]
    assert [r["obj_label"] for r in found] == ["a", "a", "c", "c"]

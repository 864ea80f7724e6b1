"""`dagame sample --endpoint` against a real server: `transformers serve` with the embedded model."""

from __future__ import annotations

import json
import shutil
import socket
import time
import urllib.error
import urllib.request

import commandline
import numpy as np
import pytest
from forks import TRAINING

pytest.importorskip("trl")
pytest.importorskip("openai", reason="openai, the client, is not installed")
pytest.importorskip("fastapi", reason="fastapi, of `transformers serve`, is not installed")
pytest.importorskip("uvicorn", reason="uvicorn, of `transformers serve`, is not installed")

from dagame.errors import GenerationError
from dagame.lm.engines.questions import prompts_of
from dagame.lm.engines.sampling_run import sample_to
from dagame.lm.engines.server import EndpointEngine
from dagame.lm.tiny.llama import WEIGHTS
from dagame.lm.tiny.problems import rows

SECONDS = 180
"""How long the server may take to start."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The embedded model with a chat template that adds nothing."""
    folder = tmp_path_factory.mktemp("served") / "model"
    shutil.copytree(WEIGHTS, folder)
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    return str(folder)


@pytest.fixture(scope="module")
def url(tmp_path_factory, weights):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["serve", weights, "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    folder, call = tmp_path_factory.mktemp("server"), "transformers.cli.transformers:main"
    with commandline.parent(TRAINING).going_on(command, call=call, folder=folder) as alive:
        for _ in range(SECONDS * 10):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert alive(), (folder / "errors").read_text()
                time.sleep(0.1)
        else:
            pytest.fail(f"the server did not start: {(folder / 'errors').read_text()}")
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    path = tmp_path_factory.mktemp("questions") / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows("test", 2)))
    return str(path)


@pytest.fixture(scope="module")
def prompts(questions):
    return prompts_of(questions, "prompt", "class_id", "member_id")


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def made(weights):
    def make(url, **changes):
        return EndpointEngine(url=url, **(options | changes))

    options = {"model": weights, "max_new_tokens": 24, "chat": False, "concurrent": 4}
    return make


def test_what_the_server_knows_is_found_out_and_said(made, url, prompts, tmp_path):
    """It has neither n nor log-probabilities, and refuses the words of other servers."""
    engine = made(url)
    engine.check([row["prompt"] for row in prompts])
    assert (engine.together, engine.log_probs, engine.revision) == (False, False, None)
    assert "generation_config" in engine.options["extra_body"]
    assert any("told to sample" in note for note in engine.notes)
    assert any("no log-probabilities" in note for note in engine.notes)
    sample_to(tmp_path / "s.jsonl", engine, prompts[:3], samples=5, seed=0, max_new_tokens=24)
    found = read(tmp_path / "s.jsonl")
    assert [(r["prompt"], r["sample"]) for r in found] == [
        (row["prompt"], k) for row in prompts[:3] for k in range(5)
    ]
    assert all(r["log_probability"] is None and r["revision"] is None for r in found)
    assert {r["finish_reason"] for r in found} == {"stop"}
    assert all(r["tokens"] == len(r["completion"].split()) + 1 for r in found)


def test_a_chat_is_asked_as_a_users_message(made, url, prompts):
    """One seed, one request at a time: the text of the chat is the prompt, so its completion is too."""
    plain, chat = (made(url, chat=chat, concurrent=1) for chat in (False, True))
    texts = [row["prompt"] for row in prompts[:2]]
    found = []
    for engine in (plain, chat):
        engine.check(texts)
        found.append(engine.complete(texts, 3, [5, 6]))
    assert found[0] == found[1]


def test_completions_are_cut_where_asked(made, url, prompts, tmp_path):
    engine = made(url, max_new_tokens=3)
    engine.check([prompts[0]["prompt"]])
    sample_to(tmp_path / "s.jsonl", engine, prompts[:2], samples=2, seed=0, max_new_tokens=3)
    assert {(r["finish_reason"], r["tokens"]) for r in read(tmp_path / "s.jsonl")} == {
        ("length", 3)
    }


def test_the_server_samples_the_model_itself(made, url):
    """The mean of log pi of its completions is the model's own; that of greedy ones is larger."""
    import torch

    from dagame.lm import tiny
    from dagame.lm.models.sample import generate

    asked, many = [row["prompt"] for row in rows("test", 3)], 240
    model, tokenizer = tiny.load()
    first = generate(model, tokenizer, asked, 64, max_new_tokens=24, seed=0).log_prob
    apart = (first.max(-1) - first.mean(-1)) / first.std(-1)
    prompt = asked[int(apart.argmax())]  # where greedy and sampled completions differ most
    engine = made(url)
    engine.check([prompt])
    (drawn,) = engine.complete([prompt], many, [7])
    ids = tokenizer(prompt)["input_ids"]
    found = np.empty(many)
    for k, one in enumerate(drawn):
        tokens = tokenizer(one.completion)["input_ids"]
        tokens = [t for t in tokens if t != tokenizer.eos_token_id] + [tokenizer.eos_token_id]
        with torch.no_grad():
            log_p = model(torch.tensor([ids + tokens])).logits[0].double().log_softmax(-1)
        found[k] = sum(float(log_p[len(ids) - 1 + t, token]) for t, token in enumerate(tokens))
    own = generate(model, tokenizer, [prompt], 4000, max_new_tokens=24, seed=1).log_prob[0]
    error = np.hypot(own.std() / np.sqrt(len(own)), own.std() / np.sqrt(many))
    assert abs(found.mean() - own.mean()) < 4.5 * error
    assert own.max() - own.mean() > 9 * error  # what a greedy server would differ by


def test_a_killed_run_ends_with_the_same_file(url, weights, questions, tmp_path):
    """With one request at a time, as this server has one random state for all."""
    command = ["sample", weights, questions, "--endpoint", url, "--prompt", "prompt"]
    command += [
        "--class",
        "class_id",
        "--samples",
        3,
        "--concurrent",
        1,
        "--max-new-tokens",
        24,
        "--out",
    ]
    env = {"OPENAI_API_KEY": "sk-hush"}
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    partial = tmp_path / "killed.jsonl.partial"
    parent = commandline.parent(TRAINING)
    assert parent.run([*command, killed], env=env, torn=2000).killed
    assert partial.read_bytes().count(b"\n") > 2
    for out in (killed, whole):
        done = commandline.dagame_lm(*command, out, env=env, columns=1000)
        assert done.returncode == 0, done.stderr
        assert f"next: dagame solve {out}" in done.stdout
        assert "hush" not in done.stdout + done.stderr + out.read_text()
    assert killed.read_bytes() == whole.read_bytes()


def test_what_the_server_refuses_is_one_sentence(made, url, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "pinned")  # a word of the server's own answer
    with pytest.raises(GenerationError, match=r"no completion: Error code: 400.*requested 'other'"):
        made(url, model="other").check(["x"])
    with pytest.raises(GenerationError, match=r"Server is \*\*\* to"):
        made(url, model="other").check(["x"])
    engine = made(url.removesuffix("/v1") + "/nowhere")
    with pytest.raises(GenerationError, match="Error code: 404"):
        engine.check(["x"])


def test_a_server_that_is_not_there(made, monkeypatch):
    monkeypatch.setattr("dagame.lm.engines.server.RETRIES", 0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(GenerationError, match="no completion: Connection error"):
            made(url).check(["x"])

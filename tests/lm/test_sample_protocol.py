"""What a server may answer by the OpenAI protocol, beyond what `transformers serve` does.

The answers are written down here, as vLLM's documentation has them; they come by HTTP through `openai`.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("openai", reason="openai, the client, is not installed")

from dagame.errors import GenerationError
from dagame.lm.engines.base import Drawn
from dagame.lm.engines.server import EndpointEngine


class Server(ThreadingHTTPServer):
    """Answers by `self.answer(body)` -> (status, object), and keeps what was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body)
        status, found = self.server.answer(body)
        data = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def engine_of(server, chat=False):
    return EndpointEngine("m", f"http://127.0.0.1:{server.server_port}/v1", 8, chat, 4)


def as_vllm(chat, reasons=("stop", "length", None, "content_filter"), lost=0):
    """n completions of as many tokens as their number, each of log-probability -0.5."""

    def answer(body):
        if "generation_config" in body:
            return 400, {"error": {"message": "unknown field"}}
        choices = []
        for k in range(body.get("n", 1)):
            text, tokens = f"{body['seed']}-{k}", min(k + 1, body["max_tokens"])
            kept = [-0.5] * (tokens - lost)
            found = {"index": k, "finish_reason": reasons[k % len(reasons)]}
            if chat:
                content = [{"token": "x", "logprob": v, "top_logprobs": []} for v in kept]
                found |= {"message": {"role": "assistant", "content": text or None}}
                found |= {"logprobs": {"content": content}}
            else:
                found |= {"text": text, "logprobs": {"token_logprobs": kept, "tokens": []}}
            choices.append(found)
        total = sum(min(k + 1, body["max_tokens"]) for k in range(len(choices)))
        usage = {"prompt_tokens": 1, "completion_tokens": total, "total_tokens": 1 + total}
        return 200, {
            "id": "1",
            "object": "o",
            "created": 1,
            "model": "m",
            "choices": choices,
            "usage": usage,
        }

    return answer


@pytest.mark.parametrize("chat", [False, True])
def test_a_server_with_n_and_log_probabilities_is_asked_once_for_a_prompt(server, chat):
    server.answer = as_vllm(chat)
    engine = engine_of(server, chat)
    engine.check(["a", "b"])
    assert engine.together
    assert not any("no log-probabilities" in note for note in engine.notes)
    server.asked.clear()
    found = engine.complete(["a", "b"], 4, [1, 2])
    assert len(server.asked) == 2
    for body in server.asked:
        assert (body["temperature"], body["top_p"], body["top_k"], body["min_p"]) == (1, 1, -1, 0)
        assert (body["repetition_penalty"], body["n"], body["max_tokens"]) == (1, 4, 8)
    seeds = sorted(body["seed"] for body in server.asked)
    assert sorted(part[0].completion.split("-")[0] for part in found) == sorted(map(str, seeds))
    reasons = ["stop", "length", None, "other: content_filter"]
    for part in found:
        assert [d.log_probability for d in part] == [-0.5, -1.0, -1.5, -2.0]
        assert [d.tokens for d in part] == [1, 2, 3, 4]
        assert [d.finish_reason for d in part] == reasons


def test_log_probabilities_that_miss_a_token_are_left_out(server):
    """One request a completion, so that the server's own count of tokens is known."""

    def answer(body):
        status, found = as_vllm(False)(body | {"n": 1})
        found["usage"]["completion_tokens"] = 2
        return status, found

    server.answer = answer
    engine = engine_of(server)
    engine.check(["a"])
    assert (engine.log_probs, engine.together) == (True, False)
    (found,) = engine.complete(["a"], 3, [1])
    assert [(d.log_probability, d.tokens) for d in found] == [(None, 2)] * 3
    assert len({d.completion for d in found}) == 3


def test_a_server_that_knows_only_the_protocol_is_named_as_such(server):
    known = {"model", "prompt", "seed", "max_tokens", "temperature", "top_p"}

    def answer(body):
        if set(body) - known:
            return 422, {"detail": "unknown"}
        status, found = as_vllm(False)(body)
        del found["choices"][0]["logprobs"], found["usage"]
        return status, found

    server.answer = answer
    engine = engine_of(server)
    engine.check(["a"])
    assert any("what it sets itself is not known" in note for note in engine.notes)
    assert any("does not count tokens" in note for note in engine.notes)
    (found,) = engine.complete(["a"], 2, [1])
    assert all(d == Drawn(d.completion, None, None, "stop") for d in found)


def test_a_server_without_n_still_leaves_its_own_settings_off(server):
    def answer(body):
        if "n" in body or "logprobs" in body or "generation_config" in body:
            return 400, {"error": {"message": "unknown field"}}
        return as_vllm(False)(body)

    server.answer = answer
    engine = engine_of(server)
    engine.check(["a"])
    engine.complete(["a"], 2, [1])
    assert server.asked[-1]["top_k"] == -1


def test_a_busy_server_is_asked_again_and_a_silent_one_is_not_believed(server):
    answers = as_vllm(False)
    refusals = iter([(429, {"error": {"message": "later"}})])
    server.answer = lambda body: next(refusals, None) or answers(body)
    engine = engine_of(server)
    engine.check(["a"])
    server.answer = lambda body: (200, {**answers(body)[1], "choices": []})
    with pytest.raises(GenerationError, match="without a completion"):
        engine.complete(["a"], 2, [1])
    server.answer = lambda body: answers(body | {"n": 1})
    with pytest.raises(GenerationError, match="gave 1 completions where 2 were asked for"):
        engine.complete(["a"], 2, [1])


def test_a_key_that_the_server_repeats_is_not_shown(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hush")
    server.answer = lambda _body: (401, {"error": {"message": "the key sk-hush is wrong"}})
    with pytest.raises(GenerationError, match=r"the key \*\*\* is wrong") as found:
        engine_of(server).check(["a"])
    assert "hush" not in str(found.value)

"""What strangers send is bounded before it is worked on, and what clients may ask is said."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from luban.core import registry
from luban.core.contracts import Task
from luban.inference.predictor import Predictor
from luban.serving.route import Limits
from luban.serving.server import Server
from tests.inference.toy import Counter, Counting
from tests.serving.running import metric, scripted, serving, until
from tests.serving.test_chat import chatting

COMPLETIONS = "/v1/completions"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(chatting(scripted("abc")), limits=Limits(prompt_tokens=1000)) as running:
        yield running


def post(server: Server, path: str, body: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    return httpx.post(
        server.url + path, content=content, headers=headers, trust_env=False, timeout=30
    )


@pytest.mark.parametrize(
    ("asked", "param", "code"),
    [
        ({"prompt": "a" * 1_000_000}, "prompt", "context_length_exceeded"),
        ({"prompt": "a" * 1001}, "prompt", "context_length_exceeded"),
        ({"prompt": [1] * 1001}, "prompt", "context_length_exceeded"),
        ({"prompt": ["a"] * 100_000}, "prompt", None),
        ({"prompt": "a", "n": 10**9}, "n", None),
        ({"prompt": "a", "stop": "b" * 16_000}, "stop", None),
        ({"prompt": "a", "stop": ["b"] * 17}, "stop", None),
        ({"prompt": "a", "n": 64, "max_tokens": 4096, "logprobs": 20}, "logprobs", None),
        ({"prompt": "a", "repetition_penalty": 1e-40}, "repetition_penalty", None),
        ({"prompt": "a", "seed": 10**30}, "seed", None),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_too_much_is_refused_at_once(
    server: Server, asked: dict[str, Any], param: str, code: str | None
) -> None:
    start = time.process_time()
    answer = post(server, COMPLETIONS, {"model": "tiny", **asked})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == (param, code)
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize(
    "content", ["a" * 1_000_000, "a" * 1001, [{"type": "text", "text": "a" * 1001}]], ids=len
)
def test_a_conversation_that_is_too_long_has_a_code(server: Server, content: Any) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": content}]}
    error = post(server, "/v1/chat/completions", body).json()["error"]
    assert (error["param"], error["code"]) == ("messages", "context_length_exceeded")


@pytest.mark.parametrize("temperature", [1e-5, 1e-10, 1e-40, 1e-46, 5e-324])
def test_low_temperatures_take_the_likeliest(server: Server, temperature: float) -> None:
    body = {"model": "tiny", "prompt": "x", "max_tokens": 3, "temperature": temperature}
    answer = post(server, COMPLETIONS, body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["text"] == "abc"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "tiny", "model": "tiny", "prompt": "a"}',
        b'{"model": "tiny", "prompt": "\\ud800"}',
        b'{"model": "tiny", "prompt": ' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"model": "tiny", "prompt": "a", "temperature": 1e999}',
        b'{"model": "tiny", "prompt": "a", "seed": ' + b"9" * 5000 + b"}",
        b"{" + b",".join(b'"%d": 1' % number for number in range(20_000)) + b"}",
    ],
    ids=lambda body: str(body[:40]),
)
def test_json_has_one_meaning(server: Server, body: bytes) -> None:
    answer = post(server, COMPLETIONS, body)
    assert answer.status_code == 400
    assert "not valid JSON" in answer.json()["error"]["message"]


def test_a_path_goes_nowhere_else(server: Server) -> None:
    answer = httpx.get(
        f"{server.url}/v1/models/",
        headers={"host": "[bad"},
        trust_env=False,
        follow_redirects=False,
    )
    assert answer.status_code == 404


def test_a_head_that_does_not_end_is_given_up() -> None:
    with serving(scripted("abc"), limits=Limits(idle_seconds=0.2)) as server:
        with _connected(server) as raw:
            raw.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
            answer = b"".join(iter(lambda: raw.recv(4096), b""))
        assert b" 408 " in answer
        with _connected(server) as silent:
            assert silent.recv(4096) == b""


def test_a_large_head_is_refused(server: Server) -> None:
    with _connected(server) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000)
        answer = b"".join(iter(lambda: raw.recv(4096), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 431 " in head
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


def test_a_client_that_does_not_read_is_hung_up_on() -> None:
    """Its answer of 12 MB is larger than what the two ends can hold for it."""
    limits = Limits(idle_seconds=0.5, choices=400)
    with serving(scripted("a"), limits=limits) as server:
        body = {"model": "tiny", "prompt": "x" * 30_000, "max_tokens": 0, "echo": True, "n": 400}
        with _connected(server, receive=2048) as raw:
            raw.sendall(_request(COMPLETIONS, json.dumps(body).encode()))
            done = {"route": COMPLETIONS, "status": "200"}
            until(lambda: metric(server, "luban_requests_total", done) == 1, 20)
            until(lambda: not server.server_state.connections, 20)
            assert len(b"".join(iter(lambda: _received(raw), b""))) < 12_000_000


def test_announced_bodies_take_no_room() -> None:
    """Idle clients that announce large bodies shut nobody out."""
    limits = Limits(held_bytes=100_000, body_bytes=50_000)
    with serving(scripted("abc"), limits=limits) as server:
        idle = [_connected(server) for _ in range(60)]
        head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n{"
        for one in idle:
            one.sendall(head)
        until(lambda: metric(server, "luban_requests_in_flight") == 61)
        body = {"model": "tiny", "prompt": "x", "max_tokens": 3, "temperature": 0}
        assert post(server, COMPLETIONS, body).status_code == 200
        for one in idle:
            one.close()


def test_a_client_with_many_connections_makes_room() -> None:
    with serving(scripted("abc"), limits=Limits(connections=20)) as server:
        idle = [_connected(server) for _ in range(40)]
        answer = httpx.get(f"{server.url}/v1/models", trust_env=False)
        assert answer.status_code == 200
        assert len(server.server_state.connections) <= 21
        for one in idle:
            one.close()


def test_connections_that_are_all_at_work_are_not_cut() -> None:
    with serving(scripted("abc"), limits=Limits(connections=4)) as server:
        head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\n{"
        busy = [_connected(server) for _ in range(4)]
        for one in busy:
            one.sendall(head)
        until(lambda: server.service.in_flight == 4)
        answer = httpx.get(f"{server.url}/v1/models", trust_env=False)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "service_unavailable"
        assert httpx.get(f"{server.url}/health", trust_env=False).status_code == 200
        for one in busy:
            one.close()


@pytest.mark.parametrize("name", registry.names("tasks"))
def test_what_a_request_may_set_is_bounded(name: str) -> None:
    task = registry.load("tasks", name, Task)  # type: ignore[type-abstract]
    for field, (least, most) in task.adjustable.items():
        assert float("-inf") < least < most < float("inf"), field
        assert field in task.model_fields


def test_a_long_text_of_a_record_is_refused() -> None:
    limits = Limits(record_characters=100)
    with serving(Predictor(Counting(), Counter()), limits=limits) as server:
        answer = post(server, "/v1/tasks/toy", {"inputs": [{"text": "a" * 101}]})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "inputs[0].text"
        assert post(server, "/v1/tasks/toy", {"inputs": [{"text": "a" * 100}]}).status_code == 200


def test_a_prediction_that_takes_too_long_ends() -> None:
    """The worker is free again when its client has got its 503: not when the work is done."""
    module = _Slow()
    with serving(Predictor(Counting(), module), limits=Limits(seconds=0.3)) as server:
        answer = post(server, "/v1/tasks/toy", {"inputs": [{"text": "a"}]})
        assert answer.status_code == 503
        until(lambda: module.ended, 5)


class _Slow(Counter):
    """Takes ten seconds, in many layers."""

    def __init__(self) -> None:
        super().__init__()
        import torch

        self.layer, self.ended = torch.nn.Identity(), False

    def forward(self, *args: Any, **inputs: Any) -> Any:
        try:
            for _ in range(1000):
                self.layer(0)
                time.sleep(0.01)
        finally:
            self.ended = True
        return super().forward(*args, **inputs)


def _connected(server: Server, receive: int = 0) -> socket.socket:
    made = socket.socket()
    if receive:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    made.settimeout(30)
    made.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
    return made


def _received(raw: socket.socket) -> bytes:
    try:
        return raw.recv(1 << 20)
    except ConnectionResetError:
        return b""


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

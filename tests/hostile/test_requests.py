"""Requests of strangers: generated from the schemas, made hostile, and written by hand.

None ends in a status of 5xx but 503, in an error that is not OpenAI's, or in a traceback; and
afterwards the server answers as before.
"""

from __future__ import annotations

import base64
import json
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from luban.core.contracts import Example, Record
from luban.data.media.audio import decode
from luban.inference.predictor import Predictor
from luban.serving.app import create_app
from luban.serving.route import Limits, Service
from luban.serving.server import Server
from tests.hostile.requests_by_hand import Target, hostile, request
from tests.inference.toy import Counter as Toy
from tests.inference.toy import Counting
from tests.inference.toy_media import Hearing, Nothing, Seeing, picture
from tests.serving.running import serving, tiny_gpt
from tests.serving.test_audio import WAV
from tests.serving.test_chat import chatting
from tests.serving.test_images import MAKER

LIMITS = Limits(max_tokens=8, choices=4, idle_seconds=0.4, seconds=20, upload_bytes=4_000_000)


class Listening(Hearing):
    """Decodes what it hears, as a recogniser does."""

    def encode_input(self, record: Record) -> Example:
        waves = decode(self.media(record), 16_000, max_seconds=30.0)
        return {"numbers": np.array([len(waves)])}


Listening.__module__ = Hearing.__module__  # a task is called as its file is
MODELS: dict[str, Callable[[], Any]] = {
    "text": lambda: chatting(tiny_gpt()),
    "records": lambda: Predictor(Counting(), Toy()),
    "images": lambda: Predictor(Seeing(), Nothing()),
    "speech": lambda: Predictor(Listening(), Nothing()),
    "maker": lambda: MAKER,
}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


TARGETS = {
    "text": Target("/v1/completions", b'{"model": "tiny", "prompt": "a", "max_tokens": 2}'),
    "records": Target("/v1/tasks/toy", b'{"inputs": {"text": "a"}}'),
    "images": Target(
        "/v1/tasks/toy-media",
        json.dumps({"inputs": {"image": _base64(picture())}}).encode(),
        "image",
    ),
    "speech": Target(
        "/v1/tasks/toy-media", json.dumps({"inputs": {"audio": _base64(WAV)}}).encode(), "audio"
    ),
}
#: What takes the place of a field of a generated request.
HOSTILE: list[Any] = [
    "\ud800", "a" * 50_000, "\ue000\U000f0000", "<|endoftext|>" * 100, "\x00", 1e-40, 5e-324,
    1e308, float("nan"), float("inf"), -1, 0, 2**31, 2**63, 10**30, True, None, [], {},
    ["a"] * 10_000, [1] * 10_000, [[[[[]]]]], [{}] * 1000, {"a" * 1000: 1}, ["\ud800"],
]  # fmt: skip


@dataclass
class Told:
    """What a number of requests was answered with."""

    statuses: Counter[int] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")

    def note(self, status: int, body: bytes, seconds: float, what: str) -> None:
        self.statuses[status] += 1
        self.slowest = max(self.slowest, (seconds, what))
        assert status < 500 or status == 503, f"{what}: {status} {body[:300]!r}"
        if status >= 400 and body:
            assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}, what


def generated(name: str, each: int) -> Told:
    """Send so many requests to each operation of an API, half of them with a hostile field."""
    app, told = create_app(Service(model=MODELS[name](), name="tiny", limits=LIMITS)), Told()

    async def lasting(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for _ in range(2):
            await send({"type": f"{(await receive())['type']}.complete"})

    api = schemathesis.openapi.from_asgi("/openapi.json", lasting)
    for found in api.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]
        _send_all(operation, each, told)
    return told


def _send_all(operation: Any, each: int, told: Told) -> None:
    @settings(
        max_examples=each,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), data=st.data())
    def send(case: Any, data: st.DataObject) -> None:
        if isinstance(case.body, dict) and case.media_type == "application/json":
            _spoil(case, data)
        start = time.perf_counter()
        answer = case.call()
        what = f"{case.method} {case.path} {str(case.body)[:300]}"
        told.note(answer.status_code, answer.content, time.perf_counter() - start, what)

    send()


def _spoil(case: Any, data: st.DataObject) -> None:
    body: dict[str, Any] = {**case.body}
    if isinstance(body.get("model"), str):
        body["model"] = "tiny"
    spoiled: bool = data.draw(st.booleans())
    if body and spoiled:
        body[data.draw(st.sampled_from(sorted(body)))] = data.draw(st.sampled_from(HOSTILE))
    case.body = json.dumps(body).encode()
    case.headers = {**(case.headers or {}), "Content-Type": "application/json"}


def by_hand(name: str, every: int) -> Told:
    """Send each ``every``-th hostile request over a socket of its own."""
    told, target = Told(), TARGETS[name]
    with serving(MODELS[name](), limits=LIMITS) as server:
        valid = request(target, target.body)
        chosen = list(hostile(target))[::every]
        with ThreadPoolExecutor(4) as pool:
            talks = pool.map(lambda pair: _timed(server, pair[1]), chosen)
            for (what, _), (said, seconds) in zip(chosen, talks, strict=True):
                for status, body in _answers(said):
                    told.note(status, body, seconds, what)
        assert told.statuses.total() > 0.7 * len(chosen), "hung up on without a word"
        with _many(server, target):
            assert httpx.get(f"{server.url}/health", trust_env=False).status_code == 200
        assert next(_answers(_talk(server, valid)))[0] == 200, "the server answers as before"
    return told


def _timed(server: Server, content: bytes) -> tuple[bytes, float]:
    start = time.perf_counter()
    return _talk(server, content), time.perf_counter() - start


def _talk(server: Server, content: bytes) -> bytes:
    """Send bytes and return what comes until the server hangs up."""
    said: list[bytes] = []
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        sender = threading.Thread(target=_send, args=(client, content))
        sender.start()
        try:
            while part := client.recv(1 << 16):
                said.append(part)
        except ConnectionError:
            pass
        sender.join()
    return b"".join(said)


def _send(client: socket.socket, content: bytes) -> None:
    try:
        client.sendall(content)
        client.shutdown(socket.SHUT_WR) if content.startswith(b"\x16") else None
    except OSError:
        return


def _answers(said: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield status and body of each answer."""
    while said.startswith(b"HTTP/1.1 "):
        head, _, said = said.partition(b"\r\n\r\n")
        sizes = [
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ]
        size = sizes[0] if sizes else 0
        if said.startswith(b"HTTP/1.1 "):  # the answer to HEAD
            size = 0
        yield int(head[9:12]), said[:size]
        said = said[size:]


@contextmanager
def _many(server: Server, target: Target) -> Iterator[None]:
    """Be sixty clients that begin and do not go on, some of whom leave."""
    made = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(60)]
    for number, one in enumerate(made):
        content = request(target, target.body, length="100000")
        one.sendall(content[: [0, 10, len(content) // 2, len(content)][number % 4]])
    for one in made[::2]:
        one.close()
    try:
        yield
    finally:
        for one in made:
            one.close()


@pytest.mark.parametrize("name", MODELS)
def test_a_few_generated_requests(name: str) -> None:
    assert generated(name, 6).statuses[200]


@pytest.mark.parametrize("name", TARGETS)
def test_a_few_requests_by_hand(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        by_hand(name, 11)
    assert not caplog.records


@pytest.mark.torture
@pytest.mark.parametrize("name", MODELS)
def test_generated_requests(name: str) -> None:
    told = generated(name, 110)
    print(f"\n{name}: {told}")


@pytest.mark.torture
@pytest.mark.parametrize("name", TARGETS)
def test_requests_by_hand(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        told = by_hand(name, 1)
    assert not caplog.records
    print(f"\n{name}: {told}")

"""What the server does when a client is wrong, slow, gone, or too many; and when it must stop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from luban.core.errors import ContractError, MissingExtra, RunError
from luban.serving.app import create_app
from luban.serving.route import Limits, Service
from luban.serving.server import Server
from tests.inference.fakes import Bytes, Script
from tests.serving.running import Broken, client_of, metric, paced, scripted, serving, until

BODY = {"model": "tiny", "prompt": "x", "max_tokens": 3, "temperature": 0}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    limits = Limits(body_bytes=2000, seconds=20)
    with serving(scripted("abc"), api_key="s3cret", limits=limits) as running:
        yield running


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    headers = {"authorization": "Bearer s3cret"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as made:
        yield made


def error_of(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"].startswith("req-")
    error: dict[str, Any] = body["error"]
    return error


def in_background(call: Any) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


class TestRefusals:
    def test_api_key(self, server: Server) -> None:
        for key in ("wrong", "s3cre", "s3cret2", "schlüssel"):
            headers = {b"authorization": f"Bearer {key}".encode()}
            answer = httpx.get(f"{server.url}/v1/models", headers=headers, trust_env=False)
            assert answer.status_code == 401
            assert error_of(answer)["code"] == "invalid_api_key"
        assert httpx.get(f"{server.url}/v1/models", trust_env=False).status_code == 401
        with client_of(server, "wrong") as client, pytest.raises(openai.AuthenticationError):
            client.models.list()
        with client_of(server, "s3cret") as client:
            assert client.models.list().data[0].id == "tiny"

    def test_health_and_metrics_need_no_key(self, server: Server) -> None:
        health = httpx.get(f"{server.url}/health", trust_env=False)
        assert (health.status_code, health.json()["status"]) == (200, "ok")
        assert httpx.get(f"{server.url}/metrics", trust_env=False).status_code == 200

    def test_unknown_url_and_method(self, http: httpx.Client) -> None:
        answer = http.post("/v1/nothing", json={})
        assert answer.status_code == 404
        assert error_of(answer)["code"] == "unknown_url"
        answer = http.get("/v1/completions")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "POST"
        assert error_of(answer)["code"] == "method_not_allowed"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"{", "not valid JSON"),
            (b"[" * 1900, "JSON"),
            (b"[1]", "JSON object"),
            (b"", "JSON object"),
            (b'{"model": "tiny"}', "prompt: Field required"),
            (b'{"model": "tiny", "prompt": "a", "temperature": NaN}', "not valid JSON"),
            (b'{"model": "tiny", "prompt": "a", "max_tokens": 1.5}', "max_tokens"),
            (b'{"model": "tiny", "prompt": "\xff"}', "JSON"),
        ],
    )
    def test_bodies(self, http: httpx.Client, content: bytes, message: str) -> None:
        headers = {"content-type": "application/json"}
        answer = http.post("/v1/completions", content=content, headers=headers)
        assert answer.status_code == 400
        assert message in error_of(answer)["message"]

    def test_a_body_that_is_not_declared_as_json(self, http: httpx.Client) -> None:
        answer = http.post("/v1/completions", content=json.dumps(BODY))
        assert answer.status_code == 400
        assert "application/json" in error_of(answer)["message"]

    def test_large_bodies(self, http: httpx.Client) -> None:
        answer = http.post("/v1/completions", json={**BODY, "prompt": "x" * 3000})
        assert answer.status_code == 413
        assert error_of(answer)["code"] == "request_too_large"

        def pieces() -> Iterator[bytes]:
            yield from (b"x" * 1000 for _ in range(3))

        headers = {"content-type": "application/json"}
        answer = http.post("/v1/completions", content=pieces(), headers=headers)
        assert answer.status_code == 413, "a body without a length is counted as it comes"
        assert error_of(answer)["type"] == "invalid_request_error"
        assert http.post("/v1/completions", json=BODY).status_code == 200

    def test_key_may_come_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LUBAN_API_KEY", "from-env")
        assert Service(model=None, name="x").api_key == "from-env"
        assert Service(model=None, name="x", api_key="given").api_key == "given"


def test_a_slow_body_is_given_up() -> None:
    with serving(scripted("abc"), limits=Limits(seconds=0.3)) as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as raw:
            head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n"
            raw.sendall(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
            assert b" 408 " in raw.recv(4096)


def test_our_own_faults_are_hidden_and_do_not_stop_the_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from luban.inference.text import TextGenerator

    generator = TextGenerator(Broken(list(b"abc")), Bytes())
    with serving(generator) as server, client_of(server) as client:
        for _ in range(2):
            with pytest.raises(openai.InternalServerError) as caught:
                client.completions.create(**BODY)  # type: ignore[call-overload]
            assert caught.value.status_code == 500
            assert "secret" not in str(caught.value)
        with pytest.raises(openai.APIError, match="its log says why") as broken:
            list(client.completions.create(**BODY, stream=True))  # type: ignore[call-overload]
        assert "secret" not in str(broken.value)
        assert metric(server, "luban_requests_total", {"status": "500"}) == 2
    assert "secret detail" in caplog.text


class TestTooMuch:
    def test_the_queue_is_bounded(self) -> None:
        generator, module = paced("abc")
        limits = Limits(waiting=1)
        with serving(generator, limits=limits) as server, client_of(server) as client:

            def ask() -> Any:
                return client.completions.create(**BODY)  # type: ignore[call-overload]

            first, answers = in_background(ask)
            until(lambda: metric(server, "luban_requests_in_flight") == 2)  # and this one itself
            second, more = in_background(ask)
            until(lambda: metric(server, "luban_requests_waiting") == 1)
            with pytest.raises(openai.RateLimitError) as caught:
                ask()
            assert caught.value.response.headers["retry-after"] == "1"
            for _ in range(6):
                module.permits.release()
            first.join()
            second.join()
            assert [answer.choices[0].text for answer in answers + more] == ["abc", "abc"]
            assert metric(server, "luban_requests_total", {"status": "429"}) == 1

    def test_time_runs_out(self) -> None:
        generator, module = paced("abc")
        with serving(generator, limits=Limits(seconds=0.3)) as server, client_of(server) as client:
            with pytest.raises(openai.InternalServerError) as caught:
                client.completions.create(**BODY)  # type: ignore[call-overload]
            assert caught.value.status_code == 503
            module.permits.release()  # the step under way ends, and the request with it
            until(lambda: module.steps == 1)
            with pytest.raises(openai.InternalServerError):
                client.completions.create(**BODY, stream=True)  # type: ignore[call-overload]
            module.permits.release()
            until(lambda: module.steps == 2)
            module.permits.release()  # one token, then nothing more
            with pytest.raises(openai.APIError, match="longer than this server allows"):
                list(client.completions.create(**BODY, stream=True))  # type: ignore[call-overload]
            module.permits.release()


class TestLeaving:
    @pytest.mark.parametrize("stream", [False, True])
    def test_a_client_that_leaves_cancels_its_work(self, stream: bool) -> None:
        generator, module = paced("a" * 50)
        with serving(generator) as server, client_of(server) as client:
            body = json.dumps({**BODY, "max_tokens": 50, "stream": stream})
            port = int(server.url.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(
                    "POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                    f"{body}".encode()
                )
                for _ in range(3):
                    module.permits.release()
                until(lambda: module.steps == 3)
            until(lambda: metric(server, "luban_requests_in_flight") == 1)
            for _ in range(60):
                module.permits.release()
            answer = client.completions.create(
                model="tiny", prompt="x", max_tokens=2, temperature=0
            )
            assert answer.choices[0].text == "aa"
            assert module.steps <= 3 + 1 + 2, "the worker stopped after the step under way"
            status = "200" if stream else "499"
            assert metric(server, "luban_requests_total", {"status": status}) >= 1

    def test_a_client_that_leaves_the_queue_frees_its_place(self) -> None:
        generator, module = paced("abc")
        with (
            serving(generator, limits=Limits(waiting=1)) as server,
            client_of(server) as client,
        ):

            def ask(timeout: float) -> Any:
                return client.completions.create(**BODY, timeout=timeout)  # type: ignore[call-overload]

            first, answers = in_background(lambda: ask(30))
            until(lambda: metric(server, "luban_requests_in_flight") == 2)
            with pytest.raises(openai.APITimeoutError):
                ask(0.3)
            until(lambda: metric(server, "luban_requests_waiting") == 0)
            third, more = in_background(lambda: ask(30))
            for _ in range(6):
                module.permits.release()
            first.join()
            third.join()
            assert [answer.choices[0].text for answer in answers + more] == ["abc", "abc"]


class TestStopping:
    def test_what_is_in_flight_finishes_and_the_rest_is_refused(self) -> None:
        generator, module = paced("abc")
        with serving(generator) as server, client_of(server) as client:
            busy, answers = in_background(
                lambda: client.completions.create(**BODY)  # type: ignore[call-overload]
            )
            until(lambda: metric(server, "luban_requests_in_flight") == 2)
            server.drain()
            refused = httpx.post(f"{server.url}/v1/completions", json=BODY, trust_env=False)
            assert refused.status_code == 503
            assert error_of(refused)["code"] == "service_unavailable"
            assert httpx.get(f"{server.url}/health", trust_env=False).status_code == 503
            for _ in range(3):
                module.permits.release()
            busy.join()
            assert answers[0].choices[0].text == "abc"

    def test_grace_has_an_end(self) -> None:
        generator, module = paced("abc")
        start = time.monotonic()
        limits = Limits(grace_seconds=0.3)
        with serving(generator, limits=limits) as server, client_of(server) as client:
            busy, answers = in_background(
                lambda: client.completions.create(**BODY)  # type: ignore[call-overload]
            )
            until(lambda: metric(server, "luban_requests_in_flight") == 2)
            server.drain()
            busy.join()
            module.permits.release()
        assert isinstance(answers[0], openai.APIError)
        assert time.monotonic() - start < 15

    def test_sigterm_ends_the_process_well(self, tmp_path: Path) -> None:
        program = tmp_path / "serve.py"
        program.write_text(
            "from luban.serving.route import Service\n"
            "from luban.serving.server import serve\n"
            "from tests.serving.running import scripted\n"
            "service = Service(model=scripted('abc'), name='tiny')\n"
            "serve(service, port=0, ready=lambda url: print(url, flush=True))\n"
            "print('done', flush=True)\n",
            encoding="utf-8",
        )
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        with subprocess.Popen(
            [sys.executable, str(program)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            url = process.stdout.readline().strip()
            until(lambda: _healthy(url))
            self._curl(url)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
            assert process.stdout.read() == "done\n"
            assert process.stderr.read() == ""

    @staticmethod
    def _curl(url: str) -> None:
        if shutil.which("curl") is None:
            return
        call = ["curl", "-sN", f"{url}/v1/completions", "-H", "Content-Type: application/json"]
        whole = subprocess.check_output([*call, "-d", json.dumps(BODY)], text=True)
        assert json.loads(whole)["choices"][0]["text"] == "abc"
        events = subprocess.check_output(
            [*call, "-d", json.dumps({**BODY, "stream": True})], text=True
        )
        lines = [line for line in events.split("\n") if line]
        assert lines[-1] == "data: [DONE]"
        texts = [json.loads(line[6:])["choices"][0]["text"] for line in lines[:-1]]
        assert "".join(texts) == "abc"


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_a_port_in_use_is_a_user_error(server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(RunError, match="cannot listen here"):
        Server(Service(model=scripted("a"), name="x"), port=port)
    with pytest.raises(RunError, match="cannot listen here"):
        Server(Service(model=scripted("a"), name="x"), port=99_999)


def test_a_model_without_a_route_is_refused() -> None:
    with pytest.raises(ContractError, match="no route can serve"):
        create_app(Service(model=Script([1]), name="x"))


def test_missing_libraries_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("luban.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtra, match=r"luban\[serve\]"):
        __import__("luban.serving")


def test_metrics_can_be_parsed(server: Server, http: httpx.Client) -> None:
    http.post("/v1/completions", json=BODY)
    http.get("/v1/whatever")
    route = {"route": "/v1/completions", "status": "200"}
    assert metric(server, "luban_requests_total", route) >= 1
    assert metric(server, "luban_requests_total", {"route": "other", "status": "404"}) >= 1
    count = metric(server, "luban_request_seconds_count", {"route": "/v1/completions"})
    assert count >= 1
    assert metric(server, "luban_requests_in_flight") == 1, "only the one that reads it"

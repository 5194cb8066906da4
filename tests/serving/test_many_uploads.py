"""Many clients with files at once: what a server holds, and decodes at once, stays bounded."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from luban.core.contracts import Example, Record
from luban.inference.predictor import Predictor
from luban.serving.route import Limits
from luban.serving.server import Server
from tests.inference.toy_media import Nothing, Seeing, picture
from tests.serving.running import metric, serving, until

PATH = "/v1/tasks/test-many-uploads"  # a task is called as its file is
CLIENTS = 6
FILE = picture(120, 100, form="BMP")  # 36 kB, and a little around it in a form
HEADERS = {"content-type": "multipart/form-data; boundary=x"}
HEAD = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.bmp"\r\n\r\n'


class Waiting(Seeing):
    """Decodes when it may, and counts how many images are decoded at once."""

    def encode_input(self, record: Record) -> Example:
        counts["now"] += 1
        counts["most"] = max(counts["most"], counts["now"])
        assert may_go.wait(timeout=30)
        example = super().encode_input(record)
        counts["now"] -= 1
        return example


counts: dict[str, int] = {}
may_go = threading.Event()


@pytest.fixture
def server() -> Iterator[Server]:
    may_go.clear()
    counts.update(now=0, most=0)
    # All bodies come from one client, who may have half of the room.
    limits = Limits(held_bytes=6 * 40_000, upload_bytes=40_000)
    try:
        with serving(Predictor(Waiting(), Nothing()), limits=limits) as running:
            yield running
    finally:
        may_go.set()


def whole(url: str) -> httpx.Response:
    return httpx.post(url, content=b"".join(pieces()), headers=HEADERS, trust_env=False, timeout=30)


def in_pieces(url: str) -> httpx.Response:
    """Send a body whose length is not told."""
    return httpx.post(url, content=pieces(), headers=HEADERS, trust_env=False, timeout=30)


def pieces() -> Iterator[bytes]:
    yield HEAD
    yield from (FILE[at : at + 9000] for at in range(0, len(FILE), 9000))
    yield b"\r\n--x--\r\n"


@pytest.mark.parametrize("send", [whole, in_pieces])
def test_bodies_held_at_once_are_bounded(
    server: Server, send: Callable[[str], httpx.Response]
) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        sent = [pool.submit(send, server.url + PATH) for _ in range(CLIENTS)]
        until(lambda: sum(one.done() for one in sent) >= CLIENTS - 3)
        may_go.set()
        answers = [one.result() for one in sent]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) >= CLIENTS - 3, [a.text for a in answers]
    for answer in refused:
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["error"]["code"] == "service_unavailable"
    served = [answer for answer in answers if answer not in refused]
    assert all(answer.json()["predictions"][0]["width"] == 120 for answer in served)
    until(lambda: metric(server, "luban_requests_in_flight") == 1)  # this question itself
    for _ in range(CLIENTS):
        assert send(server.url + PATH).status_code == 200, "room is given back"


def test_a_body_that_would_never_have_room_is_too_large(server: Server) -> None:
    limits = Limits(held_bytes=20_000, upload_bytes=40_000)
    with serving(Predictor(Waiting(), Nothing()), limits=limits) as small:
        answer = whole(small.url + PATH)
    assert answer.status_code == 413
    assert "20,000 bytes" in answer.json()["error"]["message"]


def test_images_are_decoded_one_at_a_time(server: Server) -> None:
    with ThreadPoolExecutor(3) as pool:
        sent = [pool.submit(whole, server.url + PATH) for _ in range(3)]
        until(lambda: counts["now"] == 1)
        until(lambda: metric(server, "luban_requests_waiting") == 2)
        may_go.set()
        assert [one.result().status_code for one in sent] == [200] * 3
    assert counts["most"] == 1


def test_the_answer_to_a_body_that_is_too_large_is_not_lost(server: Server) -> None:
    """Hanging up with anything unread resets the connection, and the answer goes with it."""
    address = httpx.URL(server.url)
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n".encode()
    with socket.create_connection((address.host, address.port), timeout=30) as client:
        client.sendall(head + bytes(900_000))
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"40,000 bytes" in answer

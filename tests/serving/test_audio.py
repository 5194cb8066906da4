"""/v1/audio/transcriptions, asked by OpenAI's own client."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from luban.core.contracts import Signature
from luban.data.media.audio import to_wav
from luban.inference.predictor import Predictor
from luban.serving.route import Limits
from luban.serving.routes.audio_transcriptions import AudioTranscriptions
from luban.serving.server import Server
from tests.inference.toy import Counter, Counting
from tests.inference.toy_media import Hearing, Nothing, Seeing
from tests.serving.running import client_of, metric, serving

RATE = 8000
WAV = to_wav(np.zeros(RATE * 3 // 2, np.int16), RATE)
SAID = f"{len(WAV)} bytes"
PATH = "/v1/audio/transcriptions"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    limits = Limits(upload_bytes=100_000)
    with serving(Predictor(Hearing(), Nothing()), limits=limits) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> openai.OpenAI:
    return client_of(server)


def test_a_recording_becomes_text(client: openai.OpenAI, tmp_path: Path) -> None:
    answer = client.audio.transcriptions.create(model="tiny", file=("a.wav", WAV))
    assert answer.text == SAID
    (tmp_path / "b.wav").write_bytes(WAV)
    with (tmp_path / "b.wav").open("rb") as file:
        answer = client.audio.transcriptions.create(model="tiny", file=file, temperature=0)
    assert answer.text == SAID


def test_as_plain_text(server: Server, client: openai.OpenAI) -> None:
    said = client.audio.transcriptions.create(model="tiny", file=WAV, response_format="text")
    assert said == SAID + "\n"
    form = {"model": "tiny", "response_format": "text"}
    answer = httpx.post(server.url + PATH, data=form, files={"file": WAV}, trust_env=False)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_with_its_length(client: openai.OpenAI) -> None:
    answer = client.audio.transcriptions.create(
        model="tiny", file=("a.wav", WAV), response_format="verbose_json"
    )
    assert (answer.text, answer.language, answer.segments) == (SAID, "und", None)
    assert answer.duration == pytest.approx(1.5)


def test_the_same_as_the_route_of_its_task(server: Server, client: openai.OpenAI) -> None:
    url, body = f"{server.url}/v1/tasks/toy-media", base64.b64encode(WAV).decode()
    answer = httpx.post(url, json={"inputs": {"audio": body}}, trust_env=False).json()
    assert answer["predictions"] == [{"text": SAID, "score": -0.5}]
    before = metric(server, "luban_records_total")
    client.audio.transcriptions.create(model="tiny", file=WAV)
    assert metric(server, "luban_records_total") - before == 1, "one queue, one count"


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "chance": ({"temperature": 0.5}, "temperature", "takes no chances"),
    "no number": ({"extra_body": {"temperature": "x"}}, "temperature", "takes no chances"),
    "a language": ({"language": "English, please"}, "language", "code of ISO 639"),
    "a prompt": ({"prompt": "Hm"}, "prompt", "takes no prompt"),
    "subtitles": ({"response_format": "srt"}, "response_format", "json, text, verbose_json"),
    "when": ({"timestamp_granularities": ["word"]}, "timestamp_granularities[]", "not tell when"),
    "chunks": ({"chunking_strategy": "auto"}, "chunking_strategy", "as a whole"),
    "a stream": ({"extra_body": {"stream": "true"}}, "stream", "answers at once"),
    "an unknown field": ({"extra_body": {"beams": "4"}}, "beams", "Unrecognized form field"),
    "an empty file": ({"file": b""}, "inputs", "this recording is empty"),
}


@pytest.mark.parametrize(("fields", "param", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(
    client: openai.OpenAI, fields: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message) as caught:
        client.audio.transcriptions.create(**{"model": "tiny", "file": WAV, **fields})
    assert caught.value.param == param


FORMS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no file": ({"files": [("model", (None, "tiny"))]}, "file", "one is needed, not 0"),
    "another name": (
        {"data": {"model": "tiny"}, "files": {"audio": WAV}}, "audio", "Unrecognized form field",
    ),
    "two files": (
        {"data": {"model": "tiny"}, "files": [("file", WAV), ("file", WAV)]}, "file", "not 2",
    ),
    "no model": ({"files": {"file": WAV}}, "model", "one is needed, not 0"),
    "the name of a file": (
        {"data": {"model": "tiny"}, "files": [("file", (None, "a.wav"))]}, "file", "file=@FILE",
    ),
    "a file for a text": ({"files": {"file": WAV, "model": WAV}}, "model", "a file, not text"),
}  # fmt: skip


@pytest.mark.parametrize(("form", "param", "message"), FORMS.values(), ids=FORMS)
def test_bad_forms(server: Server, form: dict[str, Any], param: str, message: str) -> None:
    answer = httpx.post(server.url + PATH, trust_env=False, **form)
    assert answer.status_code == 400, answer.text
    assert message in answer.json()["error"]["message"]
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", ""])
def test_what_is_no_form(server: Server, kind: str) -> None:
    headers = {"content-type": kind}
    answer = httpx.post(server.url + PATH, content=b"{}", headers=headers, trust_env=False)
    assert answer.status_code == 400


def test_bounds_and_models(server: Server, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist here"):
        client.audio.transcriptions.create(model="whisper-1", file=WAV)
    with pytest.raises(openai.APIStatusError, match="100,000 bytes") as caught:
        client.audio.transcriptions.create(model="tiny", file=b"a" * 100_000)
    assert caught.value.status_code == 413


def test_whom_it_fits() -> None:
    class Sorting(Hearing):
        def signature(self) -> Signature:
            return Signature("frames", 1, 8, produces="label")

    class Questioned(Hearing):
        def record_schema(self) -> dict[str, Any]:
            return {**super().record_schema(), "required": ["audio", "question"]}

    tasks = {Hearing: True, Sorting: False, Questioned: False, Seeing: False}
    for task, fits in tasks.items():
        assert AudioTranscriptions().fits(Predictor(task(), Nothing())) is fits, task
    assert not AudioTranscriptions().fits(Predictor(Counting(), Counter()))

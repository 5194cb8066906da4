"""The real tasks over images and sound behind their routes; the networks have learned nothing."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from luban.cli.verbs import serve as verb
from luban.core.contracts import Model, Task
from luban.core.errors import MissingExtra
from luban.data.media.audio import to_wav
from luban.data.media.media_files import Media
from luban.inference.predictor import Predictor, servable
from luban.serving.app import create_app
from luban.serving.route import Service
from tests.inference.toy_media import bomb, picture

RATE = 8000
HEADS = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def tone(seconds: float) -> bytes:
    at = np.arange(int(seconds * RATE)) / RATE
    return to_wav((np.sin(at * 2000) * 9000).astype(np.int16), RATE)


def serve(task: dict[str, Any], model: dict[str, Any], records: list[dict[str, Any]]) -> TestClient:
    torch.manual_seed(0)
    learned = Task.from_dict(task).learn(records)
    made: Model = Model.from_dict(model)
    served = servable(learned, made.build(learned.signature()))
    assert isinstance(served, Predictor)
    return TestClient(create_app(Service(model=served, name="tiny")))


def media(data: bytes) -> Media:
    return Media("training", data)


@pytest.fixture(scope="module")
def ear() -> TestClient:
    records = [{"audio": media(tone(1)), "text": text} for text in ("lo", "hi", "lo hi")]
    task = {"name": "speech-recognition", "sampling_rate": RATE, "max_seconds": 3}
    return serve(task, {"name": "conformer", **HEADS}, records)


@pytest.fixture(scope="module")
def eye() -> TestClient:
    records = [{"image": media(picture(8, 8, s)), "label": k} for s, k in ((9, "a"), (200, "b"))]
    model = {"name": "cnn", "embedding_size": 4, "hidden_sizes": [8]}
    return serve({"name": "image-classification", "image_size": 8}, model, records)


def transcribe(ear: TestClient, data: bytes) -> Any:
    form = {"model": "tiny", "response_format": "verbose_json"}
    return ear.post("/v1/audio/transcriptions", data=form, files={"file": ("a.wav", data)})


def test_speech_has_both_routes(ear: TestClient) -> None:
    said = transcribe(ear, tone(1.5)).json()
    assert said["duration"] == pytest.approx(1.5)
    answer = ear.post("/v1/tasks/speech-recognition", files={"audio": ("a.wav", tone(1.5))})
    [prediction] = answer.json()["predictions"]
    assert prediction["text"] == said["text"]
    assert prediction["score"] <= 0


BAD_SOUNDS = {
    "too long": (tone(4), "too long"),
    "cut off": (tone(1)[:999], "cut off"),
    "no sound": (picture(), "cannot be read"),
}


@pytest.mark.parametrize(("data", "what"), BAD_SOUNDS.values(), ids=BAD_SOUNDS)
def test_bad_recordings_are_the_clients_fault(ear: TestClient, data: bytes, what: str) -> None:
    answer = transcribe(ear, data)
    assert answer.status_code == 400
    assert what in answer.json()["error"]["message"]


def test_images_have_the_route_of_their_task_alone(eye: TestClient) -> None:
    files = [("image", ("a.png", picture(30, 20, 9))), ("image", ("b.jpg", picture(form="JPEG")))]
    predictions = eye.post("/v1/tasks/image-classification", files=files).json()["predictions"]
    assert [set(p["scores"]) for p in predictions] == [{"a", "b"}] * 2
    assert eye.post("/v1/audio/transcriptions", files=files).status_code == 404
    answer = eye.post("/v1/tasks/image-classification", files=[("image", ("a.png", bomb()))])
    assert answer.status_code == 400
    assert "too many pixels" in answer.json()["error"]["message"]


def test_a_server_that_could_read_no_image_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task.from_dict({"name": "image-classification"})
    monkeypatch.setattr("luban.cli.verbs.serve.Run.open", lambda *_: None)
    monkeypatch.setattr(verb, "load_trained", lambda _: (task, torch.nn.Identity()))
    monkeypatch.setitem(sys.modules, "PIL", None)
    parser = argparse.ArgumentParser()
    verb.options(parser)
    with pytest.raises(MissingExtra, match="pillow is not installed"):
        verb.perform(parser.parse_args(["runs/x"]))

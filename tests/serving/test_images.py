"""/v1/images/generations, asked by OpenAI's own client."""

from __future__ import annotations

import base64
import io
import re
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from luban.inference.images import ImageMaker
from luban.serving.route import Limits
from luban.serving.server import Server
from tests.serving.running import client_of, metric, serving, until

LABELS = ("Dress", "Ankle boot", "dress coat")


def drawn(label: str | None, count: int, seed: int) -> list[Any]:
    """Return images of one shade for each label, and noise of the seed at the edge."""
    shade = 250 if label is None else 10 * LABELS.index(label)
    images = np.full((count, 4, 6, 1), shade, np.uint8)
    images[:, 0] = np.random.default_rng(seed).integers(0, 256, (count, 6, 1))
    return list(images)


MAKER = ImageMaker(LABELS, (4, 6), drawn, batch_size=2)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(MAKER, limits=Limits(choices=5)) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> openai.OpenAI:
    return client_of(server)


def pixels(answer: openai.types.ImagesResponse) -> list[Any]:
    files = [base64.b64decode(image.b64_json or "") for image in answer.data or ()]
    return [np.asarray(Image.open(io.BytesIO(file))) for file in files]


def test_images_of_a_label(client: openai.OpenAI) -> None:
    answer = client.images.generate(model="tiny", prompt="Ankle boot", n=5)
    made = pixels(answer)
    assert [image.shape for image in made] == [(4, 6)] * 5
    assert all((image[1:] == 10).all() for image in made)
    assert len({image.tobytes() for image in made}) == 5, "no batch repeats another"
    assert answer.output_format == "png"
    assert answer.size == "6x4"
    assert answer.created > 1e9


def test_a_seed_gives_the_same_images_and_none_gives_others(client: openai.OpenAI) -> None:
    def tops(**more: Any) -> list[bytes]:
        answer = client.images.generate(prompt="Dress", n=3, extra_body=more)
        return [image[0].tobytes() for image in pixels(answer)]

    assert tops(seed=7) == tops(seed=7) != tops(seed=8)
    assert tops() != tops()


@pytest.mark.parametrize(("prompt", "shade"), [("", 250), (" ankle BOOT ", 10), ("dress coat", 20)])
def test_what_a_prompt_may_be(client: openai.OpenAI, prompt: str, shade: int) -> None:
    [image] = pixels(client.images.generate(prompt=prompt))
    assert (image[1:] == shade).all()


HONOURED: dict[str, dict[str, Any]] = {
    "base64": {"response_format": "b64_json"},
    "its size": {"size": "6x4"},
    "any size": {"size": "auto"},
    "all that is on": {"quality": "auto", "background": "auto", "output_format": "png"},
    "a user": {"user": "someone"},
}


@pytest.mark.parametrize("fields", HONOURED.values(), ids=HONOURED)
def test_what_is_honoured(client: openai.OpenAI, fields: dict[str, Any]) -> None:
    assert len(pixels(client.images.generate(prompt="Dress", **fields))) == 1


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "an unknown label": ({"prompt": "Dres"}, "prompt", "did you mean 'Dress'?"),
    "a sentence": ({"prompt": "a cat on a mat"}, "prompt", "one of Dress, Ankle boot"),
    "another size": ({"size": "1024x1024"}, "size", "6x4 only"),
    "height first": ({"size": "4x6"}, "size", "6x4 only"),
    "a link": ({"response_format": "url"}, "response_format", "this server keeps no files"),
    "too many": ({"n": 6}, "n", "less than or equal to 5"),
    "none": ({"n": 0}, "n", "greater than or equal to 1"),
    "another format": ({"output_format": "webp"}, "output_format", "'png'"),
    "a style": ({"style": "vivid"}, "style", "Unrecognized request argument"),
    "quality": ({"quality": "hd"}, "quality", "'auto'"),
    "no background": ({"background": "transparent"}, "background", "'auto' or 'opaque'"),
    "a stream": ({"extra_body": {"stream": True}}, "stream", "False"),
    "a seed below 0": ({"extra_body": {"seed": -1}}, "seed", "greater than or equal to 0"),
}


@pytest.mark.parametrize(("fields", "param", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(
    client: openai.OpenAI, fields: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=re.escape(message)) as caught:
        client.images.generate(**{"prompt": "Dress", **fields})
    assert caught.value.param == param


def test_another_model_is_not_here(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist here"):
        client.images.generate(model="dall-e-3", prompt="Dress")


def test_a_model_without_labels(server: Server) -> None:
    with serving(ImageMaker((), (4, 6), drawn)) as other:
        client = client_of(other)
        assert (pixels(client.images.generate(prompt=""))[0][1:] == 250).all()
        with pytest.raises(openai.BadRequestError, match="nothing in particular"):
            client.images.generate(prompt="Dress")


def test_the_labels_are_told(server: Server) -> None:
    api = httpx.get(f"{server.url}/openapi.json", trust_env=False).json()
    told = api["components"]["schemas"]["ImagesRequest"]["properties"]
    assert told["prompt"]["enum"] == [*LABELS, ""]
    assert told["size"]["enum"] == ["auto", "6x4", None]
    assert set(api["paths"]) >= {"/v1/images/generations", "/v1/models"}
    assert not any("completions" in path or "tasks" in path for path in api["paths"])


def test_images_are_counted(server: Server, client: openai.OpenAI) -> None:
    before = metric(server, "luban_images_total")
    client.images.generate(prompt="Dress", n=3)
    assert metric(server, "luban_images_total") - before == 3


def test_work_ends_when_the_client_leaves() -> None:
    permits, begun = threading.Semaphore(0), []

    def slow(label: str | None, count: int, seed: int) -> list[Any]:
        begun.append(seed)
        assert permits.acquire(timeout=30)
        return drawn(label, count, seed)

    with serving(ImageMaker(LABELS, (4, 6), slow, batch_size=1)) as server:
        url, body = f"{server.url}/v1/images/generations", {"prompt": "Dress", "n": 9}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, json=body, timeout=0.5, trust_env=False)
        until(lambda: metric(server, "luban_requests_in_flight") == 1)  # this one: /metrics
        permits.release()
        until(lambda: metric(server, "luban_requests_waiting") == 0)
        permits.release(50)
        httpx.post(url, json={"prompt": "Dress"}, timeout=30, trust_env=False)
    assert len(begun) == 2, "the other eight were never begun"


def test_time_runs_out() -> None:
    def slow(label: str | None, count: int, seed: int) -> list[Any]:
        threading.Event().wait(0.3)
        return drawn(label, count, seed)

    with serving(ImageMaker(LABELS, (4, 6), slow), limits=Limits(seconds=0.1)) as server:
        url = f"{server.url}/v1/images/generations"
        assert httpx.post(url, json={"prompt": "Dress"}, trust_env=False).status_code == 503

"""Files over HTTP: base64 in JSON or forms, bounded, and never a name of the server's own."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from luban.inference.predictor import Predictor
from luban.serving.app import create_app
from luban.serving.route import Limits, Service
from tests.inference.toy import Counter, Counting
from tests.inference.toy_media import Nothing, Seeing, bomb, picture
from tests.serving.running import serving

PATH = "/v1/tasks/toy-media"
SMALL = {"width": 6, "height": 4, "mean": 200.0}


def client_for(predictor: Predictor, **limits: Any) -> TestClient:
    service = Service(model=predictor, name="eye", limits=Limits(**limits))
    return TestClient(create_app(service), raise_server_exceptions=False)


def seeing(**limits: Any) -> TestClient:
    return client_for(Predictor(Seeing(), Nothing(), batch_size=2), **limits)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with seeing(records=3) as made:
        yield made


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def upload(*files: bytes, field: str = "image") -> list[tuple[str, tuple[str, bytes]]]:
    return [(field, (f"{number}.png", data)) for number, data in enumerate(files)]


def error_of(answer: Any, status: int = 400) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def test_base64_in_json(client: TestClient) -> None:
    url = f"data:image/png;base64,{text(picture(3, 2, 50))}"
    answer = client.post(PATH, json={"inputs": [{"image": text(picture())}, {"image": url}]})
    assert answer.json()["predictions"] == [SMALL, {"width": 3, "height": 2, "mean": 50.0}]
    one = client.post(PATH, json={"inputs": {"image": text(picture())}})
    assert one.json()["predictions"] == [SMALL]


def test_files_in_a_form_are_records_in_order(client: TestClient) -> None:
    answer = client.post(PATH, files=upload(*(picture(width) for width in (1, 2, 3))))
    assert answer.json() == {
        "object": "task.predictions",
        "task": "toy-media",
        "model": "eye",
        "predictions": [{**SMALL, "width": width} for width in (1, 2, 3)],
    }
    with_notes = client.post(
        PATH, files=upload(picture(), picture()), data={"note": ["a", "b"], "model": "eye"}
    )
    assert with_notes.json()["predictions"] == [SMALL] * 2


FORMS: dict[str, tuple[dict[str, Any], str | None, str]] = {
    "nothing": ({"data": {"model": "eye"}, "files": [("note", (None, "a"))]}, None, "image"),
    "too many": ({"files": upload(*[picture()] * 4)}, "inputs", "1 to 3 records"),
    "far too many": ({"files": upload(*[b""] * 40)}, None, "The form cannot be read: Too many"),
    "a damaged one": (
        {"files": upload(picture(), picture()[:45])}, "inputs[1]", "1.png: this image is damaged",
    ),
    "an empty one": ({"files": upload(b"")}, "inputs[0]", "0.png: this image is damaged"),
    "a bomb": ({"files": upload(bomb())}, "inputs[0]", "too many pixels"),
    "text for a file": ({"files": [("image", (None, "0.png"))]}, "image", "curl -F image=@FILE"),
    "a file for text": (
        {"files": upload(picture()) + upload(b"a", field="note")}, "note", "a file, not text",
    ),
    "an unknown field": ({"files": upload(picture(), field="picture")}, "picture", "Unrecognized"),
    "unequal fields": (
        {"files": upload(picture(), picture()), "data": {"note": "a"}}, None,
        "there are 1 of note, 2 of image",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("form", "param", "message"), FORMS.values(), ids=FORMS)
def test_bad_forms(
    client: TestClient, form: dict[str, Any], param: str | None, message: str
) -> None:
    error = error_of(client.post(PATH, **form))
    assert message in error["message"]
    assert param is None or error["param"] == param
    assert len(error["message"]) < 500


def test_another_model_in_a_form(client: TestClient) -> None:
    answer = client.post(PATH, files=upload(picture()), data={"model": "ear"})
    assert error_of(answer, 404)["code"] == "model_not_found"


@pytest.mark.parametrize("boundary", ["", "; boundary=x", "; boundary=" + "y" * 1000])
def test_forms_that_are_none(client: TestClient, boundary: str) -> None:
    headers = {"content-type": f"multipart/form-data{boundary}"}
    error_of(client.post(PATH, content=b"--x\r\nno form", headers=headers))


BAD_TEXT = ("photo.jpg", "../photo.jpg", "/etc/passwd", "file:///etc/hosts", "abcd", "", "data:,")


@pytest.mark.parametrize("written", BAD_TEXT)
def test_text_never_names_a_file_of_the_server(
    client: TestClient, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photo.jpg", "abcd"):  # the latter is good base64, too
        Path(name).write_bytes(picture())
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("a file was opened"))
    error_of(client.post(PATH, json={"inputs": {"image": written}}))
    error_of(client.post(PATH, json={"inputs": {"image": {"path": written}}}))
    error_of(client.post(PATH, files=[("image", (None, written))]))
    wrong = ("image", (written or "x", b"not an image"))
    assert "damaged" in error_of(client.post(PATH, files=[wrong]))["message"]


def test_what_is_unreadable_is_not_repeated_at_length(client: TestClient) -> None:
    error = error_of(client.post(PATH, json={"inputs": {"image": "?" * 10_000}}))
    assert len(error["message"]) < 500


def test_uploads_have_a_bound_of_their_own() -> None:
    with seeing(body_bytes=200, upload_bytes=3000) as client:
        assert client.post(PATH, files=upload(picture(form="BMP"))).status_code == 200
        error = error_of(client.post(PATH, files=upload(b"x" * 3000)), 413)
        assert "3,000 bytes" in error["message"]
        assert client.post(PATH, json={"inputs": {"image": "A" * 3000}}).status_code == 413
        told = client.get("/openapi.json").json()["paths"][PATH]["post"]["requestBody"]["content"]
        assert "3,000 bytes" in told["multipart/form-data"]["schema"]["description"]
    with client_for(Predictor(Counting(), Counter()), body_bytes=200) as client:
        answer = client.post("/v1/tasks/toy", json={"inputs": {"text": "a" * 200}})
        assert answer.status_code == 413, "a task over text takes no uploads"


def test_a_bound_holds_for_what_has_no_length() -> None:
    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        while True:
            yield b"x" * 1000

    predictor = Predictor(Seeing(), Nothing())
    with serving(predictor, limits=Limits(upload_bytes=20_000)) as server:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        with httpx.Client(trust_env=False) as http:
            try:
                answer = http.post(server.url + PATH, content=endless(), headers=headers)
            except httpx.WriteError:  # hung up on, as is right
                return
        assert answer.status_code == 413


def test_a_key_is_asked_for_before_a_form_is_read() -> None:
    service = Service(model=Predictor(Seeing(), Nothing()), name="eye", api_key="secret")
    with TestClient(create_app(service)) as client:
        assert client.post(PATH, files=upload(picture())).status_code == 401
        headers = {"authorization": "Bearer secret"}
        assert client.post(PATH, files=upload(picture()), headers=headers).status_code == 200


def test_a_text_task_takes_no_forms() -> None:
    with client_for(Predictor(Counting(), Counter())) as client:
        error_of(client.post("/v1/tasks/toy", files=upload(b"a", field="text")))
        told = client.get("/openapi.json").json()["paths"]["/v1/tasks/toy"]["post"]
    assert set(told["requestBody"]["content"]) == {"application/json"}


def test_forms_are_told(client: TestClient) -> None:
    told = client.get("/openapi.json").json()["paths"][PATH]["post"]["requestBody"]
    assert set(told["content"]) == {"application/json", "multipart/form-data"}
    form = told["content"]["multipart/form-data"]["schema"]
    file = {"type": "string", "format": "binary"}
    assert form["properties"]["image"] == {
        "type": "array", "items": file, "minItems": 1, "maxItems": 3,
    }  # fmt: skip
    assert form["required"] == ["image"]

"""Records over HTTP: what a predictor says, errors by index and field, limits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from luban.inference.predictor import Predictor
from luban.serving.app import create_app
from luban.serving.route import Limits, Service
from tests.inference.toy import Counter, Counting

PATH = "/v1/tasks/toy"


def client_for(predictor: Predictor, **limits: Any) -> TestClient:
    service = Service(model=predictor, name="counter", limits=Limits(**limits))
    return TestClient(create_app(service), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with client_for(Predictor(Counting(), Counter(), batch_size=2), records=5) as made:
        yield made


def test_one_record_and_several(client: TestClient) -> None:
    records = [{"text": "aei"}, {"text": "b"}, {"text": "be", "pair": "c"}]
    answer = client.post(PATH, json={"inputs": records, "model": "counter"})
    assert answer.status_code == 200
    assert answer.json() == {
        "object": "task.predictions",
        "task": "toy",
        "model": "counter",
        "predictions": [
            {"text": "aei", "value": 1.0},
            {"text": "b", "value": 0.0},
            {"text": "be", "value": 0.5},
        ],
    }
    one = client.post(PATH, json={"inputs": records[2], "parameters": {}})
    assert one.json()["predictions"] == answer.json()["predictions"][2:]


def test_the_server_says_what_the_predictor_says(client: TestClient) -> None:
    records = [{"text": text} for text in ("仁者爱人", "a\u0301", "x" * 300, "😀")]
    answer = client.post(PATH, json={"inputs": records}).json()
    assert answer["predictions"] == Predictor(Counting(), Counter()).predict(records)


BAD: dict[str, tuple[Any, str | None, str]] = {
    "nothing": ({}, "inputs", "Field required"),
    "no records": ({"inputs": []}, "inputs", "1 to 5 records"),
    "too many": ({"inputs": [{"text": "a"}] * 6}, "inputs", "1 to 5 records"),
    "a text": ({"inputs": "a"}, "inputs", 'not of type "object"'),
    "null": ({"inputs": None}, "inputs", 'not of type "object"'),
    "texts": ({"inputs": ["a"]}, "inputs[0]", 'not of type "object"'),
    "no field": ({"inputs": [{"text": "a"}, {"txt": "a"}]}, "inputs[1]", '"text" is a required'),
    "a number": ({"inputs": [{"text": "a"}, {"text": 3}]}, "inputs[1].text", 'type "string"'),
    "one number": ({"inputs": {"text": 3}}, "inputs.text", 'type "string"'),
    "an empty text": ({"inputs": {"text": ""}}, "inputs.text", "shorter than 1"),
    "half a character": ({"inputs": [{"text": "\ud800"}]}, None, "half a character"),
    "half a character elsewhere": ({"inputs": [{"\ud800": ""}]}, None, "half a character"),
    "another model": ({"inputs": {"text": "a"}, "model": "gpt"}, "model", "does not exist here"),
    "an unknown parameter": (
        {"inputs": {"text": "a"}, "parameters": {"top_k": 1}}, "parameters.top_k", "Unrecognized",
    ),
    "an unknown field": ({"input": {"text": "a"}}, "inputs", "Field required"),
    "one more field": ({"inputs": {"text": "a"}, "x": 1}, "x", "Unrecognized request argument"),
    "a list": ([], None, "JSON object"),
    "a long number": ({"inputs": {"text": "a", "pair": 10**40}}, "inputs.pair", "string"),
    "a number without end": ({"inputs": {"text": float("inf")}}, None, "not valid JSON"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "param", "message"), BAD.values(), ids=BAD)
def test_bad_requests(client: TestClient, body: Any, param: str | None, message: str) -> None:
    headers = {"content-type": "application/json"}
    answer = client.post(PATH, content=json.dumps(body), headers=headers)
    assert answer.status_code == (404 if param == "model" else 400), answer.text
    error = answer.json()["error"]
    assert message in error["message"]
    assert error["param"] == param
    assert len(error["message"]) < 500


def test_what_only_the_task_can_know(client: TestClient) -> None:
    class Picky(Counting):
        def record_schema(self) -> dict[str, Any]:
            return {"type": "object"}

    Picky.__module__ = Counting.__module__
    with client_for(Predictor(Picky(), Counter())) as picky:
        answer = picky.post(PATH, json={"inputs": [{"text": "a"}, {"text": 3}, {}]})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "inputs[1]"
    assert "the record has no text" in answer.json()["error"]["message"]


def test_another_task_is_named(client: TestClient) -> None:
    answer = client.post("/v1/tasks/translation", json={"inputs": {"text": "a"}})
    assert answer.status_code == 404
    assert "has the task 'toy', not 'translation'" in answer.json()["error"]["message"]
    assert client.get(PATH).status_code == 405
    assert client.post("/v1/completions", json={}).status_code == 404


def test_large_bodies_are_refused() -> None:
    with client_for(Predictor(Counting(), Counter()), body_bytes=100) as client:
        assert client.post(PATH, json={"inputs": {"text": "a" * 100}}).status_code == 413


def test_time_runs_out() -> None:
    class Slow(Counter):
        def forward(self, input_ids: Any) -> Any:
            import time

            time.sleep(0.3)
            return super().forward(input_ids)

    with client_for(Predictor(Counting(), Slow(), batch_size=1), seconds=0.1) as client:
        assert client.post(PATH, json={"inputs": [{"text": "a"}] * 3}).status_code == 503


def test_our_own_faults_are_hidden(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Counter):
        def forward(self, input_ids: Any) -> Any:
            raise RuntimeError("secret detail")

    with client_for(Predictor(Counting(), Broken())) as client:
        answer = client.post(PATH, json={"inputs": {"text": "a"}})
    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_the_schema_of_records_is_published(client: TestClient) -> None:
    api = client.get("/openapi.json").json()
    operation = api["paths"][PATH]["post"]
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    body = api["components"]["schemas"][reference.rpartition("/")[2]]
    one, many = body["properties"]["inputs"]["anyOf"]
    assert one == many["items"] == Counting().record_schema()
    assert (many["minItems"], many["maxItems"]) == (1, 5)
    assert body["required"] == ["inputs"]
    assert set(operation["responses"]) == {"200", "4XX", "5XX"}


def test_records_are_counted(client: TestClient) -> None:
    def count() -> float:
        text = client.get("/metrics").text
        return float(text.rpartition("luban_records_total ")[2].split()[0])

    before = count()
    client.post(PATH, json={"inputs": [{"text": "a"}, {"text": "b"}]})
    assert count() - before == 2

"""What a request may change of a task: every task's parameters work, others are one clear 400."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest
from fastapi.testclient import TestClient
from pydantic import Field
from torch import nn

from luban.core import registry
from luban.core.batch import Batch
from luban.core.contracts import Task
from luban.inference.predictor import Predictor
from luban.serving.app import create_app
from luban.serving.route import Service
from luban.serving.routes._parameters import TOP_K, parameters_of
from tests.contracts.makers import make, variants
from tests.inference.toy import Counter, Counting

PATH = "/v1/tasks/toy"


class Adjustable(Counting):
    """Multiplies the value, and tells scores."""

    adjustable: ClassVar[Mapping[str, tuple[float, float]]] = {"factor": (0.5, 4)}
    ranks: ClassVar[bool] = True

    factor: float = Field(default=1.0, gt=0, description="What values are multiplied by.")

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        said = super().predict(model, batch)
        scores = {"a": 0.2, "b": 0.5, "c": 0.3}
        return [{**one, "value": self.factor * one["value"], "scores": scores} for one in said]


Adjustable.__module__ = Counting.__module__


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    service = Service(model=Predictor(Adjustable(), Counter()), name="counter")
    with TestClient(create_app(service), raise_server_exceptions=False) as made:
        yield made


def ask(client: TestClient, parameters: Any) -> Any:
    body = {"inputs": [{"text": "aei"}, {"text": "be"}], "parameters": parameters}
    return client.post(PATH, json=body)


def test_a_request_changes_its_own_answers_only(client: TestClient) -> None:
    said = ask(client, {"factor": 2.0, "top_k": 2})
    assert said.status_code == 200, said.text
    assert [one["value"] for one in said.json()["predictions"]] == [2.0, 1.0]
    assert said.json()["predictions"][0]["scores"] == {"b": 0.5, "c": 0.3}
    plain = ask(client, None).json()["predictions"]
    assert [one["value"] for one in plain] == [1.0, 0.5]
    assert set(plain[0]["scores"]) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"factor": 0.0}, "parameters.factor"),
        ({"factor": "much"}, "parameters.factor"),
        ({"top_k": 0}, "parameters.top_k"),
        ({"max_length": 3}, "parameters.max_length"),
        ([], "parameters"),
    ],
)
def test_what_a_task_does_not_take_is_refused(
    client: TestClient, parameters: Any, param: str
) -> None:
    said = ask(client, parameters)
    assert said.status_code == 400
    assert said.json()["error"]["param"] == param


@pytest.mark.parametrize(("kind", "name", "fields"), variants("tasks"))
def test_every_task_has_the_parameters_it_names(
    kind: str, name: str, fields: dict[str, Any], samples: Any
) -> None:
    task = make(Task, name, fields, samples)
    model = parameters_of(task)
    assert set(model.model_fields) - {TOP_K} == set(task.adjustable)
    now = {field: getattr(task, field) for field in task.adjustable}
    given = model.model_validate(now).model_dump(exclude_none=True)
    assert task.model_copy(update=given) == task
    assert registry.names(kind)

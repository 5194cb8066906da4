"""``POST /v1/tasks/{task}``: records in, predictions out."""

# Without postponed annotations: the schema of a body depends on the task that is served.

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import jsonschema_rs
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from luban.core.errors import DataError
from luban.inference.predictor import Predictor
from luban.serving.errors import ApiError
from luban.serving.http import unless_disconnected
from luban.serving.route import Route, Service
from luban.serving.scheduler import InOrder, Scheduler, Stream

_SHOWN = 300  #: characters of a message that may quote a record


class Parameters(BaseModel):
    """What changes a prediction: nothing yet."""

    model_config = ConfigDict(extra="forbid")


class TaskRequest(BaseModel):
    """Records to predict; the task says what ``inputs`` holds."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str | None = Field(default=None, description="If given, the name of what is served.")
    parameters: Parameters | None = None


class Predictions(BaseModel):
    """One prediction for each record, in order."""

    object: Literal["task.predictions"] = "task.predictions"
    task: str
    model: str
    predictions: list[Any]


class Tasks(Route):
    """Serves a ``Predictor``, whatever its task."""

    def fits(self, model: object) -> bool:
        """Return whether the model predicts records."""
        return isinstance(model, Predictor)

    def mount(self, app: FastAPI, service: Service) -> None:
        """Add ``POST /v1/tasks/{task}`` for the task of the model."""
        if not isinstance(service.model, Predictor):
            raise TypeError(f"{service.model!r} does not predict records")
        predictor, limits = service.model, service.limits
        task, schema = predictor.task.name, predictor.task.record_schema()
        check = jsonschema_rs.validator_for(schema)
        scheduler: Scheduler[Sequence[Any], list[Any]] = service.add(
            InOrder(lambda records: perform(predictor, records), limits.waiting)
        )
        counter = Counter("luban_records", "Records predicted.", registry=service.metrics.registry)
        many = {"type": "array", "items": schema, "minItems": 1, "maxItems": limits.records}
        inputs = Annotated[Any, WithJsonSchema({"anyOf": [schema, many]})]
        body_of_task = create_model("TaskRequest", __base__=TaskRequest, inputs=(inputs, ...))

        @app.post(f"/v1/tasks/{task}", response_model=Predictions)
        async def predict(body: body_of_task, request: Request) -> JSONResponse:
            """Predict one record or several."""
            if body.model is not None:
                service.check_model(body.model)
            given = body.model_dump()["inputs"]
            records = given if isinstance(given, list) else [given]
            check_records(records, check, limits.records, several=isinstance(given, list))
            with scheduler.submit(records, limits.seconds) as stream:
                answers = await unless_disconnected(request, _gathered(stream))
            for index, answer in enumerate(answers):
                if isinstance(answer, DataError):
                    raise _bad(_place(index, isinstance(given, list)), str(answer))
            counter.inc(len(answers))
            answer = Predictions(task=task, model=service.name, predictions=answers)
            return JSONResponse(answer.model_dump())

        @app.post("/v1/tasks/{name}", include_in_schema=False)
        async def other(name: str) -> None:
            """Say which task there is."""
            raise ApiError(
                404,
                f"This server has the task {task!r}, not {name!r}.",
                code="task_not_found",
            )


def perform(predictor: Predictor, records: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield the answers to some records at a time, so that a client may leave in between."""
    for start in range(0, len(records), predictor.batch_size):
        yield predictor.predict(records[start : start + predictor.batch_size])


def check_records(records: list[Any], check: Any, most: int, *, several: bool) -> None:
    """Refuse records that are too many, or not of the form that the task's schema asks for.

    Raises:
        ApiError: 400, naming the record and the field.
    """
    if not 1 <= len(records) <= most:
        raise ApiError(
            400, f"inputs: 1 to {most} records per request, not {len(records)}.", param="inputs"
        )
    for index, record in enumerate(records):
        try:
            error = next(check.iter_errors(record), None)
        except UnicodeEncodeError:
            raise _bad(_place(index, several), "a text holds half a character.") from None
        if error is not None:
            steps = (f"[{s}]" if isinstance(s, int) else f".{s}" for s in error.instance_path)
            raise _bad(_place(index, several) + "".join(steps), error.message)


async def _gathered(stream: Stream[list[Any]]) -> list[Any]:
    return [answer async for answers in stream for answer in answers]


def _place(index: int, several: bool) -> str:
    return f"inputs[{index}]" if several else "inputs"


def _bad(place: str, why: str) -> ApiError:
    return ApiError(400, f"{place}: {why[:_SHOWN]}", param=place)

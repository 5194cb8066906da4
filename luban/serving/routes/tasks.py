"""``POST /v1/tasks/{task}``: records in, predictions out."""

# Without postponed annotations: the schema of a body depends on the task that is served.

from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from luban.inference.predictor import Predictor
from luban.serving.errors import ApiError
from luban.serving.route import Route, Service
from luban.serving.routes._parameters import TOP_K, given, parameters_of, parsed, shortened
from luban.serving.routes._records import Records
from luban.serving.routes._uploads import FormRoute, form_body, form_of, records_of, text_of


class TaskRequest(BaseModel):
    """Records to predict; the task says what ``inputs`` holds."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str | None = Field(default=None, description="If given, the name of what is served.")


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
        """Add ``POST /v1/tasks/{task}`` for the task of the model, and its form for files."""
        records, limits = Records.of(service), service.limits
        task, schema, path = records.task, records.schema, f"/v1/tasks/{records.task}"
        many = {"type": "array", "items": schema, "minItems": 1, "maxItems": limits.records}
        inputs = Annotated[Any, WithJsonSchema({"anyOf": [schema, many]})]
        model = parameters_of(records.predictor.task)
        changes: Any = model | None
        body_of_task = create_model(
            "TaskRequest",
            __base__=TaskRequest,
            inputs=(inputs, ...),
            parameters=(changes, None),
        )
        told = form_body(schema, limits) if records.files else None

        async def answered(
            asked: list[Any], request: Request, changed: dict[str, Any], *, several: bool = True
        ) -> JSONResponse:
            top_k = changed.pop(TOP_K, None)
            found = await records.answer(asked, request, several=several, parameters=changed)
            said = shortened(found, top_k)
            answer = Predictions(task=task, model=service.name, predictions=said)
            return JSONResponse(answer.model_dump())

        async def from_form(request: Request) -> JSONResponse:
            """Predict records that come as files."""
            async with form_of(request, limits, len(schema["properties"])) as form:
                if "model" in form:
                    service.check_model(text_of(form["model"], "model"))
                changed = form.get("parameters")
                set_ = {} if changed is None else parsed(text_of(changed, "parameters"), model)
                found = await records_of(form, schema)
            return await answered(found, request, set_)

        if records.files:
            service.uploads = True
            app.router.add_api_route(
                path,
                from_form,
                methods=["POST"],
                include_in_schema=False,
                route_class_override=FormRoute,
            )

        @app.post(path, response_model=Predictions, openapi_extra=told)
        async def predict(body: body_of_task, request: Request) -> JSONResponse:
            """Predict one record or several."""
            if body.model is not None:
                service.check_model(body.model)
            told = body.model_dump()
            asked, changed = told["inputs"], given(told["parameters"])
            several = isinstance(asked, list)
            listed = asked if several else [asked]
            return await answered(listed, request, changed, several=several)

        @app.post("/v1/tasks/{name}", include_in_schema=False)
        async def other(name: str) -> None:
            """Say which task there is."""
            raise ApiError(
                404,
                f"This server has the task {task!r}, not {name!r}.",
                code="task_not_found",
            )

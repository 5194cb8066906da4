"""What a request to predict records may change, by task."""

# Without postponed annotations: the schema depends on the task that is served.

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    create_model,
)
from pydantic_core import PydanticCustomError

from luban.core.contracts import Task
from luban.serving.errors import ApiError
from luban.serving.strict_json import parsed_json

TOP_K = "top_k"
_MOST_TOLD = 1_000_000  #: scores


class Parameters(BaseModel):
    """What a request changes for its own records; what it leaves out stays as trained."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def parameters_of(task: Task) -> type[Parameters]:
    """Return the model of the parameters that a task takes."""
    fields: dict[str, Any] = {}
    for name, (least, most) in task.adjustable.items():
        field = type(task).model_fields[name]
        told = f"{field.description or 'As in the recipe.'} {least:g} to {most:g}."
        kind: Any = field.annotation
        if field.metadata:
            kind = Annotated[kind, *field.metadata]
        bounds = AfterValidator(_within(least, most))
        shown = _shown(field.annotation, least, most)
        fields[name] = (Annotated[kind | None, bounds, shown], Field(None, description=told))
    if task.ranks:
        told = "Tell the best so many scores only."
        bound = Field(default=None, ge=1, le=_MOST_TOLD, description=told)
        fields[TOP_K] = (int | None, bound)
    return create_model("Parameters", __base__=Parameters, **fields)


def _within(least: float, most: float) -> Callable[[float | None], float | None]:
    """Return what refuses values that a request may not set."""

    def check(value: float | None) -> float | None:
        if value is not None and not least <= value <= most:
            raise PydanticCustomError("range", f"a request may set {least:g} to {most:g}")
        return value

    return check


def _shown(kind: Any, least: float, most: float) -> WithJsonSchema:
    """Return how OpenAPI shows a field: a whole number, if it can be nothing else."""
    whole = kind in (int, int | None)
    number = {"type": "integer" if whole else "number", "minimum": least, "maximum": most}
    return WithJsonSchema({"anyOf": [number, {"type": "null"}]})


def given(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parameters that are set."""
    return {name: value for name, value in (parameters or {}).items() if value is not None}


def parsed(text: str, model: type[Parameters]) -> dict[str, Any]:
    """Return the parameters in the field of a form, written as JSON.

    Raises:
        ApiError: 400 if they are none, or others than the task takes.
    """
    try:
        return given(model.model_validate(parsed_json(text, "parameters")).model_dump())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["parameters", *map(str, first["loc"])])[:100]
        raise ApiError(400, f"{place}: {first['msg']}; {taken(model)}", param=place) from None


def taken(model: type[Parameters]) -> str:
    """Return which parameters there are, for messages."""
    names = json.dumps(list(model.model_fields))[1:-1]
    return f"this task takes {names or 'no parameters'}"


def shortened(predictions: Sequence[Any], top_k: int | None) -> list[Any]:
    """Return predictions with their best scores only, the best first."""
    if top_k is None:
        return list(predictions)
    return [_best(one, top_k) if isinstance(one, Mapping) else one for one in predictions]


def _best(prediction: Mapping[str, Any], count: int) -> dict[str, Any]:
    ranked = sorted(prediction["scores"].items(), key=lambda item: -item[1])
    return {**prediction, "scores": dict(ranked[:count])}

"""What a request to predict records may change, by task."""

# Without postponed annotations: the schema depends on the task that is served.

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from luban.core.contracts import Task
from luban.serving.errors import ApiError

TOP_K = "top_k"


class Parameters(BaseModel):
    """What a request changes for its own records; what it leaves out stays as trained."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def parameters_of(task: Task) -> type[Parameters]:
    """Return the model of the parameters that a task takes."""
    fields: dict[str, Any] = {}
    for name in task.adjustable:
        field = type(task).model_fields[name]
        kind: Any = field.annotation
        if field.metadata:
            kind = Annotated[kind, *field.metadata]
        about = Field(default=None, description=field.description or "As in the recipe.")
        fields[name] = (kind | None, about)
    if task.ranks:
        about = Field(default=None, ge=1, description="Tell the best so many scores only.")
        fields[TOP_K] = (int | None, about)
    return create_model("Parameters", __base__=Parameters, **fields)


def given(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parameters that are set."""
    return {name: value for name, value in (parameters or {}).items() if value is not None}


def parsed(text: str, model: type[Parameters]) -> dict[str, Any]:
    """Return the parameters in the field of a form, written as JSON.

    Raises:
        ApiError: 400 if they are none, or others than the task takes.
    """
    try:
        return given(model.model_validate_json(text).model_dump())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["parameters", *map(str, first["loc"])])
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

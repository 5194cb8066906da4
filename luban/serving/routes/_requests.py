"""What requests to continue text have in common, as OpenAI defines it.

Fields that could not be honoured are refused rather than dropped; ``top_k``, ``min_p`` and
``repetition_penalty`` are additions that vLLM has too (``extra_body`` in the openai client).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, Field, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from luban.inference.stops import MOST_STOP_CHARACTERS, MOST_STOPS

#: Values that ask for nothing, as OpenAPI shows fields that are not supported.
NO_NUMBER = WithJsonSchema({"enum": [0, None]})
NO_LIST = WithJsonSchema({"anyOf": [{"type": "array", "maxItems": 0}, {"type": "null"}]})
NO_TABLE = WithJsonSchema({"anyOf": [{"type": "object", "maxProperties": 0}, {"type": "null"}]})
_STOP = {"type": "string", "minLength": 1, "maxLength": MOST_STOP_CHARACTERS}
_STOPS = {"type": "array", "items": _STOP, "maxItems": MOST_STOPS}


def only(*values: Any) -> WithJsonSchema:
    """Return how OpenAPI shows a field of which few values ask for nothing."""
    return WithJsonSchema({"enum": [*values, None]})


class _First(FailFast):
    """FailFast that may stand in a union."""

    __hash__ = object.__hash__


#: A list is refused at its first fault: a million of them would be told in a million messages.
FIRST = _First()


class Body(BaseModel):
    """A part of a request: nothing unknown, nothing of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StreamOptions(Body):
    """What a stream holds besides text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class SamplingRequest(Body):
    """How text is to be continued."""

    model: str
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    min_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, ge=0.01, le=100)
    n: int | None = Field(default=None, ge=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: Annotated[
        str | Annotated[list[str], FIRST] | None,
        WithJsonSchema({"anyOf": [_STOP, _STOPS, {"type": "null"}]}),
    ] = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    user: str | None = None
    frequency_penalty: Annotated[float | None, NO_NUMBER] = None
    logit_bias: Annotated[dict[str, float] | None, NO_TABLE] = None
    presence_penalty: Annotated[float | None, NO_NUMBER] = None

    @field_validator("frequency_penalty", "logit_bias", "presence_penalty")
    @classmethod
    def _penalties(cls, value: Any) -> Any:
        return without(value)

    @field_validator("stop")
    @classmethod
    def _stops(cls, value: str | list[str] | None) -> str | list[str] | None:
        texts = [value] if isinstance(value, str) else value or []
        if len(texts) > MOST_STOPS or not all(0 < len(t) <= MOST_STOP_CHARACTERS for t in texts):
            raise PydanticCustomError(
                "stop",
                f"must be at most {MOST_STOPS} texts of 1 to {MOST_STOP_CHARACTERS:,} characters",
            )
        return value

    @property
    def stops(self) -> tuple[str, ...]:
        """Every stop text."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class Usage(BaseModel):
    """Tokens read and written; a prompt is counted once however many answers it gets."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


def without(value: Any, what: str = "this server does not support it") -> Any:
    """Return a value that asks for nothing.

    Raises:
        PydanticCustomError: if it asks for something.
    """
    if value:
        raise PydanticCustomError("unsupported", "{what}", {"what": what})
    return value

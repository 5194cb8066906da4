"""Requests and answers of ``/v1/completions``, as OpenAI defines them.

Fields that could not be honoured are refused rather than dropped; ``top_k``, ``min_p`` and
``repetition_penalty`` are additions that vLLM has too (``extra_body`` in the openai client).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import PydanticCustomError

_Id = Annotated[int, Field(ge=0)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StreamOptions(_Body):
    """What a stream holds besides text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class CompletionRequest(_Body):
    """A request for one or more completions."""

    model: str
    prompt: str | list[str] | list[_Id] | list[list[_Id]]
    max_tokens: int | None = Field(default=None, ge=0)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    min_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, gt=0)
    n: int | None = Field(default=None, ge=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: int | None = Field(default=None, ge=0, le=20)
    echo: bool | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    user: str | None = None
    best_of: int | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    presence_penalty: float | None = None
    suffix: str | None = None

    @field_validator("best_of", "frequency_penalty", "logit_bias", "presence_penalty", "suffix")
    @classmethod
    def _unsupported(cls, value: Any, info: Any) -> Any:
        if value and not (info.field_name == "best_of" and value == 1):
            raise PydanticCustomError("unsupported", "this server does not support it")
        return value

    @field_validator("stop")
    @classmethod
    def _stops(cls, value: str | list[str] | None) -> str | list[str] | None:
        texts = [value] if isinstance(value, str) else value or []
        if len(texts) > 16 or not all(texts):
            raise PydanticCustomError("stop", "must be at most 16 texts that are not empty")
        return value

    @field_validator("prompt", mode="wrap")
    @classmethod
    def _prompt(cls, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        try:
            prompt = check(value)
        except ValidationError:
            prompt = []
        if prompt == []:
            expected = "must be a text, token ids of 0 or more, or a list of either"
            raise PydanticCustomError("prompt", expected)
        return prompt

    @property
    def prompts(self) -> list[str | list[int]]:
        """Every prompt, as text or as token ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [[id_ for id_ in self.prompt if isinstance(id_, int)]]
        return [prompt for prompt in self.prompt if not isinstance(prompt, int)]

    @property
    def stops(self) -> tuple[str, ...]:
        """Every stop text."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class Logprobs(BaseModel):
    """The tokens of a text; offsets count characters from its beginning."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class Choice(BaseModel):
    """One answer, or what it grew by."""

    index: int
    text: str
    logprobs: Logprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None


class Usage(BaseModel):
    """Tokens read and written; a prompt is counted once however many answers it gets."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionResponse(BaseModel):
    """A whole answer, or one event of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None

"""Requests and answers of ``/v1/completions``, as OpenAI defines them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import PydanticCustomError

from luban.serving.routes._requests import FIRST, SamplingRequest, Usage, only, without

_Id = Annotated[int, Field(ge=0)]


class CompletionRequest(SamplingRequest):
    """A request for one or more completions."""

    prompt: (
        str
        | Annotated[list[str], FIRST]
        | Annotated[list[_Id], FIRST]
        | Annotated[list[Annotated[list[_Id], FIRST]], FIRST]
    )
    max_tokens: int | None = Field(default=None, ge=0)
    logprobs: int | None = Field(default=None, ge=0, le=20)
    echo: bool | None = None
    best_of: Annotated[int | None, only(1)] = None
    suffix: Annotated[str | None, only("")] = None

    @field_validator("best_of", "suffix")
    @classmethod
    def _unsupported(cls, value: Any, info: Any) -> Any:
        return without(None if info.field_name == "best_of" and value == 1 else value)

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


class CompletionResponse(BaseModel):
    """A whole answer, or one event of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None

"""Requests and answers of ``/v1/chat/completions``, as OpenAI defines them.

A model of text cannot call tools, nor be held to a form: what asks for that is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from luban.serving.routes._requests import (
    FIRST,
    NO_LIST,
    NO_TABLE,
    Body,
    SamplingRequest,
    Usage,
    only,
    without,
)

_NO_TOOLS = "this server calls no tools; leave it out"
_NO_FORM = "this server writes plain text only; leave it out"
#: Most messages of a conversation.
MOST_MESSAGES = 2048
_ROLES = ("system", "developer", "user", "assistant")


class TextPart(Body):
    """A part of a message."""

    type: Literal["text"]
    text: str


class Message(Body):
    """A message of a conversation; an answer of this server may be sent back as it came."""

    role: str = Field(json_schema_extra={"enum": list(_ROLES)})
    content: str | Annotated[list[TextPart], FIRST]
    name: str | None = None
    refusal: Annotated[str | None, only("")] = None
    annotations: Annotated[list[Any] | None, NO_LIST] = None
    audio: Annotated[dict[str, Any] | None, NO_TABLE] = None
    tool_calls: Annotated[list[Any] | None, NO_LIST] = None
    function_call: Annotated[dict[str, Any] | None, NO_TABLE] = None

    @field_validator("role")
    @classmethod
    def _role(cls, value: str) -> str:
        if value in ("tool", "function"):
            raise PydanticCustomError("tools", _NO_TOOLS)
        if value not in _ROLES:
            raise PydanticCustomError("role", f"must be one of {', '.join(_ROLES)}")
        return value

    @field_validator("tool_calls", "function_call")
    @classmethod
    def _tools(cls, value: Any) -> Any:
        return without(value, _NO_TOOLS)

    @field_validator("refusal", "annotations", "audio")
    @classmethod
    def _text_only(cls, value: Any) -> Any:
        return without(value, "this server reads plain text only; leave it out")

    @property
    def plain(self) -> dict[str, str]:
        """The message as a chat template reads it; developers speak as the system."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        message = {"role": "system" if self.role == "developer" else self.role, "content": text}
        return {**message, "name": self.name} if self.name else message


class ChatRequest(SamplingRequest):
    """A request for the next message of a conversation."""

    messages: Annotated[list[Message], FIRST, Field(min_length=1, max_length=MOST_MESSAGES)]
    max_completion_tokens: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1, description="Its older name.")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: Annotated[list[Any] | None, NO_LIST] = None
    tool_choice: Annotated[str | dict[str, Any] | None, only("none")] = None
    parallel_tool_calls: Annotated[bool | None, only(False)] = None
    functions: Annotated[list[Any] | None, NO_LIST] = None
    function_call: Annotated[str | dict[str, Any] | None, only("none")] = None
    response_format: Annotated[dict[str, Any] | None, only({"type": "text"})] = None
    modalities: Annotated[list[str] | None, only(["text"])] = None
    store: Annotated[bool | None, only(False)] = None

    @field_validator("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call")
    @classmethod
    def _tools(cls, value: Any) -> Any:
        return without(None if value == "none" else value, _NO_TOOLS)

    @field_validator("response_format")
    @classmethod
    def _form(cls, value: Any) -> Any:
        return without(None if value == {"type": "text"} else value, _NO_FORM)

    @field_validator("store")
    @classmethod
    def _store(cls, value: bool | None) -> bool | None:
        without(value, "this server keeps no answers; leave it out, or say false")
        return value

    @field_validator("modalities")
    @classmethod
    def _modalities(cls, value: Any) -> Any:
        return without(None if value == ["text"] else value, _NO_FORM)

    @field_validator("top_logprobs")
    @classmethod
    def _top(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and not info.data.get("logprobs"):
            raise PydanticCustomError("top_logprobs", "it needs logprobs: true")
        return value

    @property
    def limit(self) -> tuple[str, int | None]:
        """Name and value of the bound on new tokens that was given."""
        if self.max_completion_tokens is None and self.max_tokens is not None:
            return "max_tokens", self.max_tokens
        return "max_completion_tokens", self.max_completion_tokens

    @property
    def top(self) -> int | None:
        """Alternatives to report with each token (None: no logprobs)."""
        return (self.top_logprobs or 0) if self.logprobs else None


class Alternative(BaseModel):
    """A token that might have come; ``bytes`` is null for a part of a character."""

    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprob(Alternative):
    """A token of the answer, and the likeliest in its place."""

    top_logprobs: list[Alternative]


class ChatLogprobs(BaseModel):
    """The tokens of an answer."""

    content: list[TokenLogprob]
    refusal: None = None


class Reply(BaseModel):
    """What the model says."""

    role: Literal["assistant"]
    content: str
    refusal: None = None


class Delta(BaseModel):
    """What a reply grew by."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChatChoice(BaseModel):
    """One whole answer."""

    index: int
    message: Reply
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length"]


class ChunkChoice(BaseModel):
    """One answer, as it grows."""

    index: int
    delta: Delta
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length"] | None


class ChatResponse(BaseModel):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class ChatChunk(BaseModel):
    """One event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None

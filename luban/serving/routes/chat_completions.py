"""``POST /v1/chat/completions``: a conversation in, its next message out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from luban.inference.text import Chat, Chunk, TextGenerator, TextToken
from luban.serving.http import STREAM
from luban.serving.route import Limits, Route, Service
from luban.serving.routes._answers import (
    Answer,
    Generation,
    Work,
    check_answers,
    check_characters,
    check_length,
    check_logprobs,
    encoded,
    room_for,
    sampling,
)
from luban.serving.routes._chat_schema import (
    Alternative,
    ChatChoice,
    ChatChunk,
    ChatLogprobs,
    ChatRequest,
    ChatResponse,
    ChunkChoice,
    Delta,
    Reply,
    TokenLogprob,
)
from luban.serving.routes._requests import Usage


class ChatCompletions(Route):
    """Serves a ``TextGenerator`` that has a chat template."""

    def fits(self, model: object) -> bool:
        """Return whether the model can chat."""
        return isinstance(model, TextGenerator) and model.chat is not None

    def mount(self, app: FastAPI, service: Service) -> None:
        """Add ``POST /v1/chat/completions``."""
        generation = Generation.of(service)
        chat = generation.generator.chat
        if chat is None:
            raise TypeError(f"{service.model!r} does not chat")

        @app.post("/v1/chat/completions", response_model=ChatResponse, responses=STREAM)
        async def chat_completions(body: ChatRequest, request: Request) -> Response:
            """Answer the last message of a conversation."""
            service.check_model(body.model)
            work = await run_in_threadpool(plan, chat, generation.generator, body, service.limits)
            return await generation.answer(work, _Answer(generation, work, body), request)


def plan(chat: Chat, generator: TextGenerator, body: ChatRequest, limits: Limits) -> Work:
    """Write the conversation as a prompt, and check it against the model and the limits.

    Raises:
        ApiError: 400, with the field at fault.
        RequestError: for a conversation the template or the model cannot take.
    """
    n, (param, asked) = body.n or 1, body.limit
    check_answers(1, n, limits)
    said = [message.plain for message in body.messages]
    check_characters(generator, sum(len(one["content"]) for one in said), limits, "messages")
    prompt = encoded(generator, chat.encode(said), limits, "messages")
    if asked is not None:
        check_length(asked, len(prompt), generator.max_length, limits, param)
    new = asked or room_for(len(prompt), generator.max_length, limits)
    check_logprobs(n * new, body.top, limits)
    return Work((tuple(prompt),), None, sampling(body, new, body.top), n, body.top)


class _Answer(Answer):
    prefix: ClassVar[str] = "chatcmpl"

    def choice(self, pieces: Sequence[tuple[Chunk, int]]) -> BaseModel:
        """Return a whole answer."""
        chunks = [piece for piece, _ in pieces]
        tokens = [token for chunk in chunks for token in chunk.tokens]
        return ChatChoice.model_validate(
            {
                "index": chunks[-1].index,
                "message": Reply(
                    role="assistant", content="".join(c.text for c in chunks), refusal=None
                ),
                "logprobs": self._logprobs(tokens),
                "finish_reason": chunks[-1].finish_reason,
            }
        )

    def delta(self, piece: Chunk, begin: int) -> BaseModel | None:
        """Return what an answer grew by; the first delta says who speaks."""
        first = self.first(piece.index)
        if not (first or piece.text or piece.finish_reason or piece.tokens):
            return None
        said = {"role": "assistant"} if first else {}
        if first or piece.text:
            said["content"] = piece.text
        return ChunkChoice(
            index=piece.index,
            delta=Delta.model_validate(said),
            logprobs=self._logprobs(piece.tokens) if piece.tokens else None,
            finish_reason=piece.finish_reason,
        )

    def response(self, choices: list[BaseModel], **usage: Usage | None) -> BaseModel:
        """Return the whole response, or one event of a stream."""
        kind, name = (
            (ChatChunk, "chat.completion.chunk")
            if self.body.stream
            else (ChatResponse, "chat.completion")
        )
        head = {"id": self.id, "object": name, "created": self.created, "model": self.model}
        return kind.model_validate({**head, "choices": choices, **usage})

    def _logprobs(self, tokens: Sequence[TextToken]) -> ChatLogprobs | None:
        if self.work.top is None:
            return None
        return ChatLogprobs(content=[_token(token) for token in tokens], refusal=None)


def _token(token: TextToken) -> TokenLogprob:
    one = _alternative(token.text, token.logprob or 0.0)
    top = [_alternative(text, logprob) for text, logprob in token.top]
    return TokenLogprob(**one.model_dump(), top_logprobs=top)


def _alternative(text: str, logprob: float) -> Alternative:
    part = "\ufffd" in text  # which bytes of a character it is, its text does not say
    return Alternative(token=text, logprob=logprob, bytes=None if part else list(text.encode()))

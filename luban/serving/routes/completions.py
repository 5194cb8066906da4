"""``POST /v1/completions``: text in, text out, at once or as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import ClassVar

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from luban.inference.text import Chunk, TextGenerator, TextToken
from luban.serving.errors import ApiError
from luban.serving.http import STREAM
from luban.serving.route import Limits, Route, Service
from luban.serving.routes._answers import (
    Answer,
    Generation,
    Work,
    check_answers,
    check_length,
    check_logprobs,
    encoded,
    room_for,
    sampling,
)
from luban.serving.routes._completion_schema import (
    Choice,
    CompletionRequest,
    CompletionResponse,
    Logprobs,
)
from luban.serving.routes._requests import Usage

_DEFAULT_MAX_TOKENS = 16  #: OpenAI's
_SCORED = 2**27  #: most logits of a prompt with ``echo`` and ``logprobs``: 512 MiB


class Completions(Route):
    """Serves a ``TextGenerator``."""

    def fits(self, model: object) -> bool:
        """Return whether the model continues text."""
        return isinstance(model, TextGenerator)

    def mount(self, app: FastAPI, service: Service) -> None:
        """Add ``POST /v1/completions``."""
        generation = Generation.of(service)

        @app.post("/v1/completions", response_model=CompletionResponse, responses=STREAM)
        async def completions(body: CompletionRequest, request: Request) -> Response:
            """Continue one or more prompts."""
            service.check_model(body.model)
            work = await run_in_threadpool(plan, generation.generator, body, service.limits)
            return await generation.answer(work, _Answer(generation, work, body), request)


def plan(generator: TextGenerator, body: CompletionRequest, limits: Limits) -> Work:
    """Check a request against the model and the server's limits, and encode its prompts.

    Raises:
        ApiError: 400, with the field at fault.
        RequestError: for a prompt the model cannot take.
    """
    n = body.n or 1
    check_answers(len(body.prompts), n, limits)
    prompts = tuple(tuple(encoded(generator, p, limits, "prompt")) for p in body.prompts)
    max_tokens = _max_tokens(body, max(map(len, prompts)), generator.max_length, limits)
    read = sum(map(len, prompts)) if body.echo else 0
    check_logprobs(n * (read + len(prompts) * max_tokens), body.logprobs, limits)
    if body.echo and body.logprobs is not None:
        _check_scored(max(map(len, prompts)), generator.vocabulary)
    texts = [p if isinstance(p, str) else generator.decode(p) for p in body.prompts]
    params = sampling(body, max_tokens, body.logprobs) if max_tokens else None
    return Work(prompts, tuple(texts) if body.echo else None, params, n, body.logprobs)


def _check_scored(tokens: int, vocabulary: int) -> None:
    """Refuse to score a prompt if that makes more numbers than ``_SCORED``.

    Raises:
        ApiError: 400.
    """
    if tokens * vocabulary > _SCORED:
        raise ApiError(
            400,
            f"logprobs: with echo, a prompt of this model may have {_SCORED // vocabulary:,} "
            f"tokens; this one has {tokens:,}.",
            param="logprobs",
        )


def _max_tokens(body: CompletionRequest, prompt: int, context: int | None, limits: Limits) -> int:
    """Return how many tokens to generate, 0 only to echo."""
    if body.max_tokens is None:
        return min(_DEFAULT_MAX_TOKENS, room_for(prompt, context, limits))
    if body.max_tokens == 0 and not body.echo:
        raise ApiError(400, "max_tokens: 0 needs echo.", param="max_tokens")
    check_length(body.max_tokens, prompt, context, limits, "max_tokens")
    return body.max_tokens


class _Answer(Answer):
    prefix: ClassVar[str] = "cmpl"

    def choice(self, pieces: Sequence[tuple[Chunk, int]]) -> BaseModel:
        """Return a whole answer."""
        return _join([self._choice(piece, begin) for piece, begin in pieces])

    def delta(self, piece: Chunk, begin: int) -> BaseModel | None:
        """Return what an answer grew by."""
        choice = self._choice(piece, begin)
        return choice if choice.text or choice.logprobs or choice.finish_reason else None

    def response(self, choices: list[BaseModel], **usage: Usage | None) -> BaseModel:
        """Return the whole response, or one event of a stream."""
        return CompletionResponse(
            id=self.id,
            object="text_completion",
            created=self.created,
            model=self.model,
            choices=[choice for choice in choices if isinstance(choice, Choice)],
            **usage,
        )

    def _choice(self, piece: Chunk, begin: int) -> Choice:
        return Choice(
            index=piece.index,
            text=piece.text,
            logprobs=None if self.work.top is None else _logprobs(piece, begin),
            finish_reason=piece.finish_reason,
        )


def _logprobs(piece: Chunk, begin: int) -> Logprobs:
    """Return the logprobs of a piece whose text begins at ``begin``."""
    return Logprobs(
        tokens=[token.text for token in piece.tokens],
        token_logprobs=[token.logprob for token in piece.tokens],
        top_logprobs=[_top(token) for token in piece.tokens],
        text_offset=[begin + at for at in _offsets([t.text for t in piece.tokens], piece.text)],
    )


#: What a decoder writes for bytes that are no whole character.
_PART = "\ufffd"


def _offsets(tokens: Sequence[str], text: str) -> list[int]:
    """Return the place in a text, in characters, of each token's first one.

    A token that is a part of a character is written as U+FFFD: it lies where its character does.
    Where several such tokens make several characters, the bytes of these are dealt out evenly.
    """
    offsets, at = list[int](), 0
    for partial, group in groupby(tokens, lambda token: _PART in token):
        run = list(group)
        if not partial:
            for token in run:
                offsets.append(min(at, len(text)))
                at += len(token)
            continue
        after = next((token for token in tokens[len(offsets) + len(run) :] if token), "")
        end = text.find(after, at) if after else len(text)
        owner = [
            at + place
            for place, character in enumerate(text[at : max(at, end)])
            for _ in character.encode()
        ]
        offsets += [
            owner[number * len(owner) // len(run)] if owner else min(at, len(text))
            for number in range(len(run))
        ]
        at = max(at, end)
    return offsets


def _top(token: TextToken) -> dict[str, float] | None:
    """Return the likeliest tokens and the one taken; the likelier of two with one text wins."""
    if token.logprob is None:
        return None
    best: dict[str, float] = {}
    for text, logprob in (*token.top, (token.text, token.logprob)):
        best.setdefault(text, logprob)
    return best


def _join(choices: list[Choice]) -> Choice:
    parts = [choice.logprobs for choice in choices if choice.logprobs is not None]
    names = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
    joined = {name: [item for part in parts for item in getattr(part, name)] for name in names}
    return Choice(
        index=choices[-1].index,
        text="".join(choice.text for choice in choices),
        logprobs=Logprobs(**joined) if parts else None,
        finish_reason=choices[-1].finish_reason,
    )

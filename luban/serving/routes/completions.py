"""``POST /v1/completions``: text in, text out, at once or as it comes."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import Counter, Histogram

from luban.inference.sampling import SamplingParams
from luban.inference.text import Chunk, FinishReason, TextGenerator, TextToken
from luban.serving.errors import ApiError
from luban.serving.http import EventStream, unless_disconnected
from luban.serving.metrics import BUCKETS
from luban.serving.route import Limits, Route, Service
from luban.serving.routes._completion_schema import (
    Choice,
    CompletionRequest,
    CompletionResponse,
    Logprobs,
    Usage,
)
from luban.serving.scheduler import InOrder, Scheduler, Stream

_DEFAULT_MAX_TOKENS = 16  #: OpenAI's


@dataclass(frozen=True, slots=True)
class Work:
    """One request as the model sees it.

    Attributes:
        prompts: Token ids of each prompt.
        echoes: The text each prompt's answers begin with (None: no echo).
        params: How to continue; None only reads the prompts.
        n: Answers to each prompt.
        top: Alternatives to report with each token (None: no logprobs).
    """

    prompts: tuple[Sequence[int], ...]
    echoes: tuple[str, ...] | None
    params: SamplingParams | None
    n: int
    top: int | None


class Completions(Route):
    """Serves a ``TextGenerator``."""

    def fits(self, model: object) -> bool:
        """Return whether the model continues text."""
        return isinstance(model, TextGenerator)

    def mount(self, app: FastAPI, service: Service) -> None:
        """Add ``POST /v1/completions``."""
        if not isinstance(service.model, TextGenerator):
            raise TypeError(f"{service.model!r} does not continue text")
        generator = service.model
        scheduler: Scheduler[Work, Chunk] = service.add(
            InOrder(lambda work: perform(generator, work), service.limits.waiting)
        )
        counts = _Counts(service)

        @app.post("/v1/completions", response_model=CompletionResponse)
        async def completions(body: CompletionRequest, request: Request) -> Response:
            """Continue one or more prompts."""
            service.check_model(body.model)
            work = await run_in_threadpool(plan, generator, body, service.limits)
            stream = scheduler.submit(work, service.limits.seconds)
            answer = _Answer(service.name, work, body, counts)
            if body.stream:
                return await EventStream.begin(answer.events(stream), stream, request)
            with stream:
                return await unless_disconnected(request, answer.whole(stream))


def plan(generator: TextGenerator, body: CompletionRequest, limits: Limits) -> Work:
    """Check a request against the model and the server's limits, and encode its prompts.

    Raises:
        ApiError: 400, with the field at fault.
        RequestError: for a prompt the model cannot take.
    """
    n, echo = body.n or 1, bool(body.echo)
    prompts = tuple(tuple(generator.encode(prompt)) for prompt in body.prompts)
    longest = max(map(len, prompts))
    if len(prompts) * n > limits.choices:
        raise ApiError(400, f"At most {limits.choices} answers per request.", param="n")
    if longest > limits.prompt_tokens:
        raise ApiError(
            400,
            f"A prompt has {longest:,} tokens; this server takes {limits.prompt_tokens:,}.",
            param="prompt",
            code="context_length_exceeded",
        )
    max_tokens = _max_tokens(body, longest, generator.max_length, limits)
    texts = [p if isinstance(p, str) else generator.decode(p) for p in body.prompts]
    return Work(
        prompts, tuple(texts) if echo else None, _params(body, max_tokens), n, body.logprobs
    )


def perform(generator: TextGenerator, work: Work) -> Iterator[Chunk]:
    """Yield the chunks of every answer; the answers to prompt i are i * n to i * n + n - 1."""
    for i, ids in enumerate(work.prompts):
        first = i * work.n
        if work.echoes is not None:
            tokens = () if work.top is None else tuple(generator.score(ids, work.top))
            reason: FinishReason | None = "length" if work.params is None else None
            for index in range(first, first + work.n):
                yield Chunk(index, work.echoes[i], tokens, 0, reason)
        if work.params is not None:
            for chunk in generator.stream(ids, work.params, work.n):
                yield replace(chunk, index=first + chunk.index)


def _max_tokens(body: CompletionRequest, prompt: int, context: int | None, limits: Limits) -> int:
    """Return how many tokens to generate, 0 only to echo."""
    room = limits.max_tokens if context is None else min(context - prompt, limits.max_tokens)
    if body.max_tokens is None:
        return min(_DEFAULT_MAX_TOKENS, room)
    if body.max_tokens == 0 and not body.echo:
        raise ApiError(400, "max_tokens: 0 needs echo.", param="max_tokens")
    if body.max_tokens > limits.max_tokens:
        raise ApiError(
            400, f"max_tokens: this server allows {limits.max_tokens:,}.", param="max_tokens"
        )
    if body.max_tokens > room:
        raise ApiError(
            400,
            f"This model's maximum context length is {context:,} tokens; you asked for "
            f"{prompt + body.max_tokens:,} ({prompt:,} in the prompt, {body.max_tokens:,} new).",
            param="max_tokens",
            code="context_length_exceeded",
        )
    return body.max_tokens


def _params(body: CompletionRequest, max_tokens: int) -> SamplingParams | None:
    if max_tokens == 0:
        return None
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "logprobs")
    given = {name: value for name in names if (value := getattr(body, name)) is not None}
    return SamplingParams(max_tokens=max_tokens, stop=body.stops, **given)


class _Counts:
    """What this route adds to ``/metrics``."""

    def __init__(self, service: Service) -> None:
        registry = service.metrics.registry
        tokens = Counter("luban_tokens", "Tokens read and written.", ("kind",), registry=registry)
        self.prompt, self.completion = tokens.labels("prompt"), tokens.labels("completion")
        self.first = Histogram(
            "luban_first_piece_seconds",
            "Time from a request to the first piece of its answer.",
            buckets=BUCKETS,
            registry=registry,
        )


class _Answer:
    """Puts the pieces of one request together, and counts them."""

    def __init__(self, model: str, work: Work, body: CompletionRequest, counts: _Counts) -> None:
        self._id, self._created, self._model = f"cmpl-{uuid.uuid4().hex}", int(time.time()), model
        self._work, self._counts = work, counts
        self._usage_in_stream = body.wants_usage
        self._begun: float | None = time.perf_counter()
        answers = len(work.prompts) * work.n
        self._lengths, self._written = [0] * answers, [0] * answers

    async def whole(self, stream: Stream[Chunk]) -> Response:
        """Return the answer in one piece."""
        parts: list[list[Choice]] = [[] for _ in self._lengths]
        async for piece in stream:
            parts[piece.index].append(self._choice(piece))
        answer = self._response([_join(choices) for choices in parts], usage=self._usage())
        return Response(answer, media_type="application/json")

    async def events(self, stream: Stream[Chunk]) -> AsyncIterator[str]:
        """Yield the data of each server-sent event."""
        nothing = {"usage": None} if self._usage_in_stream else {}
        async for piece in stream:
            choice = self._choice(piece)
            if choice.text or choice.logprobs or choice.finish_reason:
                yield self._response([choice], **nothing)
        if self._usage_in_stream:
            yield self._response([], usage=self._usage())
        yield "[DONE]"

    def _choice(self, piece: Chunk) -> Choice:
        if self._begun is not None:
            self._counts.first.observe(time.perf_counter() - self._begun)
            self._counts.prompt.inc(sum(map(len, self._work.prompts)))
            self._begun = None
        index, reason = piece.index, piece.finish_reason
        begin, self._lengths[index] = self._lengths[index], self._lengths[index] + len(piece.text)
        self._counts.completion.inc(piece.completion_tokens - self._written[index])
        self._written[index] = piece.completion_tokens
        logprobs = None if self._work.top is None else _logprobs(piece, begin)
        return Choice(index=index, text=piece.text, logprobs=logprobs, finish_reason=reason)

    def _usage(self) -> Usage:
        prompt, written = sum(map(len, self._work.prompts)), sum(self._written)
        return Usage(prompt_tokens=prompt, completion_tokens=written, total_tokens=prompt + written)

    def _response(self, choices: list[Choice], **usage: Usage | None) -> str:
        response = CompletionResponse(
            id=self._id,
            object="text_completion",
            created=self._created,
            model=self._model,
            choices=choices,
            **usage,
        )
        return response.model_dump_json(exclude_unset=True)


def _logprobs(piece: Chunk, begin: int) -> Logprobs:
    """Return the logprobs of a piece whose text begins at ``begin``.

    A token that is a part of a character has no text of its own and begins where its piece ends.
    """
    end, at, offsets = begin + len(piece.text), begin, []
    for token in piece.tokens:
        offsets.append(min(at, end))
        at += len(token.text)
    return Logprobs(
        tokens=[token.text for token in piece.tokens],
        token_logprobs=[token.logprob for token in piece.tokens],
        top_logprobs=[_top(token) for token in piece.tokens],
        text_offset=offsets,
    )


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

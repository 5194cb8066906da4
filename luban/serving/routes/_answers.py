"""What routes over a ``TextGenerator`` share: the queue, the limits, and answers piece by piece."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from fastapi import Request, Response
from prometheus_client import Counter, Histogram
from pydantic import BaseModel

from luban.inference.sampling import SamplingParams
from luban.inference.text import Chunk, FinishReason, TextGenerator
from luban.serving.errors import ApiError
from luban.serving.http import EventStream, unless_disconnected
from luban.serving.metrics import BUCKETS
from luban.serving.route import Limits, Service
from luban.serving.routes._requests import SamplingRequest, Usage
from luban.serving.scheduler import InOrder, Scheduler, Stream


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


class Generation:
    """The one queue of a served generator, and what it adds to ``/metrics``."""

    def __init__(self, service: Service) -> None:
        if not isinstance(service.model, TextGenerator):
            raise TypeError(f"{service.model!r} does not continue text")
        self.generator, self.service = service.model, service
        self._scheduler: Scheduler[Work, Chunk] = service.add(
            InOrder(lambda work: perform(self.generator, work), service.limits.waiting)
        )
        registry = service.metrics.registry
        tokens = Counter("luban_tokens", "Tokens read and written.", ("kind",), registry=registry)
        self.prompt, self.completion = tokens.labels("prompt"), tokens.labels("completion")
        self.first = Histogram(
            "luban_first_piece_seconds",
            "Time from a request to the first piece of its answer.",
            buckets=BUCKETS,
            registry=registry,
        )

    @classmethod
    def of(cls, service: Service) -> Self:
        """Return the one of a service: all routes queue for the same model."""
        return service.shared(cls)

    async def answer(self, work: Work, answer: Answer, request: Request) -> Response:
        """Put a request in the queue and return its answer, whole or as a stream."""
        stream = self._scheduler.submit(work, self.service.limits.seconds)
        if answer.body.stream:
            return await EventStream.begin(answer.events(stream), stream, request)
        with stream:
            return await unless_disconnected(request, answer.whole(stream))


class Answer(ABC):
    """Puts the pieces of one request together, and counts them."""

    prefix: ClassVar[str]  #: of its id

    def __init__(self, generation: Generation, work: Work, body: SamplingRequest) -> None:
        self.body, self.work, self._counts = body, work, generation
        self.model, self.created = generation.service.name, int(time.time())
        self.id = f"{self.prefix}-{uuid.uuid4().hex}"
        self._begun: float | None = time.perf_counter()
        answers = len(work.prompts) * work.n
        self._lengths, self._written = [0] * answers, [0] * answers
        self._silent = set(range(answers))

    @abstractmethod
    def choice(self, pieces: Sequence[tuple[Chunk, int]]) -> BaseModel:
        """Return a whole answer: its pieces, each with where its text begins."""

    @abstractmethod
    def delta(self, piece: Chunk, begin: int) -> BaseModel | None:
        """Return what an answer grew by, None for nothing to tell."""

    @abstractmethod
    def response(self, choices: list[BaseModel], **usage: Usage | None) -> BaseModel:
        """Return the whole response, or one event of a stream."""

    def first(self, index: int) -> bool:
        """Return whether this is asked about an answer for the first time."""
        first = index in self._silent
        self._silent.discard(index)
        return first

    async def whole(self, stream: Stream[Chunk]) -> Response:
        """Return the answer in one piece."""
        parts: list[list[tuple[Chunk, int]]] = [[] for _ in self._lengths]
        async for piece in stream:
            parts[piece.index].append((piece, self._count(piece)))
        answer = self.response([self.choice(pieces) for pieces in parts], usage=self._usage())
        return Response(_json(answer), media_type="application/json")

    async def events(self, stream: Stream[Chunk]) -> AsyncIterator[str]:
        """Yield the data of each server-sent event."""
        nothing = {"usage": None} if self.body.wants_usage else {}
        async for piece in stream:
            choice = self.delta(piece, self._count(piece))
            if choice is not None:
                yield _json(self.response([choice], **nothing))
        if self.body.wants_usage:
            yield _json(self.response([], usage=self._usage()))
        yield "[DONE]"

    def _count(self, piece: Chunk) -> int:
        """Count a piece and return where its text begins."""
        if self._begun is not None:
            self._counts.first.observe(time.perf_counter() - self._begun)
            self._counts.prompt.inc(sum(map(len, self.work.prompts)))
            self._begun = None
        index = piece.index
        begin, self._lengths[index] = self._lengths[index], self._lengths[index] + len(piece.text)
        self._counts.completion.inc(piece.completion_tokens - self._written[index])
        self._written[index] = piece.completion_tokens
        return begin

    def _usage(self) -> Usage:
        prompt, written = sum(map(len, self.work.prompts)), sum(self._written)
        return Usage(prompt_tokens=prompt, completion_tokens=written, total_tokens=prompt + written)


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


def check_answers(prompts: int, n: int, limits: Limits) -> None:
    """Refuse a request for more answers than the server gives.

    Raises:
        ApiError: 400.
    """
    if prompts * n > limits.choices:
        told = f"At most {limits.choices} answers per request, prompts times n."
        raise ApiError(400, told, param="n" if n > 1 else "prompt")


def check_logprobs(tokens: int, top: int | None, limits: Limits) -> None:
    """Refuse a request for more probabilities than the server tells in one answer.

    Args:
        tokens: Tokens of all answers.
        top: Alternatives told with each (None: no probabilities are told).
        limits: Of the server.

    Raises:
        ApiError: 400.
    """
    if top is not None and tokens * (1 + top) > limits.logprobs:
        raise ApiError(
            400,
            f"logprobs: this request may get {tokens:,} tokens with {top} alternatives each; "
            f"this server tells {limits.logprobs:,} probabilities in one answer.",
            param="logprobs",
        )


def encoded(
    generator: TextGenerator, prompt: str | Sequence[int], limits: Limits, param: str
) -> list[int]:
    """Return the tokens of a prompt.

    Raises:
        ApiError: 400 if it is too long; a text that is far too long is not read.
        RequestError: if the model cannot take it.
    """
    if isinstance(prompt, str):
        check_characters(generator, len(prompt), limits, param)
    ids = generator.tokens(prompt)
    if len(ids) > _most_tokens(generator, limits):
        raise _too_long(f"{len(ids):,} tokens", generator, limits, param)
    return generator.encode(ids)


def check_characters(generator: TextGenerator, characters: int, limits: Limits, param: str) -> None:
    """Refuse text of more characters than the longest prompt can have.

    Raises:
        ApiError: 400.
    """
    if characters > _most_tokens(generator, limits) * generator.longest_token:
        raise _too_long(f"{characters:,} characters", generator, limits, param)


def _most_tokens(generator: TextGenerator, limits: Limits) -> int:
    context = generator.max_length
    return limits.prompt_tokens if context is None else min(limits.prompt_tokens, context - 1)


def _too_long(what: str, generator: TextGenerator, limits: Limits, param: str) -> ApiError:
    return ApiError(
        400,
        f"The prompt has {what}; it may have {_most_tokens(generator, limits):,} tokens.",
        param=param,
        code="context_length_exceeded",
    )


def check_length(asked: int, prompt: int, context: int | None, limits: Limits, param: str) -> None:
    """Refuse a request for more tokens than the server or the model allows.

    Raises:
        ApiError: 400.
    """
    if asked > limits.max_tokens:
        raise ApiError(400, f"{param}: this server allows {limits.max_tokens:,}.", param=param)
    if context is not None and prompt + asked > context:
        raise ApiError(
            400,
            f"This model's maximum context length is {context:,} tokens; you asked for "
            f"{prompt + asked:,} ({prompt:,} in the prompt, {asked:,} new).",
            param=param,
            code="context_length_exceeded",
        )


def room_for(prompt: int, context: int | None, limits: Limits) -> int:
    """Return how many tokens may follow a prompt."""
    return limits.max_tokens if context is None else min(context - prompt, limits.max_tokens)


def sampling(body: SamplingRequest, max_tokens: int, top: int | None) -> SamplingParams:
    """Return how to continue, as a request says it."""
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed")
    given = {name: value for name in names if (value := getattr(body, name)) is not None}
    return SamplingParams(max_tokens=max_tokens, stop=body.stops, logprobs=top, **given)


def _json(answer: BaseModel) -> str:
    return answer.model_dump_json(exclude_unset=True)

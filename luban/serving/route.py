"""What a route is, and what it is given."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import FastAPI

from luban.serving.errors import ApiError
from luban.serving.metrics import Metrics
from luban.serving.scheduler import Scheduler

S = TypeVar("S", bound=Scheduler[Any, Any])
P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a server lets a client ask of it.

    Attributes:
        body_bytes: Largest request body.
        upload_bytes: Largest request body where requests hold files.
        held_bytes: Most bytes of request bodies held at once, those of all clients together.
        header_bytes: Largest head of a request: its line and headers.
        connections: Most connections at once, those of all clients together.
        prompt_tokens: Longest prompt (the model may allow less).
        max_tokens: Most tokens that may be asked for in one answer.
        choices: Most answers in one request: prompts times ``n``.
        logprobs: Most probabilities told in one answer: tokens times (1 + alternatives).
        records: Most records to predict in one request.
        record_characters: Longest text in a record.
        waiting: Most requests that may wait for the model.
        seconds: Longest time for one request, waiting included.
        idle_seconds: Longest time for the head of a request to arrive, for the next part of its
            body, and for a client to make room for the next part of its answer.
        grace_seconds: Longest time for requests in flight to finish when the server stops.
    """

    body_bytes: int = 1_048_576
    upload_bytes: int = 16_777_216
    held_bytes: int = 268_435_456
    header_bytes: int = 16_384
    connections: int = 512
    prompt_tokens: int = 32_768
    max_tokens: int = 4_096
    choices: int = 64
    logprobs: int = 1_048_576
    records: int = 256
    record_characters: int = 100_000
    waiting: int = 64
    seconds: float = 300.0
    idle_seconds: float = 30.0
    grace_seconds: float = 30.0


@dataclass(slots=True, kw_only=True)
class Service:
    """What routes are given: the model and everything they share.

    Attributes:
        model: What is served; each route says whether it can.
        name: The model's name in requests.
        limits: What a client may ask.
        api_key: What ``Authorization: Bearer`` must carry; empty: ``LUBAN_API_KEY``, and if
            that is unset too, every client is welcome.
        uploads: Set by a route whose requests hold files: bodies may be larger then.
        draining: Set when the server is about to stop: no new requests.
        in_flight: Requests being answered.
        held: Bytes of their bodies that have come, by client.
    """

    model: object
    name: str
    limits: Limits = field(default_factory=Limits)
    api_key: str = ""
    created: int = field(default_factory=lambda: int(time.time()))
    metrics: Metrics = field(default_factory=Metrics)
    uploads: bool = False
    draining: bool = False
    in_flight: int = 0
    held: Counter[str] = field(default_factory=Counter)
    schedulers: list[Scheduler[Any, Any]] = field(default_factory=list)
    parts: dict[Any, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.api_key = self.api_key or os.environ.get("LUBAN_API_KEY", "")
        self.metrics.watch_waiting(lambda: sum(s.waiting for s in self.schedulers))

    @property
    def body_bytes(self) -> int:
        """Largest request body."""
        limits = self.limits
        return min(limits.upload_bytes if self.uploads else limits.body_bytes, limits.held_bytes)

    def check_model(self, name: str) -> None:
        """Refuse requests for other models.

        Raises:
            ApiError: 404, as OpenAI does.
        """
        if name != self.name:
            raise ApiError(
                404,
                f"The model {name!r} does not exist here; this server has {self.name!r}.",
                param="model",
                code="model_not_found",
            )

    def shared(self, make: Callable[[Service], P]) -> P:
        """Return what ``make`` makes of this service, the same one to every route."""
        if make not in self.parts:
            self.parts[make] = make(self)
        part: P = self.parts[make]
        return part

    def add(self, scheduler: S) -> S:
        """Count a scheduler's queue and stop it with the server."""
        self.schedulers.append(scheduler)
        return scheduler

    def stop(self) -> None:
        """Stop every scheduler."""
        for scheduler in self.schedulers:
            scheduler.stop()


class Route(ABC):
    """Endpoints for one capability: one file in ``serving/routes/``, found by its name."""

    @abstractmethod
    def fits(self, model: object) -> bool:
        """Return whether this route can serve a model."""

    @abstractmethod
    def mount(self, app: FastAPI, service: Service) -> None:
        """Add the endpoints."""

"""Answers that stop their work when the client leaves."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Self, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from luban.serving.errors import ApiError, api_error
from luban.serving.scheduler import Stream

T = TypeVar("T")

#: How OpenAPI is told that an answer may be a stream.
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}

_log = logging.getLogger("luban.serving")


async def unless_disconnected(request: Request, work: Awaitable[T]) -> T:
    """Return the result of ``work``, or cancel it when the client has gone.

    Raises:
        ApiError: 499, which only the log and the metrics will see.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ApiError(499, "The client closed the connection.")
    finally:
        working.cancel()
        gone.cancel()


class EventStream(StreamingResponse):
    """Server-sent events; however it ends, the work behind it ends too."""

    def __init__(self, first: str, rest: AsyncIterator[str], stream: Stream[Any]) -> None:
        super().__init__(
            _lines(first, rest),
            media_type="text/event-stream",
            headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
        )
        self._stream = stream

    @classmethod
    async def begin(cls, events: AsyncIterator[str], stream: Stream[Any], request: Request) -> Self:
        """Wait for the first event, so that errors before it still have an HTTP status."""
        try:
            return cls(await unless_disconnected(request, anext(events)), events, stream)
        except BaseException:
            stream.cancel()
            raise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        with self._stream:
            await super().__call__(scope, receive, send)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _lines(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield f"data: {first}\n\n"
    try:
        async for data in rest:
            yield f"data: {data}\n\n"
    except Exception as error:  # the status is sent: the error must be an event
        answer = api_error(error)
        if answer.status_code == 500:
            _log.exception("a stream failed")
        yield f"data: {json.dumps(answer.body())}\n\n"

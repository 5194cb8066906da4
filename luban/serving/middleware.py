"""What every request passes before a route sees it: count, identity, drain, key, size and room."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from luban.serving.errors import ApiError, api_error
from luban.serving.route import Service

#: Open while draining and without a key: load balancers and Prometheus ask here.
_UNGUARDED = ("/health", "/metrics")
#: The status of an answer that never began, because the client left.
_LEFT = 499
#: Seconds to wait for the rest of a body that nobody wants, and bytes of it beside the bound.
_LINGER, _REST = 5.0, 1 << 20

_log = logging.getLogger("luban.serving")


class Doorkeeper:
    """Pure ASGI, so that streams and disconnects pass through untouched."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        service, start = self._service, time.perf_counter()
        body = _Body(receive, service)
        identity = f"req-{uuid.uuid4().hex}"
        status = _LEFT

        async def identified(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = identity
            elif not message.get("more_body", False):
                await body.drain()
            await send(message)

        service.in_flight += 1
        service.metrics.started()
        try:
            refusal = self._refusal(scope, body)
            if refusal is not None:
                await refusal.response()(scope, receive, identified)
            else:
                await self._app(scope, body, identified)
        except Exception as error:
            _log.exception("%s failed", identity)
            if status != _LEFT:  # the answer has begun: the server can only hang up
                raise
            await api_error(error).response()(scope, receive, identified)
        finally:
            service.in_flight -= 1
            body.release()
            route = getattr(scope.get("route"), "path", "other")
            service.metrics.finished(route, status, time.perf_counter() - start)

    def _refusal(self, scope: Scope, body: _Body) -> ApiError | None:
        service, headers = self._service, Headers(scope=scope)
        if scope["path"] in _UNGUARDED:
            return None
        if service.draining:
            return ApiError(
                503,
                "The server is stopping.",
                headers={"retry-after": "5", "connection": "close"},
            )
        if service.api_key and not _same(_bearer(headers), service.api_key):
            return ApiError(
                401,
                "The API key is missing or wrong; send it as Authorization: Bearer KEY.",
                headers={"www-authenticate": "Bearer"},
            )
        size = headers.get("content-length", "0")
        return body.reserve(int(size)) if size.isdigit() else None


class _Body:
    """A request body that may be neither too large nor too slow, nor one too many."""

    def __init__(self, receive: Receive, service: Service) -> None:
        self._receive, self._service = receive, service
        self._most, self._seconds = service.body_bytes, service.limits.seconds
        self._size, self._held, self._complete = 0, 0, False

    async def __call__(self) -> Message:
        """Return the next part; after the last one, wait for the client to leave."""
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout(self._seconds):
                message = await self._next()
        except TimeoutError:
            raise ApiError(408, "The request body took too long to arrive.") from None
        refusal = self.reserve(self._size)
        if refusal is not None:
            raise refusal
        return message

    def reserve(self, size: int) -> ApiError | None:
        """Take room for a body of so many bytes; return the refusal if it is not to be had."""
        more = size - self._held
        if size > self._most:
            return _too_large(self._most)
        if more > 0 and self._service.held_bytes + more > self._service.limits.held_bytes:
            return ApiError(
                503,
                "The server holds as much of other requests as it can; try again in a moment.",
                headers={"retry-after": "1", "connection": "close"},
            )
        self._held += max(0, more)
        self._service.held_bytes += max(0, more)
        return None

    def release(self) -> None:
        """Give the room back."""
        self._service.held_bytes -= self._held
        self._held = 0

    async def drain(self) -> None:
        """Read what a refused client still sends: hanging up on it would lose the answer."""
        bound = self._size + self._most + _REST
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                while not self._complete and self._size <= bound:
                    await self._next()

    async def _next(self) -> Message:
        message: dict[str, Any] = dict(await self._receive())
        self._size += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        return message


def _too_large(most: int) -> ApiError:
    return ApiError(
        413,
        f"The request body is larger than {most:,} bytes.",
        headers={"connection": "close"},
    )


def _bearer(headers: Headers) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _same(given: str, expected: str) -> bool:
    """Compare in constant time, so that the answer's delay tells nothing of the key."""
    return hmac.compare_digest(given.encode(), expected.encode())

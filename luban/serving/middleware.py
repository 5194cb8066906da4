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

from luban.serving.connection import REFUSED, client_of
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
        body = _Body(receive, service, client_of(scope.get("client")))
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
            return _unavailable("The server is stopping.", 5)
        if scope.get("state", {}).get(REFUSED):
            return _unavailable("The server has as many connections as it can hold.", 1)
        if service.api_key and not _same(_bearer(headers), service.api_key):
            return ApiError(
                401,
                "The API key is missing or wrong; send it as Authorization: Bearer KEY.",
                headers={"www-authenticate": "Bearer"},
            )
        return body.too_large(int(headers.get("content-length", "0")))  # digits, or it is refused


class _Body:
    """A request body that may be neither too large nor too slow, nor one too many.

    What it takes is counted as it comes: a client that announces much and sends nothing takes
    nothing.
    """

    def __init__(self, receive: Receive, service: Service, client: str) -> None:
        self._receive, self._service, self._client = receive, service, client
        self._most, self._limits = service.body_bytes, service.limits
        self._until = time.monotonic() + service.limits.seconds
        self._size, self._held, self._complete = 0, 0, False

    async def __call__(self) -> Message:
        """Return the next part; after the last one, wait for the client to leave."""
        if self._complete:
            return await self._receive()
        patience = min(self._limits.idle_seconds, self._until - time.monotonic())
        try:
            async with asyncio.timeout(patience):
                message = await self._next()
        except TimeoutError:
            raise ApiError(
                408,
                "The request body took too long to arrive.",
                headers={"connection": "close"},
            ) from None
        refusal = self.too_large(self._size) or self._hold(self._size - self._held)
        if refusal is not None:
            raise refusal
        return message

    def too_large(self, size: int) -> ApiError | None:
        """Return the refusal of a body of so many bytes, if it is one."""
        if size <= self._most:
            return None
        return ApiError(
            413,
            f"The request body is larger than {self._most:,} bytes.",
            headers={"connection": "close"},
        )

    def _hold(self, more: int) -> ApiError | None:
        """Take room; return the refusal if it is not to be had.

        A client with several bodies has half of the room at most, so that the first body of any
        other one is taken.
        """
        held, most = self._service.held, self._limits.held_bytes
        others = held[self._client] - self._held
        if held.total() + more > most or (others and others + self._held + more > most // 2):
            told = "The server holds as much of requests as it can; try again in a moment."
            return _unavailable(told, 1)
        self._held += more
        held[self._client] += more
        return None

    def release(self) -> None:
        """Give the room back."""
        held = self._service.held
        held[self._client] -= self._held
        if not held[self._client]:
            del held[self._client]
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


def _unavailable(why: str, seconds: int) -> ApiError:
    headers = {"retry-after": str(seconds), "connection": "close"}
    return ApiError(503, why, headers=headers)


def _bearer(headers: Headers) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _same(given: str, expected: str) -> bool:
    """Compare in constant time, so that the answer's delay tells nothing of the key."""
    return hmac.compare_digest(given.encode(), expected.encode())

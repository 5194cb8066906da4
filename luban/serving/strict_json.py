"""JSON that has one meaning: what is read of a request, and how much of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from pydantic_core import from_json

from luban.serving.errors import ApiError

#: Most values in a body, most names in one object, and how deep lists and objects nest; the last
#: is that of the parser of pydantic.
MOST_VALUES, MOST_NAMES, MOST_DEPTH = 1_048_576, 10_000, 201
#: Bodies of more bytes are read apart from the event loop.
_LARGE = 65_536


class JsonRequest(Request):
    """A request whose body is strict JSON."""

    async def json(self) -> Any:
        """Return the body.

        Raises:
            ApiError: 400 if it is not JSON, or says one thing twice.
        """
        if not hasattr(self, "_json"):
            body = await self.body()
            large = len(body) > _LARGE
            self._json = await run_in_threadpool(parsed_json, body) if large else parsed_json(body)
        return self._json


class JsonRoute(APIRoute):
    """Reads bodies as ``JsonRequest`` does."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers requests."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return strictly


def parsed_json(body: bytes | str, place: str = "The body") -> Any:
    """Return what JSON says.

    Args:
        body: JSON, in UTF-8 if it is bytes.
        place: What is at fault, for messages.

    Raises:
        ApiError: 400 for what is not JSON as RFC 8259 has it (also NaN), nests deeper than
            ``MOST_DEPTH``, or has more than ``MOST_VALUES`` values; for half a character of
            UTF-16, a name twice in one object, or a fraction too large for 64 bits.
    """
    if isinstance(body, str):
        body = body.encode(errors="surrogatepass")
    if sum(body.count(one) for one in (b",", b"[", b"{")) > MOST_VALUES:
        raise ApiError(400, f"{place} has more than {MOST_VALUES:,} JSON values.")
    try:
        from_json(body, allow_inf_nan=False)  # bounds the depth, refuses half characters
        return json.loads(body, object_pairs_hook=_object, parse_float=_number)
    except (ValueError, RecursionError) as error:
        told = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        if "surrogate" in told or "hex escape" in told:
            told = f"a text holds half a character ({told})"
        raise ApiError(400, f"{place} is not valid JSON: {told}.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_NAMES:
        raise ValueError(f"an object has more than {MOST_NAMES:,} names")
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in made if names.count(name) > 1)
        raise ValueError(f"the name {twice[:100]!r} stands twice in one object")
    return made


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:100]} is too large")
    return number

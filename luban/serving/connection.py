"""One client's connection: how long it may take, and who makes room when there are too many."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import sys
import time
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from luban.serving.errors import ApiError
from luban.serving.route import Limits

#: What a request's ``state`` says when the server has no connection left for it.
REFUSED = "refused"
#: Connections beyond the bound that are told so; what comes beyond these is hung up on.
_TOLD = 32


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1, with bounds in time and number, and errors as OpenAI has them.

    ``look`` is called about once a second. Made by uvicorn for each connection; ``limits`` is set
    in a subclass by ``bounded``.
    """

    limits: Limits

    _waiting_since: float | None = None  #: since when the head of a request is awaited
    _stuck_since: float | None = None  #: since when the client reads too little
    _begun = False  #: whether anything of the head has come
    _since = 0.0  #: when the last request, or before it the connection, began
    _of = ""  #: whose connection it is

    def connection_made(self, transport: Any) -> None:
        """Admit a client; if there are too many connections, an idle one makes room."""
        super().connection_made(transport)
        self._waiting_since = self._since = time.monotonic()
        self._of = client_of(self.client)
        over = len(self.connections) - self.limits.connections
        if over > 0 and not self._make_room():
            self.app_state = {**self.app_state, REFUSED: True}
            if over > _TOLD:
                transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self._begun = True
        super().data_received(data)

    def handle_events(self) -> None:
        """Begin requests whose head has come."""
        super().handle_events()
        if self._answering:
            self._waiting_since = None

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._waiting_since = self._since = time.monotonic()
        self._begun = False
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Note that the client does not read what was sent."""
        self._stuck_since = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that it does."""
        self._stuck_since = None
        super().resume_writing()

    def look(self, now: float) -> None:
        """Hang up on a client that takes too long to say what it wants, or to read the answer."""
        if self.transport.is_closing() and self._stuck_since is None:
            self._stuck_since = now  # what is left to send is sent soon, or never
        if self._stuck_since is not None and now - self._stuck_since > self.limits.idle_seconds:
            self.transport.abort()
        elif self._waiting_since is not None and not self.transport.is_closing():
            late = now - self._waiting_since > self.limits.idle_seconds
            if late and self._begun:
                self._fail(ApiError(408, "The head of the request took too long to arrive."))
            elif late:
                self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP with an OpenAI error, unless an answer has begun."""
        cause = sys.exception()
        hint = getattr(cause, "error_status_hint", 400)
        self._fail(ApiError(hint if 400 <= hint < 500 else 400, f"{msg[:-1]}: {cause or msg}."))

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _fail(self, error: ApiError) -> None:
        """Send an error if nothing else was sent, and close the connection."""
        if self._answering:  # the application must not write to a broken connection
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body = json.dumps(error.body()).encode()
        head = {"content-type": "application/json", "content-length": str(len(body))}
        headers = list({**head, "connection": "close"}.items())
        for event in (
            h11.Response(status_code=error.status_code, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _make_room(self) -> bool:
        """Hang up on the connection that has waited longest of the client that has most.

        Connections go on which no request has come; and those whose body still comes, where their
        client has more connections than this one.
        """
        others = [c for c in self.connections if isinstance(c, Connection) and c is not self]
        counts = Counter(c._of for c in others)
        fair = counts[self._of] + 1
        spare = [c for c in others if c._spare and (c._idle or counts[c._of] > fair)]
        if not spare:
            return False
        most = max(counts[c._of] for c in spare)
        crowd = [c for c in spare if counts[c._of] == most]
        min(crowd, key=lambda c: c._since).transport.abort()
        return True

    @property
    def _idle(self) -> bool:
        return self._waiting_since is not None

    @property
    def _spare(self) -> bool:
        """Whether nothing has been done for this connection that would be lost."""
        coming = self._answering and self.cycle.more_body and not self.cycle.response_started
        return (self._idle or coming) and not self.transport.is_closing()


def bounded(limits: Limits) -> type[asyncio.Protocol]:
    """Return the class of a server's connections."""
    return type("BoundedConnection", (Connection,), {"limits": limits})


def client_of(address: tuple[str, int] | list[Any] | None) -> str:
    """Return who counts as one client: an address, or in IPv6 the network it is in."""
    host = str(address[0]) if address else ""
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if found.version == 4:
        return host
    return str(ipaddress.ip_network((found, 64), strict=False))

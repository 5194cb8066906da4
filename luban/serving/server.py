"""A process that listens, and stops without dropping what it has begun."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from luban.core.errors import RunError
from luban.serving.app import create_app
from luban.serving.connection import Connection, bounded
from luban.serving.route import Service


def serve(
    service: Service,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a model until SIGTERM or Ctrl-C.

    The first signal refuses new requests and lets those in flight finish, at most
    ``limits.grace_seconds``; the second one stops at once.

    Args:
        service: The model, its name, the key and the limits. A route must fit the model
            (``TextGenerator``: ``/v1/completions``).
        host: Address to listen on; by default only this machine can connect.
        port: Port to listen on; 0 takes any free one.
        ready: Called with the server's URL once it listens.

    Raises:
        ContractError: if no route can serve the model.
        RunError: if the port cannot be had.
    """
    server = Server(service, host=host, port=port)
    if ready is not None:
        ready(server.url)
    server.run_until_stopped()


class Server(uvicorn.Server):
    """Listens as soon as it is made; ``url`` says where."""

    def __init__(self, service: Service, *, host: str = "127.0.0.1", port: int = 0) -> None:
        config = uvicorn.Config(
            create_app(service),
            http=bounded(service.limits),
            ws="none",
            h11_max_incomplete_event_size=service.limits.header_bytes,
            proxy_headers=False,  # or a client could say that it is another
            log_level="error",
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self.service = service
        self._socket = _listen(host, port)
        self._force_at: float | None = None
        shown = f"[{host}]" if ":" in host else host
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{shown}:{self.port}"

    def run_until_stopped(self) -> None:
        """Answer requests; returns after ``drain`` or a signal."""
        self.run(sockets=[self._socket])

    def drain(self) -> None:
        """Refuse new requests, and stop when those in flight are done; any thread may call."""
        self.service.draining = True
        self._force_at = time.monotonic() + self.service.limits.grace_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, leave at the second."""
        if not self.service.draining:
            self.drain()
        else:
            self.should_exit = True
            self.force_exit = sig == signal.SIGINT

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether draining is over; every second, who takes too long."""
        if counter % 10 == 0:
            now = time.monotonic()
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.look(now)
        if self._force_at is not None:
            over = time.monotonic() >= self._force_at
            self.should_exit |= over or self.service.in_flight == 0
        return await super().on_tick(counter)


def _listen(host: str, port: int) -> socket.socket:
    try:
        if not 0 <= port <= 65_535:
            raise OverflowError("a port is a number from 0 to 65535")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise RunError(
            "the server cannot listen here.",
            where=f"{host}:{port}",
            got=getattr(error, "strerror", None) or str(error),
            fix="choose another port or host, or stop what listens there.",
        ) from error

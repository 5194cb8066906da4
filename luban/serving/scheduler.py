"""Between HTTP and the model: what runs when, how much may wait, who gives up.

The routes know only ``Scheduler.submit``, so one that batches requests in flight can take the
place of ``InOrder`` without a change to them.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, Self, TypeVar

from luban.serving.errors import ApiError

R = TypeVar("R")
C = TypeVar("C")


class Cancelled(Exception):
    """Nobody waits for this work any more."""


class Scheduler(ABC, Generic[R, C]):
    """Takes requests of type R and gives each its chunks of type C."""

    @abstractmethod
    def submit(self, request: R, timeout: float) -> Stream[C]:
        """Admit a request; use the stream in a ``with`` block, and leaving it cancels.

        Args:
            request: What the engine is asked.
            timeout: Seconds until the stream raises TimeoutError, waiting included.

        Raises:
            ApiError: 429 if too many wait, 503 after ``stop``.
        """

    @property
    @abstractmethod
    def waiting(self) -> int:
        """How many requests wait for their turn."""

    @abstractmethod
    def stop(self) -> None:
        """Refuse new requests, cancel all others and end the worker."""


class Stream(Generic[C]):
    """The chunks of one request, as they come; made in the event loop that reads it."""

    def __init__(self, timeout: float, give_up: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + timeout
        self._give_up = give_up
        self._items: asyncio.Queue[C | _End] = asyncio.Queue()

    def put(self, item: C | _End) -> None:
        """Hand over a chunk or the end, from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)
        except RuntimeError:  # the loop is closed, so nobody listens
            self._give_up()

    def cancel(self) -> None:
        """Stop the work; neutral_fields when it is done."""
        self._give_up()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> C:
        async with asyncio.timeout_at(self._deadline):
            item = await self._items.get()
        if not isinstance(item, _End):
            return item
        raise item.error or StopAsyncIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()


@dataclass(frozen=True, slots=True)
class _End:
    error: Exception | None = None


@dataclass(eq=False, slots=True)
class _Job(Generic[R, C]):
    request: R
    cancelled: threading.Event = field(default_factory=threading.Event)
    stream: Stream[C] = field(init=False)


class InOrder(Scheduler[R, C]):
    """One worker thread that serves requests one after the other.

    Args:
        engine: Yields the chunks of a request; its iterator is closed to cancel it.
        max_waiting: How many requests may wait while one is served.
    """

    def __init__(self, engine: Callable[[R], Iterator[C]], max_waiting: int) -> None:
        self._engine = engine
        self._max_waiting = max_waiting
        self._jobs: deque[_Job[R, C]] = deque()
        self._running: _Job[R, C] | None = None
        self._stopped = False
        self._changed = threading.Condition()
        self._worker = threading.Thread(target=self._work, name="luban-serving", daemon=True)
        self._worker.start()

    def submit(self, request: R, timeout: float) -> Stream[C]:
        """Put a request at the end of the queue."""
        job: _Job[R, C] = _Job(request)
        job.stream = Stream(timeout, lambda: self._cancel(job))
        with self._changed:
            if self._stopped:
                raise ApiError(503, "The server is stopping.")
            if len(self._jobs) + (self._running is not None) > self._max_waiting:
                raise ApiError(
                    429,
                    "Too many requests are waiting; try again in a moment.",
                    headers={"retry-after": "1"},
                )
            self._jobs.append(job)
            self._changed.notify()
        return job.stream

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._jobs)

    def check(self) -> None:
        """End the work of the request being served, if its client has left or its time is over.

        Raises:
            Cancelled: then; nowhere but in the worker.
        """
        job = self._running
        if (
            job is not None
            and job.cancelled.is_set()
            and self._worker is threading.current_thread()
        ):
            raise Cancelled

    def stop(self) -> None:
        """Refuse new requests, cancel all others and end the worker."""
        with self._changed:
            self._stopped = True
            for job in (*self._jobs, *filter(None, [self._running])):
                job.cancelled.set()
            self._changed.notify()

    def _cancel(self, job: _Job[R, C]) -> None:
        job.cancelled.set()
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            error: Exception | None = None
            try:
                self._serve(job)
            except Exception as caught:  # any fault belongs to the request, not to the worker
                error = caught
            if job.cancelled.is_set():
                error = error or ApiError(503, "The server is stopping.")
            with self._changed:
                self._running = None
            job.stream.put(_End(error))

    def _next(self) -> _Job[R, C] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._stopped)
            if not self._jobs:
                return None
            self._running = self._jobs.popleft()
            return self._running

    def _serve(self, job: _Job[R, C]) -> None:
        if job.cancelled.is_set():
            return
        for chunk in self._engine(job.request):
            if job.cancelled.is_set():
                return
            job.stream.put(chunk)

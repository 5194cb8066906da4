"""What routes over a ``Predictor`` share: the queue, the schema of records, answers in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self, TypeAlias

import jsonschema_rs
from fastapi import Request
from prometheus_client import Counter

from luban.core.contracts import Record
from luban.core.errors import DataError
from luban.inference.predictor import Predictor, file_fields
from luban.serving.errors import ApiError
from luban.serving.http import unless_disconnected
from luban.serving.route import Service
from luban.serving.routes._uploads import as_json
from luban.serving.scheduler import InOrder, Scheduler, Stream

#: Records, and what a request changes of the task.
Job: TypeAlias = tuple[Sequence[Record], Mapping[str, Any]]

_SHOWN = 300  #: characters of a message that may quote a record


class Records:
    """The one queue of a served predictor.

    Attributes:
        predictor: What is served.
        task: The name of its task.
        schema: Of a record, in JSON.
        files: The fields of a record that hold files.
    """

    def __init__(self, service: Service) -> None:
        if not isinstance(service.model, Predictor):
            raise TypeError(f"{service.model!r} does not predict records")
        predictor, self._limits = service.model, service.limits
        self.predictor = predictor
        self.task, self.schema = predictor.task.name, predictor.task.record_schema()
        self.files = file_fields(self.schema)
        self._check = jsonschema_rs.validator_for(self.schema)
        worker = InOrder[Job, list[Any]](
            lambda job: perform(predictor.adjusted(job[1]), job[0]), self._limits.waiting
        )
        predictor.on_step(worker.check)
        self._scheduler: Scheduler[Job, list[Any]] = service.add(worker)
        registry = service.metrics.registry
        self._counter = Counter("luban_records", "Records predicted.", registry=registry)

    @classmethod
    def of(cls, service: Service) -> Self:
        """Return the one of a service: all routes queue for the same model."""
        return service.shared(cls)

    async def answer(
        self,
        records: Sequence[Any],
        request: Request,
        *,
        several: bool = True,
        parameters: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        """Return a prediction for each record, in order.

        Args:
            records: As the task's schema describes them; ``Media`` in place of base64.
            request: Whose client may leave.
            several: Whether messages number them.
            parameters: Values of the task's ``adjustable`` fields.

        Raises:
            ApiError: 400, naming the record and the field.
        """
        for index, record in enumerate(self._counted(records)):
            self._check_record(record, _place(index, several))
        with self._scheduler.submit((records, parameters or {}), self._limits.seconds) as stream:
            answers = await unless_disconnected(request, _gathered(stream))
        for index, answer in enumerate(answers):
            if isinstance(answer, DataError):
                raise _bad(_place(index, several), str(answer))
        self._counter.inc(len(answers))
        return answers

    def _counted(self, records: Sequence[Any]) -> Sequence[Any]:
        """Return records if they are not too many.

        Raises:
            ApiError: 400.
        """
        most = self._limits.records
        if not 1 <= len(records) <= most:
            told = f"inputs: 1 to {most} records per request, not {len(records)}."
            raise ApiError(400, told, param="inputs")
        return records

    def _check_record(self, record: Any, place: str) -> None:
        """Refuse a record that is not of the form that the task's schema asks for, or too long.

        Raises:
            ApiError: 400, naming the record and the field.
        """
        plain = as_json(record) if isinstance(record, Mapping) else record
        try:
            error = next(self._check.iter_errors(plain), None)
        except UnicodeEncodeError:
            raise _bad(place, "a text holds half a character.") from None
        if error is not None:
            steps = (f"[{s}]" if isinstance(s, int) else f".{s}" for s in error.instance_path)
            raise _bad(place + "".join(steps), error.message)
        if not isinstance(plain, Mapping):
            return
        for name, value in plain.items():
            longest = 0 if name in self.files else max(map(len, texts_in(value)), default=0)
            if longest > self._limits.record_characters:
                most = f"a text may have {self._limits.record_characters:,}"
                raise _bad(f"{place}.{name}"[:_SHOWN], f"{longest:,} characters; {most}.")


def perform(predictor: Predictor, records: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield the answers to some records at a time, so that a client may leave in between."""
    for start in range(0, len(records), predictor.batch_size):
        yield predictor.predict(records[start : start + predictor.batch_size])


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from texts_in(item)


async def _gathered(stream: Stream[list[Any]]) -> list[Any]:
    return [answer async for answers in stream for answer in answers]


def _place(index: int, several: bool) -> str:
    return f"inputs[{index}]" if several else "inputs"


def _bad(place: str, why: str) -> ApiError:
    return ApiError(400, f"{place}: {why[:_SHOWN]}", param=place)

"""What ``prepare`` would find: seen in all records of small data, in some of large data."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from luban.core.contracts import Example, Record, SetApart, Task
from luban.core.errors import DataError
from luban.core.progress import tracked
from luban.data.checks.audit import Audit, audit, doubts_of
from luban.data.checks.reachable_score import reach
from luban.data.checks.set_apart import Apart, usable
from luban.data.checks.spread_sample import spread
from luban.data.dataset import Data
from luban.data.media.media_files import holds_media, media_size
from luban.data.store import encoded_batches
from luban.data.views.in_memory import InMemoryExamples
from luban.stages.prepare import Prepare

#: Records of a split that are looked at: all, or as many from all over it.
LOOK = 20_000
#: Training records that are learned from: all, or about as many from all over them.
LEARN = 50_000
#: Bytes of files looked at in the records of each split, and of examples kept.
LOOK_BYTES, HELD_BYTES = 100 << 20, 256 << 20


@dataclass(frozen=True, slots=True)
class SplitSample:
    """Records of a split.

    Attributes:
        records: Those that are looked at, and in their places those that the source sets apart.
        count: How many the split has.
    """

    records: list[Record]
    count: int

    def __str__(self) -> str:
        if len(self.records) == self.count:
            return f"{self.count:,}"
        return f"{self.count:,}, {len(self.records):,} from all over them looked at"


@dataclass(frozen=True, slots=True)
class Preview:
    """What encoding the records of a split comes to.

    Attributes:
        examples: Those made of the records that can be used.
        apart: What is wrong with the others.
        unknown: Labels that the training records looked at do not have, though others may.
        audit: What the examples teach.
        doubts: What the user should know of their labels.
    """

    examples: InMemoryExamples
    apart: Apart
    unknown: Apart
    audit: Audit
    doubts: list[str]


def sample_split(data: Data, split: str) -> SplitSample:
    """Return the records of a split: of large data, some from all over it.

    Raises:
        DataError: if it is empty, or no record can be used: then it is that of the first.
    """
    entries = tracked(data.entries(split), f"look at {split}")
    found = SplitSample(*spread(entries, LOOK, _media_size, LOOK_BYTES))
    next(usable(found.records), None)
    if not found.records:
        raise DataError(
            f"the split {split!r} is empty.",
            where="data.split",
            fix=f"give it a larger share (data.split.{split}=0.2), or loosen the cleaners.",
        )
    return found


def learned(task: Task, data: Data, train: SplitSample) -> Task:
    """Return the task with what training records tell; of many, some from all over them.

    Raises:
        DataError: if they tell nothing.
    """
    return task.learn(_some(data.records("train"), min(1.0, LEARN / train.count)))


def preview(
    task: Task, looks: Mapping[str, SplitSample], prepare: Prepare, seed: int
) -> dict[str, Preview]:
    """Return what encoding comes to; nothing is written.

    Args:
        task: It has learned.
        looks: The records of each split.
        prepare: Its bounds hold.
        seed: What draws the examples whose score is looked at.

    Raises:
        DataError: what ``prepare`` would refuse.
    """
    partly = looks["train"].count > LEARN
    found = {split: _encoded(task, split, one, partly=partly) for split, one in looks.items()}
    prepare.bear(
        (lost for _, lost, _ in found.values()), sum(len(one.records) for one in looks.values())
    )
    previews = {}
    for split, (examples, lost, unknown) in found.items():
        audited = audit(task, examples, **prepare.bounds())
        reached = reach(task, examples, seed)
        told = doubts_of(split, audited, reached, examples.where)
        previews[split] = Preview(examples, lost, unknown, audited, told)
    return previews


def _media_size(record: Record) -> int:
    if isinstance(record, SetApart):
        return 0
    return sum(media_size(value) for value in record.values() if holds_media(value))


def _some(records: Iterable[Record], share: float) -> Iterator[Record]:
    rng = random.Random(0)
    for record in records:
        if share == 1.0 or rng.random() < share:
            yield record


def _encoded(
    task: Task, split: str, found: SplitSample, *, partly: bool
) -> tuple[InMemoryExamples, Apart, Apart]:
    """Return examples, why other records are set apart, and labels that may not be learned yet.

    Raises:
        UnfitError: the first one, if no record can be used.
        UnknownLabelError: unless the task has learned from a part of the training records only.
    """
    apart, unknown = Apart(), Apart()
    examples, rows, size = list[Example](), list[str](), 0
    records = usable(tracked(found.records, f"encode {split}"), apart)
    for batch, made in encoded_batches(task, records, apart, unknown if partly else None):
        for record, example in zip(batch, made, strict=True):
            if size <= HELD_BYTES:
                examples.append(example)
                rows.append(str(record.get("_where", "")))
                size += sum(array.nbytes for array in example.values())
    if not examples:
        raise [*apart.first.values(), *unknown.first.values()][0]
    return InMemoryExamples(examples, rows), apart, unknown

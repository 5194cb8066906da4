"""Read, clean, split and encode the data; learn vocabulary and labels from training data only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import ClassVar

from pydantic import Field

from luban.core.component import digest_of
from luban.core.contracts import Stage
from luban.core.environment import environment
from luban.core.files import folder_atomic
from luban.core.progress import doing, report
from luban.core.report import Claim, Report
from luban.data.cache import encoded
from luban.data.checks.audit import audit
from luban.data.checks.overlap import Overlap, check_overlap, overlap
from luban.data.checks.set_apart import Apart
from luban.data.store import Store
from luban.run import Run
from luban.stages._prepared import describe, doubts, open_store, reach_of, refuse_other_data
from luban.stages._provenance import provenance

_REACHABLE = "the labels as they were encoded, scored as predictions"
_MANY_SHARED = 0.1  #: share of held-out records with a field in common with train that is told
_NAMED = 3  #: those named in the card


class Prepare(Stage):
    """From files to encoded examples, with an account of what was changed, dropped and shared."""

    max_empty: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description=(
            "Share of records that is bearable without anything to learn, such as an empty text; "
            "they are set apart."
        ),
    )
    max_truncated: float = Field(
        default=0.1, ge=0, le=1, description="Share of rows with a cut answer that is bearable."
    )
    max_adjusted: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description=(
            "Share of rows that is bearable whose answer was changed so that a prediction can give "
            "it: entities widened to whole words, say."
        ),
    )
    max_unreadable: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description=(
            "Share of records set apart that is bearable: malformed rows, missing or damaged "
            "files, and whatever the task cannot encode, such as a record without an answer, "
            "overlapping entities, or a text that is too long or too short to learn from."
        ),
    )
    always: ClassVar[bool] = True

    def perform(self, run: Run) -> None:
        """Learn the task, encode every split, write ``prepared.json`` and ``manifest.json``.

        Raises:
            RunError: if training of this run has begun with other data; nothing is written then.
        """
        data, recipe = run.recipe.data, run.recipe
        splits = data.available_splits()
        run.say(f"prepare: {data.source.name} in {', '.join(splits)}: {data.split_rule()}")
        if len(splits) == 1:
            run.say("prepare: nothing is held out, so the model cannot be evaluated")
        with doing("read all records"):
            data.survey().apart.check(data.survey().rows, unreadable=self.max_unreadable)
        with doing("learn from the training records"):
            task = recipe.task.learn(data.records("train"))
        stores = {}
        for split in splits:

            def progress(records: int, size: int, split: str = split) -> None:
                report(f"encode {split}", size, max(size, data.survey().size))

            with doing(f"encode {split}"):
                store = encoded(task, data, split, progress)
            run.say(f"prepare: {split}: {len(store):,} examples")
            _tell_apart(run, split, store)
            stores[split] = store
        self.bear(
            (store.apart for store in stores.values()),
            sum(len(store) + len(store.apart) for store in stores.values()),
        )
        prepared = describe(task, data, stores)
        refuse_other_data(run, prepared)
        for split, store in stores.items():
            for doubt in doubts(run, task, split, store):
                run.say(f"prepare: {doubt}")
        with folder_atomic(run.path / "task") as aside:
            task.save(aside)
        run.write_json("prepared.json", prepared)
        run.write_json(
            "manifest.json",
            {
                "data": data.files_digest(),
                "recipe": digest_of(recipe.to_dict()),
                "source": dict(data.source.facts()),
                "files": [str(path) for path in data.source.files()],
                "environment": environment(),
                "digests": True,  # the run keeps digests of its files: see core.digests
            },
        )

    def bear(self, apart: Iterable[Apart], records: int) -> None:
        """Check how much was set apart, over all splits: of a small one it soon is a large share.

        Args:
            apart: What was set apart of each split.
            records: How many records there are, these included.

        Raises:
            DataError: if it is too much; it says all that the error of the first record says.
        """
        found = reduce(Apart.join, apart, Apart())
        found.check(records, unreadable=self.max_unreadable, empty=self.max_empty)

    def bounds(self) -> dict[str, float]:
        """Return what ``audit`` is held to."""
        return {
            "max_truncated": self.max_truncated,
            "max_adjusted": self.max_adjusted,
        }

    def measure(self, run: Run) -> Report:
        """Count what is there, audit what it teaches and how much the splits share.

        Raises:
            DataError: if too many answers are cut off or changed, or too much held-out data stands
                in train too.
        """
        data, task = run.recipe.data, run.task()
        claims: dict[str, Claim] = {"data (sha256)": Claim(data.files_digest())}
        details: dict[str, object] = {}
        limits: list[str] = []
        stores = {split: open_store(run, split) for split in data.available_splits()}
        reasons = sorted({reason for store in stores.values() for reason in store.apart.reasons})
        for split, store in stores.items():
            found = audit(task, store, **self.bounds())
            limits += doubts(run, task, split, store)
            for reason in reasons:
                claims[f"{split}/set apart: {reason}"] = Claim(store.apart.reasons[reason])
            if store.apart:
                details[f"{split}/set apart"] = store.apart.lines
            claims |= {
                f"{split}/examples": Claim(len(store)),
                **{f"{split}/{unit}": Claim(n) for unit, n in store.meta["totals"].items()},
                f"{split}/supervised positions": Claim(found.supervised),
                **{f"{split}/{note}": Claim(times) for note, times in found.notes.items()},
            }
            if reached := reach_of(run, task, store):
                claims[f"{split}/reachable {reached.metric}"] = Claim(
                    reached.value, reached.unit, n=reached.examples, note=_REACHABLE
                )
        signature = task.signature()
        claims["vocabulary or classes"] = Claim(signature.outputs, note="learned from train only")
        survey = data.survey()
        claims["rows read"] = Claim(survey.rows)
        claims["rows kept"] = Claim(survey.kept)
        if survey.apart:
            claims["rows set apart"] = Claim(len(survey.apart), note="by the source, as malformed")
        for cleaner, tally in zip(data.cleaners, survey.tallies, strict=True):
            for act, times in tally.counts.items():
                claims[f"{cleaner.name}/{act}"] = Claim(times)
            details[cleaner.name] = tally.examples
        with doing("look for records that splits share"):
            shared = overlap(data)
        check_overlap(data, shared)
        for split, part in shared.items():
            claims[f"{split} found in train/records"] = Claim(part.record_share, n=part.records)
            claims[f"{split} found in train/passages"] = Claim(
                part.passage_share, n=part.passages, note="50 characters, verbatim"
            )
            for name, times in part.parts.items():
                share = times / max(1, part.records)
                claims[f"{split} found in train/{name}"] = Claim(share, n=part.records)
        apart = [line for store in stores.values() for line in store.apart.lines[:_NAMED]]
        named = [f"set apart: {line}" for line in apart[:_NAMED]]
        details["text"] = [*provenance(data), *_shared(shared), *named]
        details["limits"] = limits
        return Report("prepare", claims, details=details)


def _tell_apart(run: Run, split: str, store: Store) -> None:
    for line in store.apart.lines:
        run.say(f"prepare: {split}: set apart: {line}")
    if len(store.apart) > len(store.apart.lines):
        run.say(f"prepare: {split}: set apart in all: {store.apart.told()}")


def _shared(found: Mapping[str, Overlap]) -> list[str]:
    """Return which fields held-out records share with train, where that is many."""
    return [
        f"{split}: {times:,} of {part.records:,} records have their {name} in common with records "
        "of train; split by group (data.split.key) to hold them apart"
        for split, part in found.items()
        for name, times in part.parts.items()
        if times > _MANY_SHARED * part.records
    ]

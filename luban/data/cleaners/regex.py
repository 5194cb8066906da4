"""Drop records, or replace parts of their text, by a regular expression."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property

from pydantic import Field, field_validator

from luban.core.contracts import Cleaner, Record, Tally
from luban.data.records import text_of


class Regex(Cleaner):
    r"""Replaces every match in the text fields, or drops the records that match."""

    pattern: str = Field(description="A regular expression of Python's `re`.")
    replace_with: str | None = Field(
        default=None,
        description=r"What a match becomes (`\1` is its first group); None: drop the record.",
    )

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern

    def clean(self, records: Iterable[Record], tally: Tally) -> Iterator[Record]:
        """Yield the records that do not match, or all of them with matches replaced."""
        for record in records:
            if self.replace_with is not None:
                yield self._replaced(record, self.replace_with, tally)
            elif found := self._compiled.search(text_of(record)):
                tally.add("dropped: matches", f"{record.get('_where', '')}: {found[0]!r}")
            else:
                yield record

    def _replaced(self, record: Record, new: str, tally: Tally) -> Record:
        changed = {}
        for name, value in record.items():
            if isinstance(value, str) and not name.startswith("_"):
                fresh, times = self._compiled.subn(new, value)
                if times and (found := self._compiled.search(value)):
                    tally.add("replaced", f"{record.get('_where', '')}: {found[0]!r}", times)
                    changed[name] = fresh
        return {**record, **changed} if changed else record

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

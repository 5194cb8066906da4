"""Drop records, or replace parts of their text, by a regular expression."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from pydantic import Field, field_validator

from luban.core.contracts import Cleaner, Record, Tally
from luban.data.files.records import text_of
from luban.data.text.edits import STRADDLED, Edit, Straddled, rewritten


class Regex(Cleaner):
    r"""Replaces every match in all text of a record, or drops the records that match.

    Text in lists and tables is looked at too. Entities and answers keep their places: ``start`` and
    ``end`` move along with the text. A record is dropped and counted if one of them begins or ends
    within what is replaced.
    """

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
        if self.replace_with is not None:
            yield from self._replaced(records, self.replace_with, tally)
            return
        for record in records:
            if found := self._compiled.search(text_of(record)):
                tally.add("dropped: matches", f"{record.get('_where', '')}: {found[0]!r}")
            else:
                yield record

    def _replaced(self, records: Iterable[Record], new: str, tally: Tally) -> Iterator[Record]:
        pattern, where = self._compiled, ""

        def edit(text: str) -> list[Edit]:
            edits = [Edit(*match.span(), match.expand(new)) for match in pattern.finditer(text)]
            return [one for one in edits if text[one.start : one.end] != one.new]

        def note(number: int, text: str, edits: Sequence[Edit]) -> None:
            tally.add("replaced", f"{where}: {text[edits[0].start : edits[0].end]!r}", len(edits))

        for record in records:
            where = str(record.get("_where", ""))
            try:
                yield rewritten(record, [edit], note)
            except Straddled:
                tally.add(STRADDLED, where)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

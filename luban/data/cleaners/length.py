"""Drop records that are too short or too long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import Field

from luban.core.contracts import Cleaner, Record, Tally
from luban.data.files.records import text_of


class Length(Cleaner):
    """Keeps records whose text, blanks at the ends not counted, is within bounds.

    Pieces of a long document are judged one by one, so set bounds for whole documents only
    where documents are short.
    """

    min_characters: int = Field(
        default=1, ge=0, le=1_000_000_000_000, description="The fewest characters that stay."
    )
    max_characters: int = Field(
        default=0,
        ge=0,
        le=1_000_000_000_000,
        description="The most characters that stay; 0: no bound.",
    )
    field: str = Field(
        default="", description="The field to measure; empty: all the text of a record."
    )

    def clean(self, records: Iterable[Record], tally: Tally) -> Iterator[Record]:
        """Yield the records within the bounds."""
        for record in records:
            text = str(record.get(self.field, "")) if self.field else text_of(record)
            size = len(text.strip())
            if size < self.min_characters:
                tally.add("dropped: too short", f"{record.get('_where', '')}: {text!r}")
            elif self.max_characters and size > self.max_characters:
                tally.add("dropped: too long", f"{record.get('_where', '')}: {size:,} characters")
            else:
                yield record

"""Keep text by the script it is written in: no model, no download."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from luban.core.contracts import Cleaner, Record, Tally
from luban.data.files.language import script_shares
from luban.data.files.records import text_of


class Language(Cleaner):
    """Keeps records of whose letters enough are Chinese characters or Latin letters.

    The share is of letters alone: digits, signs and blanks do not count. A record without
    letters is dropped.
    """

    script: Literal["cjk", "latin"] = Field(
        description="`cjk` (Chinese, with the kana of Japanese counted apart) or `latin`."
    )
    min_share: float = Field(
        default=0.5, ge=0.0, le=1.0, description="The least share of letters in that script."
    )

    def clean(self, records: Iterable[Record], tally: Tally) -> Iterator[Record]:
        """Yield the records with enough letters of the script."""
        for record in records:
            text = text_of(record)
            share = script_shares(text)[self.script]
            if share >= self.min_share and share > 0:
                yield record
            else:
                where = record.get("_where", "")
                tally.add(f"dropped: little {self.script}", f"{where}: {share:.2f} of {text!r}")

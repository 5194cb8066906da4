"""Keep the first of equal records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from pydantic import Field

from luban.core.contracts import Cleaner, Record, Tally
from luban.data.files.records import identity_of


class ExactDuplicates(Cleaner):
    """Drops records whose text came before, up to case and the amount of blank space.

    Pieces of a long document are compared one by one. Memory: about 100 bytes per record.
    """

    ignore_case: bool = Field(default=True, description="Whether `A` equals `a`.")

    def clean(self, records: Iterable[Record], tally: Tally) -> Iterator[Record]:
        """Yield the first record of each text."""
        seen: set[bytes] = set()
        for record in records:
            text = " ".join(identity_of(record).split())
            plain = text.casefold() if self.ignore_case else text
            key = blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            if key in seen:
                tally.add("dropped: came before", f"{record.get('_where', '')}: {text!r}")
            else:
                seen.add(key)
                yield record

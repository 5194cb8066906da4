"""Keep the first of nearly equal records, found with MinHash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

from pydantic import Field

from luban.core.contracts import Cleaner, Record, Tally
from luban.core.extras import require
from luban.core.unicode_text import words
from luban.data.files.records import text_of


class NearDuplicates(Cleaner):
    """Drops records whose shingles are much the same as those of an earlier record.

    MinHash signatures (Broder 1997) find candidates by locality-sensitive hashing; needs
    ``datasketch`` (the extra ``data``). A shingle is ``shingle`` words in a row, where each
    character of a script without blanks is a word. Memory: about 3 kB per record that stays.
    """

    threshold: float = Field(
        default=0.8,
        gt=0.0,
        lt=1.0,
        description="Jaccard similarity of the shingle sets from which on records count as equal.",
    )
    shingle: int = Field(default=3, ge=1, le=1_048_576, description="Words in a shingle.")
    num_perm: int = Field(
        default=128,
        ge=16,
        le=1_048_576,
        description=(
            "Hash functions in a signature; the estimate's error is about 1/sqrt(num_perm)."
        ),
    )

    def clean(self, records: Iterable[Record], tally: Tally) -> Iterator[Record]:
        """Yield the first record of each group.

        Raises:
            MissingExtra: if ``datasketch`` is not installed.
        """
        index = require("datasketch", "data").MinHashLSH(
            threshold=self.threshold, num_perm=self.num_perm
        )
        kept: dict[str, Any] = {}
        for number, record in enumerate(records):
            text = text_of(record)
            sketch = self._sketch(text)
            near = None if sketch is None else self._near(index.query(sketch), sketch, kept)
            if near is not None:
                where = record.get("_where", "")
                tally.add("dropped: nearly the same", f"{where} like {near}: {text!r}")
                continue
            if sketch is not None:
                index.insert(str(number), sketch)
                kept[str(number)] = (sketch, str(record.get("_where", "")))
            yield record

    def _near(self, found: list[str], sketch: Any, kept: dict[str, Any]) -> str | None:
        """Return where the first record stands that is similar enough, not merely a candidate."""
        for key in sorted(found, key=int):
            if sketch.jaccard(kept[key][0]) >= self.threshold:
                return str(kept[key][1])
        return None

    def _sketch(self, text: str) -> Any:
        """Return the signature of a text; None if it has no words."""
        parts = words(text.casefold())
        if not parts:
            return None
        count = max(1, len(parts) - self.shingle + 1)
        shingles = {" ".join(parts[i : i + self.shingle]) for i in range(count)}
        sketch = require("datasketch", "data").MinHash(num_perm=self.num_perm, hashfunc=_hash)
        sketch.update_batch([shingle.encode() for shingle in sorted(shingles)])
        return sketch


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=4).digest(), "little")

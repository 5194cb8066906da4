"""One spelling for the same text: Unicode normal form, no control characters, LF."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from luban.core.contracts import Cleaner, Record, Tally

#: All of category Cc but tab and line feed, and the characters that mark order or no width at
#: the start of files; joiners stay, since emoji and several scripts are written with them.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufffe\uffff]")


class Unicode(Cleaner):
    """Normalises every text field of a record."""

    form: Literal["NFC", "NFKC", "none"] = Field(
        default="NFC",
        description=(
            "`NFC` keeps the look of the text; `NFKC` also folds full-width letters, ligatures "
            "and the like; `none` leaves it."
        ),
    )
    strip_control: bool = Field(
        default=True, description="Remove control characters (tab and line feed stay)."
    )
    newlines: bool = Field(default=True, description="Turn CRLF and CR into LF.")

    def clean(self, records: Iterable[Record], tally: Tally) -> Iterator[Record]:
        """Yield every record, normalised."""
        for record in records:
            changed = {
                name: fresh
                for name, value in record.items()
                if isinstance(value, str) and not name.startswith("_")
                if (fresh := self._normal(value, tally)) != value
            }
            yield {**record, **changed} if changed else record

    def _normal(self, text: str, tally: Tally) -> str:
        # A carriage return is a control character, so line ends come first.
        if self.newlines and "\r" in text:
            tally.add("line ends turned into LF", text)
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if self.strip_control and (found := _CONTROL.findall(text)):
            tally.add("control characters removed", ascii("".join(found)))
            text = _CONTROL.sub("", text)
        if self.form != "none" and not unicodedata.is_normalized(self.form, text):
            fresh = unicodedata.normalize(self.form, text)
            tally.add(f"brought to {self.form}", _difference(text, fresh))
            text = fresh
        return text


def _difference(old: str, new: str) -> str:
    pairs = zip(old, new, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(old), len(new)))
    start = max(0, at - 10)
    return f"{old[start : at + 20]!r} -> {new[start : at + 20]!r}"

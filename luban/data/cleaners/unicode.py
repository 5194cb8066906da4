"""One spelling for the same text: Unicode normal form, no control characters, LF."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

from pydantic import Field

from luban.core.contracts import Cleaner, Record, Tally
from luban.data.text.edits import STRADDLED, Edit, Editor, Straddled, applied, rewritten

#: All of category Cc but tab and line feed, and the characters that mark order or no width at
#: the start of files; joiners stay, since emoji and several scripts are written with them.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufffe\uffff]")


_RETURN = re.compile("\r\n?")
#: What a normal form may change: ASCII alone stays, and joins nothing before it.
_RUN = re.compile("[\x00-\x7f]?[^\x00-\x7f]+")


class Unicode(Cleaner):
    """Normalises all text of a record, in lists and tables too.

    Entities and answers keep their places: ``start`` and ``end`` move along with the text. A record
    is dropped and counted if one of them begins or ends within what is replaced.
    """

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
        """Yield every record, normalised, but those with a place within what is replaced."""
        editors = self._editors()

        def note(number: int, text: str, edits: Sequence[Edit]) -> None:
            act, _ = editors[number]
            tally.add(act, _difference(text, applied(text, edits)))

        for record in records:
            try:
                yield rewritten(record, [editor for _, editor in editors], note)
            except Straddled:
                tally.add(STRADDLED, str(record.get("_where", "")))

    def _editors(self) -> list[tuple[str, Editor]]:
        found: list[tuple[str, Editor]] = []
        if self.newlines:  # a carriage return is a control character, so line ends come first
            found.append(("line ends turned into LF", lambda text: _matches(_RETURN, text, "\n")))
        if self.strip_control:
            found.append(("control characters removed", lambda text: _matches(_CONTROL, text, "")))
        if self.form != "none":
            found.append((f"brought to {self.form}", partial(_normalised, self.form)))
        return found


def _matches(pattern: re.Pattern[str], text: str, new: str) -> list[Edit]:
    return [Edit(*match.span(), new) for match in pattern.finditer(text)]


def _normalised(form: Literal["NFC", "NFKC"], text: str) -> list[Edit]:
    """Return the edits that bring a text to a normal form, as small as they can be."""
    if unicodedata.is_normalized(form, text):
        return []
    edits = []
    for run in _RUN.finditer(text):
        for start, end in _pieces(form, run[0]):
            old = run[0][start:end]
            if (new := unicodedata.normalize(form, old)) != old:
                edits.append(Edit(run.start() + start, run.start() + end, new))
    whole = unicodedata.normalize(form, text)
    return edits if applied(text, edits) == whole else [Edit(0, len(text), whole)]


def _pieces(form: Literal["NFC", "NFKC"], text: str) -> list[tuple[int, int]]:
    """Return where a text can be cut so that its parts can be normalised one by one."""
    found: list[tuple[int, int]] = []
    starts = [i for i, sign in enumerate(text) if not i or not unicodedata.combining(sign)]
    for start, end in pairwise([*starts, len(text)]):
        if found:
            before = found[-1][0]
            parts = (text[before:start], text[start:end])
            apart = "".join(unicodedata.normalize(form, part) for part in parts)
            if unicodedata.normalize(form, text[before:end]) != apart:
                found[-1] = (before, end)
                continue
        found.append((start, end))
    return found


def _difference(old: str, new: str) -> str:
    pairs = zip(old, new, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(old), len(new)))
    start = max(0, at - 10)
    return f"{old[start : at + 20]!r} -> {new[start : at + 20]!r}"

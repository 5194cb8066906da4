"""Lines that a pattern takes apart: ``1 a fine film`` and other forms with no format's name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator

from luban.core.errors import DataError
from luban.data.files.reading import open_text, text_lines
from luban.data.sources._rows import RowSource


class Lines(RowSource):
    """Text files, plain or gzip, streamed; each line is a row, blank lines are skipped."""

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".text")
    pattern: str = Field(
        description=(
            "A regular expression of Python's that fits whole lines; its named groups are the "
            r"fields: `(?P<label>\\d) (?P<text>.*)`."
        )
    )
    encoding: str = Field(default="utf-8", description="A codec of Python's.")

    def rows(self, path: Path) -> Iterator[tuple[int, Any]]:
        """Yield (line, fields)."""
        pattern = re.compile(self.pattern)
        with open_text(path, self.encoding, newline="\n") as file:
            for number, line in enumerate(text_lines(file), 1):
                if not line.strip():
                    continue
                found = pattern.fullmatch(line)
                yield (
                    number,
                    found.groupdict() if found else self._misfit(line, f"{path}:{number}"),
                )

    def _misfit(self, line: str, where: str) -> DataError:
        return DataError(
            "this line does not fit the pattern.",
            where=where,
            expected=self.pattern,
            got=line.strip(),
            fix="change data.source.pattern, or mend the line.",
        )

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"is not a regular expression ({error})") from None
        if not groups:
            raise ValueError("names no field: write one as (?P<text>.*)")
        return pattern

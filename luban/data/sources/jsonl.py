"""JSON Lines: one JSON object per line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from luban.core.errors import DataError
from luban.core.yaml_json import parse_json
from luban.data.files.reading import open_text, text_lines
from luban.data.sources._rows import RowSource

_FIX = "one complete JSON object per line; an array is read by `name: json`."


class Jsonl(RowSource):
    """JSON Lines files, plain or gzip, streamed; blank lines are skipped."""

    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")
    encoding: str = "utf-8"

    def rows(self, path: Path) -> Iterator[tuple[int, Any]]:
        """Yield (line, object)."""
        with open_text(path, self.encoding, newline="\n") as file:
            for number, line in enumerate(text_lines(file), 1):
                if not line.strip():
                    continue
                try:
                    row = parse_json(line, f"{path}:{number}", line=True, fix=_FIX)
                except DataError as error:
                    row = error
                yield number, row

"""JSON: an array of objects, at the top or under a dotted key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from luban.core.errors import DataError
from luban.core.yaml_json import parse_json
from luban.data.files.annotation_rows import plain_row
from luban.data.files.reading import open_text
from luban.data.files.records import value_at
from luban.data.sources._rows import RowSource


class Json(RowSource):
    """JSON files, plain or gzip. A file is parsed whole: keep gigabytes in JSON Lines.

    Exports of Label Studio with spans of text or choices, and examples of spaCy, are read too.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".json",)
    records: str = Field(
        default="",
        description="Dotted path to the array, such as `data.items`; empty: the file is the array.",
    )
    encoding: str = "utf-8"

    def rows(self, path: Path) -> Iterator[tuple[int, Any]]:
        """Yield (position in the array from 1, object)."""
        with open_text(path, self.encoding) as file:
            fix = "one JSON object per line is read by `name: jsonl`."
            data = parse_json(file.read(), path, fix=fix)
        if self.records:
            table = data if isinstance(data, dict) else {}
            data = value_at({**table, "_where": str(path)}, self.records)
        if not isinstance(data, list):
            raise DataError(
                "there is no array of records here.",
                where=path,
                got=data,
                fix="set `records` to the dotted path of the array.",
            )
        yield from enumerate(map(plain_row, data), 1)

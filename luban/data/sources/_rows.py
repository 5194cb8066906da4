"""What sources of rows (JSON, CSV, Parquet) share: renamed fields and a text template."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from luban.core.contracts import Record
from luban.core.errors import DataError
from luban.data.records import shape
from luban.data.sources._files import FileSource


class RowSource(FileSource, ABC):
    r"""Files of rows; each row becomes a record with its own fields, shaped."""

    fields: dict[str, str] = Field(
        default_factory=dict,
        description="New field name to the dotted path of theirs, such as `{label: meta.class}`.",
    )
    template: str = Field(
        default="", description=r'Makes `text` of other fields: `"{title}\n{lines}"`.'
    )
    join: str = Field(default="\n", description="What joins a list of texts.")

    @abstractmethod
    def rows(self, path: Path) -> Iterator[tuple[int, Any]]:
        """Yield (row or line number, row) of one file; a ``DataError`` for a row that is bad."""

    def read_file(self, path: Path) -> Iterator[Record]:
        """Yield the rows of one file as records."""
        for _, record in self.each(path):
            if isinstance(record, DataError):
                raise record
            yield record

    def each(self, path: Path) -> Iterator[tuple[int, Record | DataError]]:
        """Yield (row or line number, record) of one file, and errors in place of bad rows.

        Raises:
            DataError: for a file that cannot be read.
        """
        for number, row in self.rows(path):
            try:
                yield number, self._record(row, f"{path}:{number}")
            except DataError as error:
                yield number, error

    def _record(self, row: Any, where: str) -> Record:
        if isinstance(row, DataError):
            raise row
        if not isinstance(row, dict):
            raise DataError("this row is not a table of fields.", where=where, got=row)
        return shape({**row, "_where": where}, self.fields, self.template, self.join)

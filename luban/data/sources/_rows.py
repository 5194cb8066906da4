"""What sources of rows (JSON, CSV, Parquet, lines) share: renamed fields and templates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from luban.core.contracts import Record
from luban.core.errors import DataError
from luban.data.records import shape
from luban.data.sources._files import FileSource


class RowSource(FileSource, ABC):
    r"""Files of rows; each row becomes a record with its own fields, shaped."""

    fields: dict[str, str] = Field(
        default_factory=dict,
        description=(
            "New field name to the dotted path of theirs, such as `{label: meta.class}`, or to a "
            r'template of theirs: `{prompt: "{instruction}\n{input}"}`.'
        ),
    )
    template: str = Field(
        default="",
        description=(
            r'Makes `text` of other fields: `"{title}\n{lines}"`. In any template, a line of '
            "nothing but empty fields is left out."
        ),
    )
    join: str = Field(default="\n", description="What joins a list of texts, in templates.")
    values: dict[str, dict[str, str | int | float]] = Field(
        default_factory=dict,
        description='What the values of a field mean: `{label: {"0": negative, "1": positive}}`.',
    )
    others: bool = Field(
        default=True, description="Whether fields that none of these name are kept as they are."
    )

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
        return shape(
            {**row, "_where": where},
            self.fields,
            self.template,
            self.join,
            self.values,
            others=self.others,
        )

    @field_validator("values", mode="before")
    @classmethod
    def _numbers_too(cls, values: Any) -> Any:
        """Let YAML's ``{0: negative}`` be written without quotes."""
        if not isinstance(values, dict):
            return values
        return {
            name: {str(key): item for key, item in table.items()}
            if isinstance(table, dict)
            else table
            for name, table in values.items()
        }

"""Parquet: columns on disk, streamed by row groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from luban.core.errors import DataError
from luban.core.extras import require
from luban.data.files.reading import open_bytes
from luban.data.sources._rows import RowSource

_ROWS = 1024


class Parquet(RowSource):
    """Parquet files, plain or gzip; needs ``pyarrow`` (the extra ``data``)."""

    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")
    columns: tuple[str, ...] = Field(
        default=(), description="The columns to read; empty: all of them."
    )

    def rows(self, path: Path) -> Iterator[tuple[int, Any]]:
        """Yield (row from 1, values by column).

        Raises:
            MissingExtra: if ``pyarrow`` is not installed.
        """
        pa, parquet = require("pyarrow", "data"), require("pyarrow.parquet", "data")
        number = 0
        with open_bytes(path) as file:
            try:
                table = parquet.ParquetFile(file)
                for batch in table.iter_batches(_ROWS, columns=self._known(table, path)):
                    for row in batch.to_pylist():
                        number += 1
                        yield number, row
            except pa.ArrowException as error:
                raise DataError(
                    f"this Parquet file cannot be read ({error}).", where=f"{path}:{number + 1}"
                ) from None

    def _known(self, table: Any, path: Path) -> list[str] | None:
        names = table.schema_arrow.names
        for place, name in enumerate(names):
            if name in names[:place]:
                raise DataError(
                    f"two columns are called {name!r}.",
                    where=path,
                    got=f"columns {names.index(name) + 1} and {place + 1}",
                    fix="rename one of them in the file.",
                )
        for column in self.columns:
            if column not in names:
                raise DataError(
                    f"there is no column {column!r}.", where=path, expected=", ".join(names)
                )
        return list(self.columns) or None


def row_groups(path: Path, part: Path, share: float, most: int) -> None:
    """Write some rows from all over a file into another: the first ones of many row groups.

    Args:
        path: The file.
        part: Where they are written.
        share: About what share of the rows.
        most: How many row groups are looked at, at most.

    Raises:
        MissingExtra: if ``pyarrow`` is not installed.
        DataError: if the file cannot be read.
    """
    pa, parquet = require("pyarrow", "data"), require("pyarrow.parquet", "data")
    try:
        table = parquet.ParquetFile(path)
        count = table.num_row_groups
        chosen = [at * count // min(count, most) for at in range(min(count, most))]
        each = max(1, round(share * table.metadata.num_rows / max(1, len(chosen))))
        with parquet.ParquetWriter(part, table.schema_arrow) as writer:
            for group in chosen:
                batch = next(table.iter_batches(each, row_groups=[group]), None)
                if batch is not None:
                    writer.write_batch(batch)
    except pa.ArrowException as error:
        raise DataError(f"this Parquet file cannot be read ({error}).", where=path) from None

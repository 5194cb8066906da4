"""What sources of rows (JSON, CSV, Parquet, lines) share: renamed fields and templates."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Self, cast

from pydantic import Field

from luban.core.contracts import Record, SetApart
from luban.core.errors import DataError
from luban.data.files.archives import field_of
from luban.data.files.reading import missing
from luban.data.files.records import shape, value_at
from luban.data.media.audio_segments import SEGMENTS, segment_of
from luban.data.media.media_files import Media
from luban.data.sources._files import FileSource, Meanings


class Asked(NamedTuple):
    """What is wanted of records.

    Attributes:
        fields: All fields that matter; empty: any.
        required: Those that a record must have.
    """

    fields: frozenset[str]
    required: frozenset[str]


class RowSource(FileSource, ABC):
    r"""Files of rows; each row becomes a record with its own fields, shaped."""

    fields: dict[str, str | tuple[str, ...]] = Field(
        default_factory=dict,
        description=(
            "New field name to the dotted path of theirs, such as `{label: meta.class}`, or to a "
            r'template of theirs: `{prompt: "{instruction}\n{input}"}`. '
            "Of several columns that are 1 or 0, `{label: [round, red]}` lists those that are 1."
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
    values: Meanings = Field(
        default_factory=dict,
        description='What the values of a field mean: `{label: {"0": negative, "1": positive}}`.',
    )
    media: dict[str, str] = Field(
        default_factory=dict,
        description=(
            "Fields that name images or recordings, and the folder of these: `{image: photos}`; an "
            'empty one, `""`, is the folder of the rows.'
        ),
    )
    segments: bool = Field(default=True, description=SEGMENTS)
    others: bool = Field(
        default=True, description="Whether fields that none of these name are kept as they are."
    )

    @abstractmethod
    def rows(self, path: Path) -> Iterator[tuple[int, Any]]:
        """Yield (row or line number, row) of one file; a ``DataError`` for a row that is bad."""

    def files(self) -> tuple[Path, ...]:
        """Return the files of all splits, and those that their rows name."""
        found = super().files()
        if not self.media:
            return found
        named = (
            record[field].source
            for split in self.splits()
            for record in self.read(split)
            if not isinstance(record, SetApart)
            for field in self.media
            if isinstance(record.get(field), Media)
        )
        return tuple(dict.fromkeys((*found, *named)))

    def read_file(self, path: Path) -> Iterator[Record]:
        """Yield the rows of one file as records, each that is bad set apart."""
        for number, record in self.each(path):
            if isinstance(record, DataError):
                record = SetApart(record, f"{path}:{number}")
            yield record

    def each(
        self, path: Path, asked: Asked | None = None
    ) -> Iterator[tuple[int, Record | DataError]]:
        """Yield (row or line number, record) of one file, and errors in place of bad rows.

        Args:
            path: The file.
            asked: What is wanted of the records, where that is not all: data to predict need not
                hold answers, so what ``fields``, ``values`` and ``media`` say of them is left out.

        Raises:
            DataError: for a file that cannot be read.
        """
        for number, row in self.rows(path):
            made = self._asking(row, asked) if asked and isinstance(row, dict) else self
            try:
                record = made._record(row, f"{path}:{number}")
                yield number, made._with_media(record, path, row) if made.media else record
            except DataError as error:
                yield number, error

    def _asking(self, row: Mapping[str, Any], asked: Asked) -> Self:
        """Return this source without what it says of fields that are not asked for or not there."""
        key = tuple(row)
        if key not in self._askings:
            wanted = asked.fields
            fields = {
                ours: theirs
                for ours, theirs in self.fields.items()
                if (not wanted or ours in wanted)
                and (self._holds(row, theirs) or (ours in asked.required and ours not in row))
            }
            known = {*row, *fields}
            values = {k: v for k, v in self.values.items() if k in known and k in (wanted or known)}
            media = {k: v for k, v in self.media.items() if k in known}
            self._askings[key] = self.replace(fields=fields, values=values, media=media)
        return cast(Self, self._askings[key])

    @cached_property
    def _askings(self) -> dict[tuple[str, ...], RowSource]:
        return {}

    def _holds(self, row: Mapping[str, Any], theirs: str | tuple[str, ...]) -> bool:
        try:
            shape({**row, "_where": ""}, {"_": theirs}, join=self.join)
        except DataError:
            return False
        return True

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

    def _with_media(self, record: Record, path: Path, row: Mapping[str, Any]) -> Record:
        """Return a record whose names of files are the files.

        Raises:
            DataError: if a name leads out of its folder, or to no file.
        """
        opened = dict(record)
        for field, folder in self.media.items():
            name, where = value_at(record, field), str(record["_where"])
            root = Path(folder).expanduser() if folder else path.parent
            inside = _inside(str(name or ""), root)
            if not (isinstance(name, str) and name) or inside.is_absolute() or ".." in inside.parts:
                raise DataError(
                    f"the field {field!r} names no file.",
                    where=where,
                    expected=f"the path of a file below {root}",
                    got=name,
                )
            file = root / inside
            if not file.is_file():
                error = missing(file)
                error.where, error.got = where, str(file)
                raise error
            opened[field] = Media(str(file), file)
            if self.segments and field_of(file.name) == "audio":
                opened[field] = segment_of(opened[field], row, where)
        return opened


def _inside(name: str, root: Path) -> PurePosixPath:
    """Return a name as it is below a folder, where it leads there from the root of the system."""
    inside, top = PurePosixPath(name), os.path.abspath(root)
    return inside.relative_to(top) if inside.is_relative_to(top) else inside

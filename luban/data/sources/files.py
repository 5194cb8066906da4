"""Images or recordings: in folders, tars and zips, with what their names and neighbours tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field, field_validator

from luban.core.contracts import Record, SetApart
from luban.core.errors import DataError
from luban.data.checks.set_apart import tried
from luban.data.files.archives import IMAGES, SOUNDS, Member, field_of
from luban.data.files.records import shape
from luban.data.files.split_names import SPLITS
from luban.data.media.audio_segments import SEGMENTS, segment_of
from luban.data.media.media_files import Media
from luban.data.sources._files import FileSource, Meanings
from luban.data.sources._patterns import checked, told_by
from luban.data.sources._roots import Root, roots_of
from luban.data.sources._transcripts import stem


class Files(FileSource):
    """Files of images or recordings; a record has ``image`` or ``audio``, by the file's suffix.

    ``path`` is a folder, an archive (.tar, .tar.gz, .zip) or a glob of either. If all files lie
    in folders, the first folder's name is the ``label``; if these folders are called train, val
    and test, they are the splits, and the next one is the label. A ``metadata.csv`` or
    ``metadata.jsonl`` with ``file_name`` gives the files below it further fields, and leaves out
    those that it does not name. A ``.txt`` of the same name beside a recording is its ``text``; so
    is what follows its name in a line of another ``.txt``, as in LibriSpeech and AISHELL. Files
    such as ``testing_list.txt`` name those of a split, as in Speech Commands. A ``.cls`` of the
    same name is its ``label``, a ``.json`` tells fields, as in WebDataset.
    """

    pattern: str = Field(
        default="",
        description=(
            "What the files' names tell: `{label}_{speaker}_{take}.wav`; with a slash in it, the "
            "names of folders too. `{number}` and `{take}` are digits."
        ),
    )
    fields: dict[str, str] = Field(
        default_factory=dict,
        description="New field name to theirs, or to a template: `{text: label}`.",
    )
    values: Meanings = Field(
        default_factory=dict,
        description='What the values of a field mean: `{label: {"0": zero, "1": one}}`.',
    )
    segments: bool = Field(default=True, description=SEGMENTS)

    def splits(self) -> tuple[str, ...]:
        """Return the splits that ``path`` names, else those that folders are called."""
        return super().splits() if isinstance(self.path, dict) else self._named

    def read(self, split: str) -> Iterator[Record]:
        """Yield the files of a split as records.

        Raises:
            DataError: if a name does not fit the pattern.
        """
        given = isinstance(self.path, dict)
        every = given or len(self._named) == 1
        for root in self._roots[split if given else "train"]:
            for member in root.media():
                if every or root.split_of(member.name) == split:
                    yield from self._records(root, member)
            for place, lost in root.lost.items():
                if every or place == split:
                    yield from lost

    def read_file(self, path: Path) -> Iterator[Record]:
        """Yield the records of one file or archive."""
        yield from self.replace(path=str(path)).read("train")

    def files(self) -> tuple[Path, ...]:
        """Return the files and archives that records are made of."""
        roots = chain.from_iterable(self._roots.values())
        return tuple(dict.fromkeys(path for root in roots for path in root.files))

    def facts(self) -> Mapping[str, str]:
        """Return what was left out, if anything was."""
        roots = list(chain.from_iterable(self._roots.values()))
        skipped = sum((root.skipped for root in roots), Counter[str]())
        if not skipped:
            return {}
        kinds = ", ".join(f"{times:,} {kind}" for kind, times in skipped.most_common(8))
        return {"skipped files": f"{kinds} ({', '.join(r.first for r in roots if r.first)})"}

    @cached_property
    def _roots(self) -> dict[str, list[Root]]:
        tables = self.path if isinstance(self.path, dict) else {"train": self.path}
        found = {}
        for split, patterns in tables.items():
            given = (patterns,) if isinstance(patterns, str) else patterns
            found[split] = [root for pattern in given for root in roots_of(pattern)]
            if not any(root.names for root in found[split]):
                raise DataError(
                    "there is no image and no recording here.",
                    where=", ".join(given),
                    expected=f"names that end in {', '.join((*IMAGES[:4], *SOUNDS[:3]))} …",
                    got=", ".join(root.first for root in found[split] if root.first) or "no file",
                )
        return found

    @cached_property
    def _named(self) -> tuple[str, ...]:
        """The splits that folders are called; without a train folder, all is train."""
        found = {split for root in self._roots["train"] for split in root.splits}
        return tuple(s for s in SPLITS if s in found) if "train" in found else ("train",)

    def _records(self, root: Root, member: Member) -> Iterator[Record]:
        """Yield the record of a file; several, if rows tell of parts of it."""
        where, rows = f"{member.where}:1", root.rows.get(member.name, [("", {})])
        if member.name in root.wrong:
            for place, _ in rows:
                yield SetApart(root.wrong[member.name], place or where)
            return
        try:
            media = member.media()
        except DataError as caught:
            link = caught
            yield from (SetApart(link, place or where) for place, _ in rows)
            return
        parts = [tried(partial(self._record, root, member, media, *row), where) for row in rows]
        fit = [part for part in parts if not isinstance(part, SetApart)]
        audio = [record.get("audio") for record in fit]
        if len(rows) > 1 and not all(isinstance(m, Media) and m.begin is not None for m in audio):
            error = DataError(
                "several rows tell of this file, and not of parts of it.",
                expected="one row, or offset and duration in each",
                got=" and ".join(place for place, _ in rows[:3]),
            )
            yield from (SetApart(error, place) for place, _ in rows)
            return
        yield from parts

    def _record(
        self, root: Root, member: Member, media: Media, place: str, row: Mapping[str, Any]
    ) -> Record:
        record: dict[str, Any] = {str(field_of(member.name)): media}
        if root.labelled:
            record["label"] = PurePosixPath(member.name).parts[root.depth]
        if "audio" in record and (text := root.texts.get(stem(member.name))) is not None:
            record["text"] = text
        record |= root.beside.get(member.name, {})
        record |= row
        if "audio" in record and self.segments:
            record["audio"] = segment_of(media, record, place or member.where)
        record |= told_by(self.pattern, member.name, member.where)
        record["_where"] = f"{member.where}:1"
        return shape(record, self.fields, values=self.values) if self._shapes else record

    @property
    def _shapes(self) -> bool:
        return bool(self.fields or self.values)

    @field_validator("pattern")
    @classmethod
    def _names_fields(cls, pattern: str) -> str:
        return checked(pattern)

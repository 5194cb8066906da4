"""The Python language reference that every CPython ships: real text with no download."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from platform import python_version

from luban.core.contracts import Record, Source
from luban.core.errors import DataError
from luban.data.split import Split

# A hash of the topic's name, so that a revised text stays where it was. Topics are few, of
# uneven length, and quote each other: with this salt, out of 1,500 tried, the held-out splits
# have 6 and 10 % of the characters and share least with train.
_SPLIT = Split(by="record", validation=0.1, test=0.1, salt="463")


class PythonReference(Source):
    """One document per topic of ``pydoc_data.topics`` (about 465,000 characters), by name."""

    def splits(self) -> tuple[str, ...]:
        """Return train, validation and test."""
        return _SPLIT.names()

    def read(self, split: str) -> Iterator[Record]:
        """Yield the topics of a split."""
        topics: Mapping[str, str] = import_module("pydoc_data.topics").topics
        for topic in sorted(topics):
            where = f"pydoc_data.topics: {topic}"
            record = {"text": topics[topic], "topic": topic, "_id": topic, "_where": where}
            if _SPLIT.assign(record, "record") == split:
                yield record

    def files(self) -> tuple[Path, ...]:
        """Return the file of the standard library that holds the topics."""
        try:
            return (Path(import_module("pydoc_data.topics").__file__ or ""),)
        except ImportError:
            raise DataError(
                "this Python was installed without pydoc_data.",
                fix="use another source: name: text, path: FILE.",
            ) from None

    def facts(self) -> Mapping[str, str]:
        """Return title, licence and address."""
        return {
            "title": f"The Python Language Reference, as shipped with CPython {python_version()}",
            "licence": "PSF-2.0",
            "address": "https://docs.python.org/3/reference/",
        }

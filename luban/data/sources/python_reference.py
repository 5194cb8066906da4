"""The Python language reference that every CPython ships: real text with no download."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from platform import python_version

from luban.core.contracts import Record, Source
from luban.core.errors import DataError


class PythonReference(Source):
    """One document per topic of ``pydoc_data.topics`` (about 465,000 characters), by name."""

    def splits(self) -> tuple[str, ...]:
        """Return ``("train",)``."""
        return ("train",)

    def read(self, split: str) -> Iterator[Record]:
        """Yield the topics. ``_id`` keeps a topic in its split when its text is revised."""
        topics: Mapping[str, str] = import_module("pydoc_data.topics").topics
        for topic in sorted(topics):
            where = f"pydoc_data.topics: {topic}"
            yield {"text": topics[topic], "topic": topic, "_id": topic, "_where": where}

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

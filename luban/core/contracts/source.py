"""Where records come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from luban.core.component import Component
from luban.core.contracts.records import Record


class Source(Component, ABC):
    """Where records come from."""

    kind: ClassVar[str] = "sources"

    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """Return the splits the source itself knows: ``("train",)`` or more."""

    @abstractmethod
    def read(self, split: str) -> Iterator[Record]:
        """Yield the records of a split; each call starts anew.

        A record has the data's own fields plus ``_where`` (``file:row``) for messages. In place of
        a record that cannot be used (a malformed row, one whose file is missing) stands a
        ``SetApart``: none is left out, and one bad row does not stop all.

        Raises:
            DataError: for a file that is not of this format, or cannot be read at all.
        """

    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """Return the files read, for digests and the card (empty if there are none)."""

    def settings(self) -> dict[str, Any]:
        """Return how records are read, as in a recipe, wherever they lie: of new data too."""
        return self.to_dict()

    def facts(self) -> Mapping[str, str]:
        """Return what the card should say of the source: title, licence, address."""
        return {}

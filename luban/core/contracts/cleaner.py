"""What changes or drops records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar

from luban.core.component import Component
from luban.core.contracts.records import Record, Tally


class Cleaner(Component, ABC):
    """Changes or drops records, and counts what it did."""

    kind: ClassVar[str] = "cleaners"

    @abstractmethod
    def clean(self, records: Iterable[Record], tally: Tally) -> Iterator[Record]:
        """Yield the records that stay, changed or not, and count the rest in ``tally``."""

"""Drop records whose field has one of some values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import Field

from luban.core.contracts import Cleaner, Record, Tally


class Values(Cleaner):
    """Drops records that say in a field that there is nothing to learn, such as a label ``-``."""

    field: str = Field(default="label", description="The field that is looked at.")
    drop: tuple[str, ...] = Field(
        default=("",), description='The values, written as text, such as `["-", "-1"]`.'
    )

    def clean(self, records: Iterable[Record], tally: Tally) -> Iterator[Record]:
        """Yield the records with other values."""
        for record in records:
            value = record.get(self.field)
            if ("" if value is None else str(value)) in self.drop:
                tally.add(f"dropped: {self.field} {value}", str(record.get("_where", "")))
            else:
                yield record

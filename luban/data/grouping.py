"""What several records share, such as the passage they ask about, so that no split cuts it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from luban.core.contracts import Record
from luban.data.checks.set_apart import usable
from luban.data.files.records import own_fields

_LOOK = 5000  #: records by which it is told
_LEAST = 20  #: groups, below which splits by group would be far from their shares
_REPEATED = 0.9  #: distinct values to records, above which a field is as good as not shared
_LONG = 40  #: characters, on average, from which on equal texts are no coincidence
#: Fields that name what several records are taken from.
_ORIGINS = frozenset(
    f"{what}{end}"
    for what in (
        *(
            "article",
            "author",
            "context",
            "paragraph",
            "premise",
            "conversation",
            "dialog",
            "dialogue",
            "doc",
            "document",
            "passage",
        ),
        *("patient", "session", "speaker", "subject", "thread", "user"),
    )
    for end in ("", "_id")
)


def shared_field(records: Iterable[Record]) -> str:
    """Return the field whose values several records share; empty: there is none.

    It is a long text (a context, a premise) or the name of an origin (a speaker, a conversation).
    What is the label too is none. Of several, the one with the fewest values holds most together.
    """
    rows = [own_fields(record) for record in islice(usable(records), _LOOK)]
    found: list[tuple[int, str]] = []
    for name in rows[0] if len(rows) >= 2 * _LEAST else ():
        values = [row.get(name) for row in rows]
        if all(type(value) in (str, int) and value != "" for value in values):
            distinct = len(set(values))
            long = sum(len(value) for value in values if isinstance(value, str)) / len(values)
            labels = [row.get("label") for row in rows]
            told = long >= _LONG or (name.lower() in _ORIGINS and values != labels)
            if told and name != "label" and _LEAST <= distinct <= _REPEATED * len(rows):
                found.append((distinct, name))
    return min(found, default=(0, ""))[1]

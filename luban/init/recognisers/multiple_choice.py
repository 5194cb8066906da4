"""Which fields of unknown records hold a question, its choices and which is right."""

from __future__ import annotations

from collections.abc import Sequence

from luban.core.contracts import Guess, Record
from luban.core.errors import DataError
from luban.data.files.records import own_fields
from luban.tasks.multiple_choice import gold_in, pairs_in

#: What the fields are called in public sets.
_NAMES = {
    "query": ("question", "ctx", "context", "stem", "premise"),
    "choices": ("endings", "options"),
    "gold": ("label", "answer", "answer_idx"),
}


def recognise(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of multiple choice: records have choices and say which is right."""
    names = own_fields(sample[0]) if sample else {}
    fields: dict[str, str] = {}
    for ours, theirs in _NAMES.items():
        found = next((name for name in theirs if name in names), "")
        fields |= {ours: found} if found and ours not in names else {}
    try:
        for record in sample:
            named = {ours: record.get(name) for ours, name in fields.items()}
            gold_in({**record, **named}, len(pairs_in({**record, **named})))
    except DataError:
        return None
    task = {"tokenizer": {"name": "bpe", "vocab_size": 4096}}
    why = f"{fields.get('gold', 'gold')!r} says which choice is right"
    return Guess(0.95, fields, task, {"name": "gpt"}, why=why)

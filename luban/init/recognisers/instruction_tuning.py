"""Which fields of unknown records hold conversations, or questions beside answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from luban.core.contracts import Guess, Record
from luban.core.errors import DataError
from luban.data.files.records import own_fields
from luban.tasks.inputs.conversations import messages_in


def recognise(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of instruction tuning: conversations, or questions beside answers."""
    fields = set(own_fields(sample[0])) if sample else set()
    renamed: dict[str, str] = {}
    if {name.split(".")[0] for name in fields} & {"chosen", "rejected"}:  # tables may be open
        return None  # preferences: which of two answers is better
    for name in ("messages", "conversations", "conversation"):
        if name in fields and _all_messages(sample, name):
            renamed = {} if name == "messages" else {"messages": name}
            return _guess(0.95, renamed, f"{name!r} holds turns of a conversation")
    for asked, said, confidence in (
        ("prompt", "completion", 0.9),
        ("instruction", "output", 0.95),
        ("prompt", "response", 0.85),
        ("instruction", "response", 0.95),
        ("question", "answer", 0.7),
    ):
        if {asked, said} <= fields and _all_texts(sample, asked, said):
            if "context" in fields and asked != "instruction":
                continue  # a question about a text
            if "context" in fields:
                prompt = "{instruction}\n\n{context}"
                why = f"{said!r} answers {asked!r} about 'context'"
                return _guess(0.97, {"prompt": prompt, "completion": said}, why)
            known = (asked, said) in (("prompt", "completion"), ("instruction", "output"))
            renamed = {} if known else {"prompt": asked, "completion": said}
            return _guess(confidence, renamed, f"{said!r} answers {asked!r}")
    return None


def _guess(confidence: float, fields: Mapping[str, str], why: str) -> Guess:
    task = {"context": 512, "tokenizer": {"name": "bpe", "vocab_size": 4096}}
    return Guess(confidence, fields, task, {"name": "gpt"}, why=why)


def _all_messages(sample: Sequence[Record], name: str) -> bool:
    try:
        return all(messages_in({"messages": record[name]}) for record in sample)
    except (DataError, KeyError):
        return False


def _all_texts(sample: Sequence[Record], *names: str) -> bool:
    return all(isinstance(record.get(name), str) for record in sample for name in names)

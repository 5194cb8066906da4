"""Conversations in records: the forms they come in, and how they fit into a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luban.core.contracts import Record
from luban.core.errors import DataError, RequestError, UnfitError
from luban.data.files.records import own_fields
from luban.data.text.chat_messages import ASSISTANT, Message, checked, named, tools_in

_FORMS = (
    "messages, or prompt and completion, or instruction and output (and input, if there is one)"
)


def exchange_in(record: Record) -> tuple[str, str]:
    """Return prompt and answer of a record that is no longer conversation.

    Raises:
        DataError: naming the row and the field that is missing.
        UnfitError: if the record says that its answer is a bad one.
    """
    _check_preference(record)
    for prompt, answer in (("prompt", "completion"), ("instruction", "output")):
        if prompt in record or answer in record:
            asked, said = _text(record, prompt), _text(record, answer)
            more = record.get("input") if prompt == "instruction" else None
            if isinstance(more, str) and more.strip():
                asked = f"{asked}\n\n{more}"
            return asked, said
    raise _formless(record)


def messages_in(record: Record, system: str = "") -> list[Message]:
    """Return the messages of a record, in any of the forms they come in.

    Args:
        record: ``messages`` (or ShareGPT's from and value), or prompt and answer; either may
            themselves be messages.
        system: A first message for conversations that do not begin with one of their own.

    Raises:
        DataError: naming the row and what is wrong with it.
        UnfitError: if the record says that its answer is a bad one.
    """
    _check_preference(record)
    system = _own_system(record) or system
    try:
        messages = checked(_spoken(record))
    except RequestError as error:
        raise at_row(error, record) from None
    if system and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system})
    return messages


def tools_of(record: Record) -> list[Any] | None:
    """Return the tools that a record describes, in the field ``tools``.

    Raises:
        DataError: naming the row, if the field is not understood.
    """
    try:
        return tools_in(record.get("tools"))
    except RequestError as error:
        raise at_row(error, record) from None


def at_row(error: RequestError, record: Record) -> DataError:
    """Return an error about messages as one about the row they stand in."""
    where = ", ".join(str(part) for part in (record.get("_where"), error.where) if part)
    return DataError(error.what, where=where, expected=error.expected, got=error.got, fix=error.fix)


def fitted(
    ids: list[int], spans: Sequence[tuple[int, int]], length: int, end: int
) -> tuple[list[int], list[tuple[int, int]], bool]:
    """Return a conversation that fits into a window, its answers, and whether any answer is cut.

    Whole turns go first, the last ones before others. If not even the first answer fits, it gets
    at least half of the window: what is too long of it goes, then its prompt's beginning. The
    end token of every answer that is left stands at its end.

    Args:
        ids: The conversation, up to the end of its last answer.
        spans: [first, last) of each answer that is learned, its end token included; at least one.
        length: Positions of the window, at least 4.
        end: The end token.
    """
    whole = [span for span in spans if span[1] <= length]
    if whole:
        return ids[: whole[-1][1]], whole, len(whole) < len(spans)
    start, stop = spans[0]
    room = max(length - start, length // 2)
    cut = stop - start > room
    answer = [*ids[start : start + room - 1], end] if cut else ids[start:stop]
    prompt = ids[max(0, start - (length - len(answer))) : start]
    span = (len(prompt), len(prompt) + len(answer))
    return [*prompt, *answer], [span], cut or len(spans) > 1


def _spoken(record: Record) -> Any:
    """Return the messages of a record as they are, with the usual names of roles."""
    if "messages" in record:
        found = record["messages"]
        several = isinstance(found, list | tuple)
        return [named(message) for message in found] if several else found
    sides = [("user", record.get("prompt")), (ASSISTANT, record.get("completion"))]
    if not any(isinstance(side, list | tuple) for _, side in sides):
        asked, said = exchange_in(record)
        last = [{"role": "user", "content": asked}, {"role": ASSISTANT, "content": said}]
        return [*_history(record), *last]
    found = []
    for role, side in sides:
        if isinstance(side, str):
            found.append({"role": role, "content": side})
        elif isinstance(side, list | tuple):
            found += map(named, side)
        else:
            raise _formless(record)
    return found


def _own_system(record: Record) -> str:
    """Return the system message that stands in a field of its own."""
    found = record.get("system")
    return found if isinstance(found, str) and found.strip() else ""


def _history(record: Record) -> list[Message]:
    """Return the turns before the last one, as Alpaca's rows hold them: [[question, answer], …].

    Raises:
        DataError: naming the row, if the field ``history`` holds something else.
    """
    found = record.get("history") or ()
    pairs = isinstance(found, list | tuple) and all(
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and all(isinstance(text, str) for text in pair)
        for pair in found
    )
    if not pairs:
        raise DataError(
            "the field 'history' is not understood.",
            where=record.get("_where", ""),
            expected="a list of pairs: [[question, answer], …]",
            got=found,
        )
    roles = ("user", ASSISTANT)
    return [
        {"role": role, "content": text}
        for pair in found
        for role, text in zip(roles, pair, strict=True)
    ]


def _check_preference(record: Record) -> None:
    """Refuse what says which answers are preferred: trained on, bad answers would be learned.

    Raises:
        DataError: for a pair of a chosen and a rejected answer.
        UnfitError: for an answer marked as bad.
    """
    where = record.get("_where", "")
    if "chosen" in record and "rejected" in record:
        raise DataError(
            "the record prefers one answer to another, and tuning on preferences does not exist.",
            where=where,
            expected=_FORMS,
            got="fields: chosen, rejected",
            fix="to learn the chosen answers alone: data.source.fields: {completion: chosen}, "
            "or {messages: chosen} if it holds the whole conversation.",
        )
    label = record.get("label")
    if type(label) is bool and not label and ("completion" in record or "messages" in record):
        raise UnfitError(
            "the record says that its answer is a bad one (label: false).",
            where=where,
            fix="learn the good answers alone: drop such rows, or raise prepare.max_unreadable.",
        )


def _formless(record: Record) -> DataError:
    return DataError(
        "the record holds no conversation.",
        where=record.get("_where", ""),
        expected=_FORMS,
        got=f"fields: {', '.join(own_fields(record))}",
        fix="name the fields with data.source.fields: {prompt: YOURS, completion: YOURS}.",
    )


def _text(record: Record, name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str):
        raise DataError(
            f"the record has no text {name!r}.",
            where=record.get("_where", ""),
            expected=_FORMS,
            got=value,
        )
    return value

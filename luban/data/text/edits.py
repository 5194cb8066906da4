"""Texts rewritten piece by piece, so that places in them move along: entities and answers.

Places that are known: ``start`` and ``end`` of ``entities`` in ``text``, and ``start`` or
``answer_start`` of ``answers`` in ``context``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

from luban.core.contracts import Record


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters ``start`` to ``end`` of a text, and what comes in their place."""

    start: int
    end: int
    new: str


#: Returns the edits of a text, in order and apart.
Editor: TypeAlias = Callable[[str], Sequence[Edit]]
#: Told the number of an editor, a text, and what that editor does to it.
Note: TypeAlias = Callable[[int, str, Sequence[Edit]], None]

#: What a cleaner counts a record by that it drops for a ``Straddled``.
STRADDLED = "dropped: an entity or answer begins or ends within what is replaced"


class Straddled(Exception):
    """A marked text begins or ends within what is replaced: it has no place any more."""


def applied(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with its edits made."""
    parts, at = [], 0
    for edit in edits:
        parts += [text[at : edit.start], edit.new]
        at = edit.end
    return "".join([*parts, text[at:]])


def rewritten(record: Record, editors: Sequence[Editor], note: Note) -> Record:
    """Return the record with all its text edited, and its places moved along.

    Args:
        record: Strings of its own fields are edited, in lists and tables too.
        editors: Applied to each text, one after the other.
        note: Told of each text that is edited: which editor, the text, and its edits.

    Raises:
        Straddled: if an edit goes over the border of an entity or answer, or takes all of it.
    """
    pen = _Pen(editors, note)
    text, context = record.get("text"), record.get("context")
    new = {}
    for name, value in record.items():
        if name.startswith("_"):
            new[name] = value
        elif name == "entities" and isinstance(text, str) and isinstance(value, list | tuple):
            new[name] = [pen.entity(one, text) for one in value]
        elif name == "answers" and isinstance(context, str):
            new[name] = pen.answers(value, context)
        else:
            new[name] = pen.edited(value)
    return new if pen.wrote else record


def moved(text: str, start: int, end: int, editors: Sequence[Editor]) -> tuple[int, int]:
    """Return where a marked part of a text stands once it is edited.

    Raises:
        Straddled: if an edit goes over one of its borders.
    """
    for editor in editors:
        edits = editor(text)
        grown = [0, *accumulate(len(e.new) - (e.end - e.start) for e in edits)]
        if any(e.start < place < e.end for e in edits for place in (start, end)):
            raise Straddled
        # What is put in at a border is no part of the marked text.
        before = sum(e.end <= start for e in edits)
        within = sum(e.end <= end and e.start < end for e in edits)
        text = applied(text, edits)
        start, end = start + grown[before], end + grown[max(before, within)]
        if start >= end:
            raise Straddled
    return start, end


class _Pen:
    """Edits the values of one record.

    Attributes:
        wrote: Whether anything was changed.
    """

    def __init__(self, editors: Sequence[Editor], note: Note) -> None:
        self._editors, self._note = editors, note
        self.wrote = False

    def edited(self, value: Any) -> Any:
        if isinstance(value, str):
            for number, editor in enumerate(self._editors):
                if edits := editor(value):
                    self._note(number, value, edits)
                    self.wrote = True
                    value = applied(value, edits)
            return value
        if isinstance(value, list | tuple):
            return type(value)([self.edited(item) for item in value])
        if type(value) is dict:
            return {key: self.edited(item) for key, item in value.items()}
        return value

    def entity(self, one: Any, text: str) -> Any:
        edited = self.edited(one)
        if not _is_place(one, text):
            return edited
        start, end = moved(text, one["start"], one["end"], self._editors)
        return {**edited, "start": start, "end": end}

    def answers(self, answers: Any, context: str) -> Any:
        if isinstance(answers, Mapping):
            texts, key = (
                answers.get("text"),
                "answer_start" if "answer_start" in answers else "start",
            )
            starts = answers.get(key)
            if not (isinstance(texts, list | tuple) and isinstance(starts, list | tuple)):
                return self.edited(answers)
            sides = zip(texts, starts, strict=False)
            pairs = [self.answer({"text": text, key: at}, context) for text, at in sides]
            return {**answers, "text": [p["text"] for p in pairs], key: [p[key] for p in pairs]}
        if isinstance(answers, list | tuple):
            return [self.answer(one, context) for one in answers]
        return self.edited(answers)

    def answer(self, one: Any, context: str) -> Any:
        edited = self.edited(one)
        if not isinstance(one, Mapping) or not isinstance(one.get("text"), str):
            return edited
        key = "start" if "start" in one else "answer_start"
        at = one.get(key)
        if type(at) is not int or at < 0 or not context.startswith(one["text"], at):
            return edited  # it is looked for
        if not one["text"]:
            return edited
        start, end = moved(context, at, at + len(one["text"]), self._editors)
        for editor in self._editors:
            context = applied(context, editor(context))
        return {**edited, "text": context[start:end], key: start}


def _is_place(one: Any, text: str) -> bool:
    if not isinstance(one, Mapping):
        return False
    start, end = one.get("start"), one.get("end")
    return type(start) is int and type(end) is int and 0 <= start < end <= len(text)

"""Rows as annotation tools write them, made plain: exports of Label Studio, examples of spaCy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luban.core.errors import DataError


def plain_row(row: Any) -> Any:
    """Return the plain record of a row that an annotation tool wrote; other rows as they are.

    - Label Studio: ``{"data": {…}, "annotations": [{"result": […]}]}`` becomes the data with
      ``entities`` (spans of text) and ``label`` (choices; several are a list). Annotations that
      were cancelled do not count.
    - spaCy: ``[text, {"entities": [[begin, end, type]]}]`` becomes ``text`` and ``entities``.

    Returns:
        The record, or what is wrong with it: annotators that differ, a mark of another kind, a
        span that is not where it is said to be.
    """
    try:
        if _is_of_label_studio(row):
            return _of_label_studio(row)
        return {"text": row[0], "entities": row[1]["entities"]} if _is_of_spacy(row) else row
    except DataError as error:
        return error


def _is_of_spacy(row: Any) -> bool:
    two = isinstance(row, list) and len(row) == 2 and isinstance(row[0], str)
    return two and isinstance(row[1], dict) and row[1].keys() == {"entities"}


def _is_of_label_studio(row: Any) -> bool:
    if not (isinstance(row, dict) and isinstance(row.get("data"), dict)):
        return False
    notes = row.get("annotations")
    return isinstance(notes, list) and all(
        isinstance(note, dict) and isinstance(note.get("result"), list) for note in notes
    )


def _of_label_studio(row: Mapping[str, Any]) -> dict[str, Any]:
    data = dict(row["data"])
    notes = [note["result"] for note in row["annotations"] if not note.get("was_cancelled")]
    if not notes:
        return data
    answers = [_answers(result, data) for result in notes]
    if any(answer != answers[0] for answer in answers):
        raise DataError(
            "the annotators of this task differ.",
            got=f"{len(answers)} annotations",
            fix="export one annotation a task, such as the ground truth.",
        )
    if twice := sorted(data.keys() & answers[0].keys()):
        raise DataError(
            f"the field {twice[0]!r} stands in the data of this task, and is its answer too.",
            fix="rename it in `data`.",
        )
    return data | answers[0]


def _answers(result: Sequence[Any], data: dict[str, Any]) -> dict[str, Any]:
    """Return what one annotator said, and the text that spans are of, if it is not ``text``."""
    spans, chosen = list[dict[str, Any]](), list[str]()
    for mark in result:
        kind = mark.get("type") if isinstance(mark, dict) else None
        value = mark.get("value") if isinstance(mark, dict) else None
        if not isinstance(value, dict) or kind not in ("labels", "choices"):
            raise DataError(
                "this task has a mark that is neither a span of text nor a choice.",
                got=kind or mark,
                fix="leave such marks out of the export.",
            )
        names = value.get(kind)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError(f"a mark has no {kind}.", got=value)
        if kind == "choices":
            chosen += names
        elif len(names) == 1:
            spans.append({"start": value.get("start"), "end": value.get("end"), "type": names[0],
                          "text": value.get("text")})  # fmt: skip
        else:
            raise DataError("a span has not one label.", got=names)
    found: dict[str, Any] = {}
    if spans or not chosen:
        found["entities"] = _placed(spans, data)
    if chosen:
        found["label"] = chosen[0] if len(chosen) == 1 else chosen
    return found


def _placed(spans: Sequence[dict[str, Any]], data: dict[str, Any]) -> list[dict[str, Any]]:
    """Return spans with places in characters: Label Studio counts units of UTF-16.

    Raises:
        DataError: if a span is not where it is said to be in any text, or in more than one.
    """
    texts = {name: value for name, value in data.items() if isinstance(value, str)}
    fits = {name: [_moved(span, text) for span in spans] for name, text in texts.items()}
    whole = {name: found for name, found in fits.items() if None not in found}
    if spans and (len(whole) != 1 or ("text" in texts and "text" not in whole)):
        raise DataError(
            "the spans of this task do not lie in one text of its data.",
            expected="start and end at which the text of each span stands",
            got=spans[0],
        )
    if not spans:
        return []
    ((name, placed),) = whole.items()
    if name != "text":
        data["text"] = data.pop(name)
    return [span for span in placed if span is not None]


def _moved(span: Mapping[str, Any], text: str) -> dict[str, Any] | None:
    """Return a span with its places in characters of a text; None: it does not stand there."""
    begin, end, said = span["start"], span["end"], span["text"]
    if type(begin) is not int or type(end) is not int or not 0 <= begin < end:
        return None
    units = text.encode("utf-16-le")
    before, within = units[: 2 * begin], units[2 * begin : 2 * end]
    try:
        start, part = len(before.decode("utf-16-le")), within.decode("utf-16-le")
    except UnicodeDecodeError:
        return None
    if len(within) < 2 * (end - begin) or said not in (None, part):
        return None
    return {"start": start, "end": start + len(part), "type": span["type"]}

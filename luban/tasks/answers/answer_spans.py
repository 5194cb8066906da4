"""Questions about passages: what records say, and passages as windows a model can read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import regex

from luban.core.contracts import Example, Examples, Record, SpecialTokenFrame, Tokenizer, View
from luban.core.errors import DataError, RecipeError
from luban.data.files.records import unusable
from luban.data.text.occurrences import nearest_occurrence
from luban.data.text.padding import as_text, encoder_row
from luban.tasks.answers.calibration import HALF, kept

Array: TypeAlias = "np.ndarray[Any, Any]"
Answer: TypeAlias = tuple[str, int]  #: its text, and where it is said to begin (-1: nowhere)

#: The ends of sentences in any script: Unicode's property Sentence_Terminal.
_SENTENCE = regex.compile(r"[^\p{STerm}\n]+\p{STerm}*")


def text_in(record: Record, field: str) -> str:
    """Return the question or the context of a record.

    Raises:
        DataError: if it is missing or blank.
    """
    value = record.get(field)
    if isinstance(value, str) and value.strip():
        return value
    raise unusable(record, field, ", a string that is not blank")


def answers_in(record: Record) -> list[Answer]:
    """Return the answers of a record; none means that the context does not tell.

    Lists of ``{text, start}`` (or ``answer_start``), lists of texts, and SQuAD's table of lists
    are read; blank answers are left out.

    Raises:
        DataError: if they are missing or are something else.
    """
    found = record.get("answers")
    if isinstance(found, Mapping):
        texts, starts = found.get("text"), found.get("answer_start", found.get("start"))
        if isinstance(texts, list | tuple) and isinstance(starts, list | tuple | None):
            starts = [-1] * len(texts) if starts is None else starts
            found = [{"text": t, "start": s} for t, s in zip(texts, starts, strict=False)]
    if isinstance(found, list | tuple):
        answers = [_answer(item) for item in found]
        if None not in answers:
            return [answer for answer in answers if answer and answer[0].strip()]
    form = ", a list of {text, start}, empty if there is no answer"
    raise unusable(record, "answers", form)


def places_of(record: Record, answers: Sequence[Answer], context: str, spans: Array) -> Array:
    """Return the first and last token of each answer that the context holds, int32 (A, 2).

    An answer that does not stand where it is said to is looked for; the nearest place counts.
    What most annotators say comes first.

    Raises:
        DataError: if there are answers and the context holds none.
    """
    counts: Counter[tuple[int, int]] = Counter()
    for text, stated in answers:
        start = nearest_occurrence(context, text, stated)
        if start < 0:
            continue
        first = int(np.searchsorted(spans[:, 1], start, "right"))
        last = int(np.searchsorted(spans[:, 0], start + len(text), "left")) - 1
        if first <= last:
            counts[first, last] += 1
    if answers and not counts:
        raise DataError(
            "the context does not hold the answer.",
            where=record.get("_where", ""),
            expected="an answer that stands in the context, word for word",
            got=answers[0][0],
            fix="correct the answer, or give an empty list if there is none.",
        )
    places = [place for place, _ in counts.most_common()]
    return np.array(places, np.int32).reshape(-1, 2)


@dataclass(frozen=True, slots=True)
class Cutter:
    """Cuts a long context into windows that overlap.

    Attributes:
        tokenizer: Knows the special tokens.
        max_length: Most tokens of question, window and special tokens.
        overlap: Tokens that neighbouring windows share.
    """

    tokenizer: Tokenizer
    max_length: int
    overlap: int

    @property
    def _frame(self) -> SpecialTokenFrame:
        return self.tokenizer.frame(pair=True)

    @property
    def _room(self) -> int:
        """Tokens of question and context in a window."""
        return self.max_length - self._frame.size

    def check_room(self, question: int) -> None:
        """Check that windows go on, after a question of so many tokens.

        Raises:
            RecipeError: if they do not, with the special tokens of this tokenizer.
        """
        least = question + self._frame.size + self.overlap + 1
        if self.max_length < least:
            raise RecipeError(
                "a window has no room to go on by, with the special tokens of this tokenizer.",
                where="task.max_length",
                expected=f"at least {least}",
                got=self.max_length,
            )

    def before(self, question: int) -> int:
        """Return the position of the first context token after a question of so many tokens."""
        return len(self._frame.before) + question + len(self._frame.between)

    def shown(self, window: Example) -> slice:
        """Return the positions of a window's context tokens."""
        end = len(window["input_ids"]) - len(self._frame.after)
        return slice(end - len(window["begins"]), end)

    def counts(self, questions: Array, contexts: Array) -> Array:
        """Return how many windows there are, from the lengths of questions and contexts."""
        room = self._room - questions
        beyond = np.maximum(contexts - room, 0)
        counts: Array = 1 + -(-beyond // (room - self.overlap))
        return counts

    def lengths(self, questions: Array, contexts: Array) -> Array:
        """Return the tokens of every window of every example, one after the other."""
        counts = self.counts(questions, contexts)
        room = self._room - questions
        number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rest = np.repeat(contexts, counts) - number * np.repeat(room - self.overlap, counts)
        return np.asarray(
            np.repeat(questions, counts)
            + self._frame.size
            + np.minimum(rest, np.repeat(room, counts))
        )

    def windows(self, example: Example) -> list[Example]:
        """Return the windows of an example, each with its part of the answer.

        ``begins`` tells for each context token of a window whether no other window shows more
        of what surrounds it: there a span that begins with it is judged (Devlin et al. 2018).
        """
        size = len(example["context_ids"])
        count = int(self.counts(np.array(len(example["question_ids"])), np.array(size)))
        windows = [self.window(example, number) for number in range(count)]
        around = np.full((count, size), -1.0)
        for row, window in zip(around, windows, strict=True):
            first, shown = int(window["offset"]), len(window["begins"])
            at = np.arange(shown)
            row[first : first + shown] = np.minimum(at, at[::-1]) + 0.01 * shown
        best = around.argmax(0)
        for number, window in enumerate(windows):
            first, shown = int(window["offset"]), len(window["begins"])
            window["begins"][:] = best[first : first + shown] == number
        return windows

    def reachable(
        self, example: Example, places: Iterable[tuple[int, int]], longest: int
    ) -> list[tuple[int, int]]:
        """Return spans of context tokens as far as the window goes in which they are judged.

        Args:
            example: Question and whole context.
            places: First and last token of each span.
            longest: Most tokens of a span.
        """
        ends: dict[int, int] = {}
        for window in self.windows(example):
            first = int(window["offset"])
            last = first + len(window["begins"]) - 1
            ends |= {first + int(at): last for at in np.flatnonzero(window["begins"])}
        return [(a, min(b, ends[a], a + longest - 1)) for a, b in places]

    def window(self, example: Example, number: int) -> Example:
        """Return one window: ``input_ids``, ``token_type_ids``, and where it lies.

        ``offset`` is the context token it begins with; ``labels`` are the positions at which the
        answer begins and ends, both 0 if it is not all in this window.
        """
        question = example["question_ids"].tolist()
        room = self._room - len(question)
        start = number * (room - self.overlap)
        ids = example["context_ids"][start : start + room].tolist()
        row, _ = encoder_row(self.tokenizer, question, ids, self.max_length)
        found = {
            **row,
            "offset": np.array(start, np.int32),
            "begins": np.ones(len(ids), bool),
        }
        if "places" in example:
            labels = (0, 0)
            for first, last in example["places"][:1].tolist():
                if start <= first and last < start + len(ids):
                    shift = self.before(len(question)) - start
                    labels = (first + shift, last + shift)
            found["labels"] = np.array(labels, np.int64)
        return found


class WindowView(View):
    """The windows of all examples, one after the other."""

    def __init__(self, store: Examples, cutter: Cutter) -> None:
        counts = cutter.counts(store.lengths("question_ids"), store.lengths("context_ids"))
        self._ends = np.cumsum(counts)
        self._store, self._cutter = store, cutter

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def example(self, index: int) -> Example:
        """Return a window."""
        row = int(np.searchsorted(self._ends, index, "right"))
        number = index - (int(self._ends[row - 1]) if row else 0)
        return self._cutter.window(self._store[row], number)


def answer_texts(array: Array) -> list[str]:
    """Return the answers that an example keeps as JSON."""
    return [str(text) for text in json.loads(as_text(array))]


def answer_at(text: str, spans: Any, first: int, last: int) -> dict[str, Any]:
    """Return what stands at tokens first to last of a text, without blanks at its ends.

    Args:
        text: The context.
        spans: The characters of each of its tokens, (N, 2).
        first: The first token.
        last: The last one.

    Returns:
        ``answer``, and ``start`` and ``end`` in characters.
    """
    start, end = int(spans[first, 0]), int(spans[last, 1])
    start += len(text[start:end]) - len(text[start:end].lstrip())
    answer = text[start:end].rstrip()
    return {"answer": answer, "start": start, "end": start + len(answer)}


def most_alike(example: Example) -> Any:
    """Return the sentence that shares most distinct tokens with the question; the first of them."""
    text, ids, spans = as_text(example["text"]), example["context_ids"], example["spans"]
    asked = set(example["question_ids"].tolist())
    best, most = (0, len(text)), -1
    for match in _SENTENCE.finditer(text):
        inside = (spans[:, 0] >= match.start()) & (spans[:, 1] <= match.end())
        shared = len(asked & set(ids[inside].tolist()))
        if match[0].strip() and shared > most:
            best, most = match.span(), shared
    answer = text[slice(*best)].strip()
    return {"answer": answer, "start": best[0], "end": best[1], "score": 1.0, "no_answer": 0.0}


def _answer(item: Any) -> Answer | None:
    if isinstance(item, str):
        return item, -1
    if not isinstance(item, Mapping) or not isinstance(item.get("text"), str):
        return None
    start = item.get("start", item.get("answer_start", -1))
    return (item["text"], start) if type(start) is int else None


def best_no_answer_threshold(rows: Array) -> float:
    """Return the threshold with the highest total, or 0.5 unless that improves on other examples.

    Args:
        rows: Of each question the probability that there is no answer, and the F1 of the answer
            found and of an empty one, shape (N, 3).
    """

    def total(threshold: float, some: Array) -> Array:
        chance, span, none = rows[some].T
        return np.array([np.where(chance > threshold, none, span).sum()])

    return kept(
        len(rows), HALF, lambda some: _highest_total(rows[some]), total, lambda sums: sums[0]
    )


def _highest_total(rows: Array) -> float:
    """Return the threshold with the highest total, halfway between two chances."""
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    spans = np.concatenate([[0.0], np.cumsum(rows[:, 1])])
    none = np.concatenate([np.cumsum(rows[::-1, 2])[::-1], [0.0]])
    chances = np.concatenate([[0.0], rows[:, 0], [1.0]])
    total = np.where(chances[1:] > chances[:-1], spans + none, -1.0)  # equal ones stay together
    at = int(total.argmax())
    return float(chances[at : at + 2].mean())

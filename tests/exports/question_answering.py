"""Answers that stand in a context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from .program import Array, load


def predict(folder: Path, records: list[dict[str, Any]]) -> list[Any]:
    """Return what ``luban predict`` says of each record."""
    about, run = load(folder)
    read, say = about["preprocessing"], about["postprocessing"]
    tokenizer = Tokenizer.from_file(str(folder / read["tokenizer"]))
    answers: list[Any] = []
    for record in records:
        asked = tokenizer.encode(record["question"], add_special_tokens=False)
        asked.truncate(read["max_question_length"])
        context = tokenizer.encode(record["context"], add_special_tokens=False)
        windows = windows_of(tokenizer.post_process(asked, context), read)
        starts, ends, none = read_windows(run, windows, len(context.ids), read)
        longest, size = say["max_answer_length"], len(context.ids)
        scores = np.full((size, longest), -np.inf)
        for more in range(min(longest, size)):
            scores[: size - more, more] = starts[: size - more, more] + ends[: size - more, more]
        first, length = divmod(int(scores.argmax()), longest)
        total = np.logaddexp.reduce([*scores.ravel(), none])
        score, absent = float(np.exp(scores.max() - total)), float(np.exp(none - total))
        start, stop = context.offsets[first][0], context.offsets[first + length][1]
        said = record["context"][start:stop]
        start += len(said) - len(said.lstrip())
        answer = {"answer": said.strip(), "start": start, "end": start + len(said.strip())}
        threshold = say["no_answer_threshold"]
        if threshold is not None and absent > threshold:
            answer, score = {"answer": "", "start": None, "end": None}, absent
        answers.append({**answer, "score": score, "no_answer": absent})
    return answers


def windows_of(framed: Any, read: dict[str, Any]) -> list[tuple[list[int], list[int], slice]]:
    """Return ids and segments of each window, and where in it the context is.

    Args:
        framed: Question and whole context, with special tokens around.
        read: How texts become inputs.
    """
    inside = [place for place, side in enumerate(framed.sequence_ids) if side == 1]
    start, end = inside[0], inside[-1] + 1
    rest = len(framed.ids) - end
    room = read["max_length"] - start - rest
    windows = []
    for first in range(start, end, room - read["doc_stride"]):
        last = min(first + room, end)
        rows = [
            [*row[:start], *row[first:last], *row[end:]] for row in (framed.ids, framed.type_ids)
        ]
        windows.append((rows[0], rows[1], slice(start, start + last - first)))
        if last == end:
            break
    return windows


def read_windows(
    run: Any, windows: list[tuple[list[int], list[int], slice]], size: int, read: dict[str, Any]
) -> tuple[Array, Array, float]:
    """Return logits (T, L): of beginning at a token, and of ending so many tokens later.

    Both are those of the window that shows most around the beginning; and the logit of no answer.

    Args:
        run: The model.
        windows: Those of ``windows_of``.
        size: Tokens of the whole context.
        read: How texts become inputs.
    """
    around = np.full((len(windows), size), -1.0)
    starts = np.full((size, read["max_length"]), -np.inf)
    ends, nothing, logits, first = starts.copy(), [], [], 0
    for number, (ids, types, shown) in enumerate(windows):
        count = shown.stop - shown.start
        places = np.arange(count)
        around[number, first + places] = np.minimum(places, places[::-1]) + 0.01 * count
        found = run(
            input_ids=np.array([ids]),
            attention_mask=np.ones((1, len(ids)), np.int64),
            token_type_ids=np.array([types]),
        )
        begins, stops = found["start_logits"][0], found["end_logits"][0]
        nothing.append(float(begins[0] + stops[0]))
        logits.append((begins[shown].astype(np.float64), stops[shown].astype(np.float64), first))
        first += count - read["doc_stride"]
    for token, number in enumerate(around.argmax(0).tolist()):
        begins, stops, first = logits[number]
        rest = stops[token - first :]
        starts[token, : len(rest)], ends[token, : len(rest)] = begins[token - first], rest
    return starts, ends, min(nothing)

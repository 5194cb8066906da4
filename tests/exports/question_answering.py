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
        tokenizer.no_truncation()
        asked = tokenizer.encode(record["question"], add_special_tokens=False)
        asked.truncate(read["max_question_length"])
        context = tokenizer.encode(record["context"], add_special_tokens=False)
        tokenizer.enable_truncation(
            read["max_length"], stride=read["doc_stride"], strategy="only_second"
        )
        framed = tokenizer.post_process(asked, context)
        windows = [framed, *framed.overflowing]
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


def read_windows(
    run: Any, windows: list[Any], size: int, read: dict[str, Any]
) -> tuple[Array, Array, float]:
    """Return logits (T, L): of beginning at a token, and of ending so many tokens later.

    Both are those of the window that shows most around the beginning; and the logit of no answer.

    Args:
        run: The model.
        windows: A question and a part of its context each, encoded.
        size: Tokens of the whole context.
        read: How texts become inputs.
    """
    around = np.full((len(windows), size), -1.0)
    starts = np.full((size, read["max_length"]), -np.inf)
    ends, nothing, logits, first = starts.copy(), [], [], 0
    for number, window in enumerate(windows):
        shown = np.flatnonzero([side == 1 for side in window.sequence_ids])
        places = np.arange(len(shown))
        around[number, first + places] = np.minimum(places, places[::-1]) + 0.01 * len(shown)
        found = run(
            input_ids=np.array([window.ids]),
            attention_mask=np.ones((1, len(window.ids)), np.int64),
            token_type_ids=np.array([window.type_ids]),
        )
        begins, stops = found["start_logits"][0], found["end_logits"][0]
        nothing.append(float(begins[0] + stops[0]))
        logits.append((begins[shown].astype(np.float64), stops[shown].astype(np.float64), first))
        first += len(shown) - read["doc_stride"]
    for token, number in enumerate(around.argmax(0).tolist()):
        begins, stops, first = logits[number]
        rest = stops[token - first :]
        starts[token, : len(rest)], ends[token, : len(rest)] = begins[token - first], rest
    return starts, ends, min(nothing)

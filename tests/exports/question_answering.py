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
        asked = tokenizer.encode(record["question"], add_special_tokens=False).ids
        context = tokenizer.encode(record["context"], add_special_tokens=False)
        starts, ends, none = read_windows(
            run, asked[: read["max_question_length"]], context.ids, read
        )
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
    run: Any, asked: list[int], ids: list[int], read: dict[str, Any]
) -> tuple[Array, Array, float]:
    """Return logits (T, L): of beginning at a token, and of ending so many tokens later.

    Both are those of the window that shows most around the beginning; and the logit of no answer.
    """
    room = read["max_length"] - 3 - len(asked)
    step = room - read["doc_stride"]
    count = 1 + max(0, -(-(len(ids) - room) // step))
    around = np.full((count, len(ids)), -1.0)
    starts = np.full((len(ids), read["max_length"]), -np.inf)
    ends, nothing, logits = starts.copy(), [], []
    for number in range(count):
        shown = ids[number * step : number * step + room]
        places = np.arange(len(shown))
        around[number, number * step + places] = np.minimum(places, places[::-1]) + 0.01 * len(
            shown
        )
        row = [
            read["cls_token_id"], *asked, read["sep_token_id"], *shown, read["sep_token_id"],
        ]  # fmt: skip
        types = [0] * (len(asked) + 2) + [1] * (len(shown) + 1)
        found = run(
            input_ids=np.array([row]),
            attention_mask=np.ones((1, len(row)), np.int64),
            token_type_ids=np.array([types]),
        )
        begins, stops = found["start_logits"][0], found["end_logits"][0]
        nothing.append(float(begins[0] + stops[0]))
        inside = slice(len(asked) + 2, len(row) - 1)
        logits.append((begins[inside].astype(np.float64), stops[inside].astype(np.float64)))
    for token, number in enumerate(around.argmax(0).tolist()):
        begins, stops = logits[number]
        at = token - number * step
        rest = stops[at:]
        starts[token, : len(rest)], ends[token, : len(rest)] = begins[at], rest
    return starts, ends, min(nothing)

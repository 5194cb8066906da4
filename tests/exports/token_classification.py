"""Entities in texts, and in lists of words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import regex
from tokenizers import Tokenizer

from .program import Array, load, log_softmax, parted


def predict(folder: Path, records: list[dict[str, Any]]) -> list[Any]:
    """Return what ``luban predict`` says of each record."""
    about, run = load(folder)
    read, say = about["preprocessing"], about["postprocessing"]
    tokenizer = Tokenizer.from_file(str(folder / read["tokenizer"]))
    answers: list[Any] = []
    for record in records:
        text, spans = words_of(record, read)
        ids, firsts = encoded(tokenizer, text, spans, read)
        found = run(input_ids=np.array([ids]), attention_mask=np.ones((1, len(ids)), np.int64))
        emissions = found["logits"][0, firsts]
        tags, chances = best_tags(emissions, say)
        answers.append(entities(tags, chances, text, spans, say, given="tokens" in record))
    return answers


def words_of(record: dict[str, Any], read: dict[str, Any]) -> tuple[str, list[tuple[int, int]]]:
    """Return the text of a record and where its words stand."""
    if "tokens" not in record:
        return record["text"], [m.span() for m in regex.finditer(read["words"], record["text"])]
    alone = regex.compile(f"[{read['unspaced']}]")
    text, spans = "", []
    for word in record["tokens"]:
        if text and word and not alone.match(text[-1]) and not alone.match(word):
            text += " "
        spans.append((len(text), len(text) + len(word)))
        text += word
    return text, spans


def encoded(
    tokenizer: Tokenizer, text: str, spans: list[tuple[int, int]], read: dict[str, Any]
) -> tuple[list[int], list[int]]:
    """Return the ids of a text, and at which of them its words begin."""
    before, ids, places = parted(tokenizer, text)
    firsts = begins(places, spans)
    if firsts is None:
        ids, firsts = one_by_one(tokenizer, text, spans, blank=read["blank_before_words"])
    after = tokenizer.encode("a").ids[
        len(before) + len(tokenizer.encode("a", add_special_tokens=False).ids) :
    ]
    room = read["max_length"] - len(after)
    kept = [len(before) + first for first in firsts]
    return [*[*before, *ids][:room], *after], [first for first in kept if first < room]


def begins(places: list[tuple[int, int]], spans: list[tuple[int, int]]) -> list[int] | None:
    """Return the first token of each word of a whole text; None where two words share one."""
    firsts, free = [], 0
    for start, end in spans:
        at = next((i for i, (_, last) in enumerate(places) if last > start), len(places) - 1)
        at = max(0, at)
        if places and places[at][0] < free:
            at = min(at + 1, len(places) - 1)
            if not free <= places[at][0] < end:
                return None
        firsts.append(at)
        free = end
    return firsts


def one_by_one(
    tokenizer: Tokenizer, text: str, spans: list[tuple[int, int]], *, blank: bool
) -> tuple[list[int], list[int]]:
    """Return the ids of words that are encoded each on its own, and where each begins."""
    empty = tokenizer.encode(" ", add_special_tokens=False).ids
    ids: list[int] = []
    firsts = []
    for start, stop in spans:
        seen = start - (blank and start > 0 and text[start - 1] == " ")
        word = tokenizer.encode(text[seen:stop], add_special_tokens=False).ids
        blanks = len(empty) if len(word) > len(empty) and word[: len(empty)] == empty else 0
        firsts.append(len(ids) + blanks)
        ids += word
    return ids, [min(first, max(0, len(ids) - 1)) for first in firsts]


def best_tags(emissions: Array, say: dict[str, Any]) -> tuple[list[int], Array]:
    """Return the best allowed tags (Viterbi), and the probability of each tag at each word."""
    size = emissions.shape[1]
    if "transitions" in say:
        scores = emissions.astype(np.float64)
        start, pairs, end = (
            np.array(say[name]) for name in ("start_transitions", "transitions", "end_transitions")
        )
    else:
        scores = log_softmax(emissions)
        start, pairs, end = np.zeros(size), np.zeros((size, size)), np.zeros(size)
    chances = marginals(scores, start, pairs, end)
    start = start + np.where(say["may_start"], 0, -1e9)
    pairs = pairs + np.where(say["may_follow"], 0, -1e9)
    end = end + np.where(say["may_end"], 0, -1e9)
    best, back = start + scores[0], []
    for row in scores[1:]:
        paths = best[:, None] + pairs
        back.append(paths.argmax(0))
        best = paths.max(0) + row
    tags = [int((best + end).argmax())]
    for row in reversed(back):
        tags.append(int(row[tags[-1]]))
    return tags[::-1], chances


def marginals(scores: Array, start: Array, pairs: Array, end: Array) -> Array:
    """Return p(tag of word), (W, C), by forward-backward."""
    forward, backward = [start + scores[0]], [end]
    for row in scores[1:]:
        forward.append(np.logaddexp.reduce(forward[-1][:, None] + pairs, 0) + row)
    for row in scores[:0:-1]:
        backward.append(np.logaddexp.reduce(pairs + row + backward[-1], 1))
    return np.exp(log_softmax(np.stack(forward) + np.stack(backward[::-1])))


def entities(
    tags: list[int],
    chances: Array,
    text: str,
    spans: list[tuple[int, int]],
    say: dict[str, Any],
    *,
    given: bool,
) -> dict[str, Any]:
    """Return the entities of a valid sequence of tags."""
    names = [say["labels"][tag] for tag in tags]
    found, at = [], 0
    while at < len(names):
        first, at = at, at + 1
        if names[first] == "O":
            continue
        kind = names[first][2:]
        while at < len(names) and names[at] in (f"I-{kind}", f"E-{kind}"):
            at += 1
        start, stop = spans[first][0], spans[at - 1][1]
        score = float(np.mean([chances[i, tags[i]] for i in range(first, at)]))
        place = {"start": first, "end": at} if given else {"start": start, "end": stop}
        found.append({"type": kind, **place, "text": text[start:stop], "score": score})
    cut = ["O"] * (len(spans) - len(names))
    return {"entities": found, "tags": [*names, *cut], **({"truncated": True} if cut else {})}

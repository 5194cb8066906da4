"""Entities in texts, and in lists of words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import regex
from tokenizers import Tokenizer

from .program import Array, load, log_softmax


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
    end = read["eos_token_id"]
    blank = tokenizer.encode(" ", add_special_tokens=False).ids
    ids, firsts = [read.get("cls_token_id", end)], []
    for start, stop in spans:
        if len(ids) >= read["max_length"] - 1:
            break
        seen = start - (start > 0 and text[start - 1] == " ")
        word = tokenizer.encode(text[seen:stop], add_special_tokens=False).ids
        if blank and seen < start and word[: len(blank)] == blank:
            word = word[len(blank) :]
        firsts.append(len(ids))
        ids += word or [read.get("mask_token_id", end)]
    return [*ids[: read["max_length"] - 1], read.get("sep_token_id", end)], firsts


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

"""Transcripts of recordings: the likeliest path, or a prefix beam search with a language model."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from tokenizers import Tokenizer

from .program import Array, load, log_softmax
from .sounds import read_sound

#: A text so far, and log P: that it ends with a blank, with its last token, in the language model.
Beams: TypeAlias = dict[tuple[int, ...], list[float]]


def predict(folder: Path, records: list[dict[str, Any]]) -> list[Any]:
    """Return what ``luban predict`` says of each file."""
    about, run = load(folder)
    read, say = about["preprocessing"], about["postprocessing"]
    filters = np.load(folder / read["mel_filters"])
    tokenizer = Tokenizer.from_file(str(folder / say["tokenizer"]))
    language = None if say["language_model"] is None else n_grams(folder / say["language_model"])
    answers: list[Any] = []
    for record in records:
        features = read_sound(Path(record["audio"]), read, filters)
        mask = np.ones(features.shape[:2], np.int64)
        logs = log_softmax(run(input_features=features, attention_mask=mask)["logits"][0])
        logs = logs[: -(-features.shape[1] // read["frames_per_position"])]
        if say["num_beams"] == 1 and language is None:
            path = logs.argmax(1)
            changed = np.flatnonzero(np.diff(path, prepend=-1))
            ids = [int(path[at]) for at in changed if path[at] != say["blank_token_id"]]
            score = float(logs.max(1).mean())
        else:
            ids, score = beam_search(logs, say, language)
        answers.append({"text": tokenizer.decode(ids), "score": score})
    return answers


def beam_search(
    logs: Array, say: dict[str, Any], language: Callable[[list[int]], Array] | None
) -> tuple[list[int], float]:
    """Return the best text and its mean log-probability (Hannun et al. 2014, 1408.2873).

    A beam is a text so far with log P of its alignments that end with the blank, and with its
    last token, and with its log P in the language model.
    """
    blank, end = say["blank_token_id"], say["eos_token_id"]
    weight, bonus = say["lm_weight"], say["token_bonus"]
    known: dict[tuple[int, ...], Array] = {}

    def said(text: tuple[int, ...], token: int) -> float:
        if language is None:
            return 0.0
        if text not in known:
            known[text] = language([end, *text])
        return float(known[text][token])

    def total(text: tuple[int, ...], beam: list[float]) -> float:
        heard = float(np.logaddexp(beam[0], beam[1]))
        return heard + float(weight * beam[2] + bonus * len(text))

    beams: Beams = {(): [0.0, -math.inf, 0.0]}
    for row in logs:
        bound = min(say["least_log_probability"], row.max())
        likely = [int(t) for t in np.flatnonzero(row >= bound) if t != blank]
        grown: Beams = {}
        for text, beam in beams.items():
            same = grown.setdefault(text, [-math.inf, -math.inf, beam[2]])
            same[0] = np.logaddexp(same[0], np.logaddexp(beam[0], beam[1]) + row[blank])
            if text:
                same[1] = np.logaddexp(same[1], beam[1] + row[text[-1]])
            grow(grown, text, beam, {token: float(row[token]) for token in likely}, said)
        best = sorted(grown.items(), key=lambda item: -total(*item))[: say["num_beams"]]
        beams = dict(best)
    if language is not None:
        for text, beam in beams.items():
            beam[2] += said(text, end)
    text, beam = max(beams.items(), key=lambda item: total(*item))
    return list(text), float(np.logaddexp(beam[0], beam[1])) / max(1, len(logs))


def grow(
    grown: Beams,
    text: tuple[int, ...],
    beam: list[float],
    likely: dict[int, float],
    said: Callable[[tuple[int, ...], int], float],
) -> None:
    """Add a token to a text; one that is said twice needs a blank in between."""
    for token, log in likely.items():
        before = beam[0] if text and token == text[-1] else np.logaddexp(beam[0], beam[1])
        if before == -math.inf:
            continue
        longer = (*text, token)
        if longer not in grown:
            grown[longer] = [-math.inf, -math.inf, beam[2] + said(text, token)]
        grown[longer][1] = np.logaddexp(grown[longer][1], before + log)


def n_grams(path: Path) -> Callable[[list[int]], Array]:
    """Return log P of each token after others: interpolated Kneser-Ney n-grams in a file.

    ``sizes`` begins with the vocabulary size. Level k has the (k+1)-grams: their sorted ``keys``
    (number of the shorter n-gram before, times vocabulary size, plus last token), the share that
    each ``kept``, and by n-gram before the share for the ``rest``.
    """
    from safetensors.numpy import load_file

    file = load_file(path)
    size, count = int(file["sizes"][0]), sum(name.startswith("keys") for name in file)
    levels = [[file[f"{part}{k}"] for part in ("keys", "kept", "rest")] for k in range(count)]

    def find(keys: Array, key: int) -> int:
        at = min(int(np.searchsorted(keys, key)), len(keys) - 1)
        return at if keys[at] == key else -1

    def following(context: list[int]) -> Array:
        known = [0]
        for token in context[1 - count :] if count > 1 else []:
            pairs = list(zip(levels, known, strict=False))
            known = [0, *(find(k, at * size + token) if at >= 0 else -1 for (k, _, _), at in pairs)]
        chance, words = np.full(size, 1 / size), np.arange(size)
        for (keys, kept, rest), at in zip(levels, known, strict=False):
            if at < 0:
                continue
            places = np.minimum(np.searchsorted(keys, at * size + words), len(keys) - 1)
            there = keys[places] == at * size + words
            chance = np.where(there, kept[places], 0.0) + rest[at] * chance
        return np.asarray(np.log(chance))

    return following

"""Translations and summaries, by beam search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from .program import Array, load, log_softmax


def predict(folder: Path, records: list[dict[str, Any]]) -> list[Any]:
    """Return what ``luban predict`` says of each record."""
    about, run = load(folder)
    read, say = about["preprocessing"], about["postprocessing"]
    tokenizer = Tokenizer.from_file(str(folder / read["tokenizer"]))
    tokenizer.enable_truncation(read["max_length"])
    writer = Tokenizer.from_file(str(folder / (say["target_tokenizer"] or read["tokenizer"])))
    answers: list[Any] = []
    for record in records:
        [field] = read["fields"]
        ids = tokenizer.encode(record[field]).ids

        def following(beams: list[list[int]], ids: list[int] = ids) -> Array:
            """Return the log-probability of each token after each beam."""
            if say["decoder_only"]:
                rows = np.array([[*ids, *beam] for beam in beams])
                return log_softmax(run(input_ids=rows)["logits"][:, -1])
            rows = np.array([ids] * len(beams))
            starts = np.array([[say["decoder_start_token_id"], *beam] for beam in beams])
            found = run(input_ids=rows, attention_mask=np.ones_like(rows), decoder_input_ids=starts)
            return log_softmax(found["logits"][:, -1])

        before = ids if say["decoder_only"] else [say["decoder_start_token_id"]]
        tokens, score = search(following, before, say)
        answers.append({"text": writer.decode(tokens).strip(), "score": score / len(tokens)})
    return answers


def search(following: Any, before: list[int], say: dict[str, Any]) -> tuple[list[int], float]:
    """Return the best answer and its log-probability, as ``generate`` of transformers does."""
    count, longest, end = say["num_beams"], say["max_new_tokens"], say["target_eos_token_id"]
    beams: list[list[int]] = [[]] * count
    scores = [0.0, *[-1e9] * (count - 1)]
    done: list[tuple[float, list[int], float]] = []
    for length in range(1, longest + 1):
        logs = following(beams)
        for row, beam in zip(logs, beams, strict=True):
            row[repeated([*before, *beam], say["no_repeat_ngram_size"])] = -np.inf
        totals = (logs + np.array(scores)[:, None]).ravel()
        grown: list[tuple[list[int], float]] = []
        for rank, place in enumerate(np.argsort(-totals, kind="stable")[: 2 * count].tolist()):
            beam, token = divmod(place, logs.shape[1])
            tokens, total = [*beams[beam], token], float(totals[place])
            if token == end or length == longest:
                if rank < count:
                    done.append((total / length ** say["length_penalty"], tokens, total))
            elif len(grown) < count:
                grown.append((tokens, total))
        done = sorted(done, key=lambda one: -one[0])[:count]
        if length == longest:
            break
        beams, scores = [tokens for tokens, _ in grown], [total for _, total in grown]
        if len(done) == count and scores[0] / length ** say["length_penalty"] <= done[-1][0]:
            break
    return done[0][1], done[0][2]


def repeated(tokens: list[int], size: int) -> list[int]:
    """Return the tokens that would make an n-gram of this size stand twice."""
    if not size or len(tokens) < size:
        return []
    last = tokens[len(tokens) - size + 1 :]
    return [
        tokens[at + size - 1]
        for at in range(len(tokens) - size + 1)
        if tokens[at : at + size - 1] == last
    ]

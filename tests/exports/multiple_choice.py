"""The likeliest of several choices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from .program import load, log_softmax, parted


def predict(folder: Path, records: list[dict[str, Any]]) -> list[Any]:
    """Return what ``luban predict`` says of each record."""
    about, run = load(folder)
    read = about["preprocessing"]
    tokenizer = Tokenizer.from_file(str(folder / read["tokenizer"]))
    answers: list[Any] = []
    for record in records:
        asking = record["query"] + read["after_query"]
        scores = []
        for choice in record["choices"]:
            before, whole, places = parted(tokenizer, asking + read["before_choice"] + choice)
            cut = next(at for at, (_, end) in enumerate(places) if end > len(asking))
            asked, ids = [*before, *whole[:cut]] or [read["eos_token_id"]], whole[cut:]
            row = asked[-(read["context"] - len(ids)) :] + ids
            logs = log_softmax(run(input_ids=np.array([row]))["logits"][0])
            at = np.arange(len(row) - len(ids), len(row))
            scores.append(float(logs[at - 1, ids].sum()))
        sizes = [len(choice.encode()) for choice in record["choices"]]
        normalised = [score / size for score, size in zip(scores, sizes, strict=True)]
        answers.append(
            {
                "choice": int(np.argmax(scores)),
                "scores": scores,
                "normalised_choice": int(np.argmax(normalised)),
                "normalised_scores": normalised,
            }
        )
    return answers

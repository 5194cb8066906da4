"""Guesses for the hidden tokens of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from .program import load, softmax


def predict(folder: Path, records: list[dict[str, Any]]) -> list[Any]:
    """Return what ``luban predict`` says of each record."""
    about, run = load(folder)
    read, say = about["preprocessing"], about["postprocessing"]
    tokenizer = Tokenizer.from_file(str(folder / read["tokenizer"]))
    answers: list[Any] = []
    for record in records:
        text = tokenizer.encode(record["text"])
        found = run(input_ids=np.array([text.ids]), attention_mask=np.array([text.attention_mask]))
        masks = []
        for at in np.flatnonzero(np.array(text.ids) == read["mask_token_id"]):
            scores = softmax(found["logits"][0, at])
            best = np.argsort(-scores, kind="stable")[: say["top_k"]].tolist()
            masks.append(
                [{"token": tokenizer.decode([i]), "score": float(scores[i])} for i in best]
            )
        answers.append({"masks": masks})
    return answers

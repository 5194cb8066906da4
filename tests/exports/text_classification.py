"""Labels, or values, of texts and of pairs of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from .program import label_of, load


def predict(folder: Path, records: list[dict[str, Any]]) -> list[Any]:
    """Return what ``luban predict`` says of each record."""
    about, run = load(folder)
    read, say = about["preprocessing"], about["postprocessing"]
    tokenizer = Tokenizer.from_file(str(folder / read["tokenizer"]))
    tokenizer.enable_truncation(read["max_length"], strategy=read["truncation"])
    answers: list[Any] = []
    for record in records:
        text = tokenizer.encode(*(record[field] for field in read["fields"]))
        found = run(
            input_ids=np.array([text.ids]),
            attention_mask=np.array([text.attention_mask]),
            token_type_ids=np.array([text.type_ids]),
        )
        [logits] = found["logits"]
        if about["task"] == "text-regression":
            answers.append({"value": float(logits[0])})
        else:
            answers.append(label_of(logits, say))
    return answers

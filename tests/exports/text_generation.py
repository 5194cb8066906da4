"""Texts continued, and conversations answered, by the likeliest token each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from .program import load


def predict(folder: Path, records: list[dict[str, Any]]) -> list[Any]:
    """Return what ``luban generate --temperature 0`` says of each prompt."""
    about, run = load(folder)
    read = about["preprocessing"]
    tokenizer = Tokenizer.from_file(str(folder / read["tokenizer"]))
    end = {read["eos_token_id"], read.get("answer_eos_token_id")}
    answers: list[Any] = []
    for record in records:
        ids = tokenizer.encode(record["prompt"]).ids or [read["eos_token_id"]]
        said: list[int] = []
        while len(said) < record["max_tokens"] and len(ids) + len(said) < read["context"]:
            logits = run(input_ids=np.array([[*ids, *said]]))["logits"][0, -1]
            token = int(logits.argmax())
            if token in end:
                break
            said.append(token)
        answers.append({"text": tokenizer.decode(said)})
    return answers

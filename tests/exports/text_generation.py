"""Texts continued, and conversations answered, by the likeliest token each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from .program import load, parted


def template_in(folder: Path) -> Any:
    """Return the chat template of a folder, with its special tokens by name."""
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    named = {key: value for key, value in config.items() if key.endswith("_token")}
    texts = {k: v["content"] if isinstance(v, dict) else v for k, v in named.items()}
    room = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return room.from_string(config["chat_template"], globals=texts)


def predict(folder: Path, records: list[dict[str, Any]]) -> list[Any]:
    """Return what ``luban generate --temperature 0`` says of each prompt."""
    about, run = load(folder)
    read = about["preprocessing"]
    tokenizer = Tokenizer.from_file(str(folder / read["tokenizer"]))
    end = {read["eos_token_id"], *read.get("answer_eos_token_ids", ())}
    template: Any = template_in(folder) if read.get("chat_template") else None
    answers: list[Any] = []
    for record in records:
        if "messages" in record:
            written = template.render(messages=record["messages"], add_generation_prompt=True)
            ids = tokenizer.encode(written, add_special_tokens=False).ids
        else:
            before, own, _ = parted(tokenizer, record["prompt"])
            ids = [*before, *own] or [read["eos_token_id"]]
        said: list[int] = []
        while len(said) < record["max_tokens"] and len(ids) + len(said) < read["context"]:
            logits = run(input_ids=np.array([[*ids, *said]]))["logits"][0, -1]
            token = int(logits.argmax())
            if token in end:
                break
            said.append(token)
        # What is no whole character at the end is left out.
        answers.append({"text": tokenizer.decode(said).rstrip("\ufffd")})
    return answers

"""Conversations by ``transformers`` alone: their tokens, the answers in them, and new answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import processors

Talk = list[dict[str, Any]]


def encoded(hf: Any, talk: Talk, ends: str) -> tuple[list[int], list[int]]:
    """Return ids and a mask of answers: by the text, its prefixes and the places of tokens.

    Args:
        hf: A tokenizer of transformers.
        talk: A conversation.
        ends: What the template writes after each answer.
    """
    text = hf.apply_chat_template(talk, tokenize=False)
    reader = tokenizers.Tokenizer.from_str(hf.backend_tokenizer.to_str())
    reader.post_processor = processors.Sequence([])  # ByteLevel leaves blanks out of places
    found = reader.encode(text, add_special_tokens=False)
    ids, offsets = found.ids, found.offsets
    mask, last = [0] * len(ids), 0
    for number, message in enumerate(talk):
        if message["role"] == "assistant":
            before = hf.apply_chat_template(
                talk[:number], tokenize=False, add_generation_prompt=True
            )
            stop = text.index(ends, len(before)) + len(ends)
            # An end token may stand for blanks after it too.
            held = [i for i, (a, b) in enumerate(offsets) if b > len(before) and a < stop and b > a]
            for place in held:
                mask[place] = 1
            last = held[-1] + 1
    return ids[:last], mask[:last]


def answered(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Return tokens and masks of conversations, and the likeliest answers to others.

    Args:
        folder: A directory of transformers.
        job: ``talks``, whole; ``asked``, which wait for an answer; ``ends``; ``max_tokens``.
    """
    import transformers

    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    auto: Any = transformers.AutoTokenizer
    hf = auto.from_pretrained(folder)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder)
    answers = []
    for talk in job["asked"]:
        ids = hf.apply_chat_template(
            talk, add_generation_prompt=True, return_tensors="pt", return_dict=False
        )
        found = model.generate(ids, do_sample=False, max_new_tokens=job["max_tokens"])
        answers.append(hf.decode(found[0, ids.shape[1] :], skip_special_tokens=True))
    rows = [encoded(hf, talk, job["ends"]) for talk in job["talks"]]
    whole = [hf.apply_chat_template(talk, return_dict=False) for talk in job["talks"]]
    return {
        "ids": [ids for ids, _ in rows],
        "masks": [mask for _, mask in rows],
        "whole": whole,
        "answers": answers,
    }

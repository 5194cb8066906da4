"""Rows of unequal length as tensors, and texts as rows an encoder reads.

Shapes: B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from luban.core.contracts import Example, Tokenizer

Array: TypeAlias = "np.ndarray[Any, Any]"

#: The special tokens that tasks over encoders need.
SPECIALS = ("pad", "start", "separator", "mask")


def padded(rows: Sequence[Array], value: int, longest: int = 0) -> Tensor:
    """Return rows as one int64 tensor (B, T), filled up on the right with ``value``.

    Args:
        rows: Arrays of one dimension, at least one.
        value: What fills up.
        longest: T, if it is to be more than the longest row.
    """
    filled = np.full((len(rows), max([longest, *map(len, rows)])), value, dtype=np.int64)
    for i, row in enumerate(rows):
        filled[i, : len(row)] = row
    return torch.from_numpy(filled)


def kept(rows: Sequence[Array]) -> Tensor:
    """Return the attention mask of padded rows, int64 (B, T): 1 where a row has a position."""
    return padded([np.ones(len(row), np.int64) for row in rows], 0)


def ids_type(tokenizer: Tokenizer) -> type[np.unsignedinteger[Any]]:
    """Return the smallest type of array that holds every id."""
    return np.uint16 if tokenizer.size <= 2**16 else np.uint32


def encoder_row(
    tokenizer: Tokenizer, first: Sequence[int], second: Sequence[int] | None, max_length: int
) -> tuple[Example, bool]:
    """Return one text, or two, with the tokenizer's special tokens around; and whether it was cut.

    The ids are those that the tokenizer gives for the texts when it is loaded elsewhere.

    Args:
        tokenizer: Its ``frame`` says what stands around texts.
        first: Ids of the first text.
        second: Ids of the second text, if there is one; then ``token_type_ids`` tell them apart.
        max_length: Most positions, special tokens included.

    Returns:
        ``input_ids`` and, for pairs, ``token_type_ids``.
    """
    dtype, frame = ids_type(tokenizer), tokenizer.frame(second is not None)
    room = max_length - frame.size
    if second is None:
        ids, _ = frame.row(first[:room])
        return {"input_ids": np.array(ids, dtype)}, len(first) > room
    sizes = longest_first(len(first), len(second), room)
    ids, types = frame.row(first[: sizes[0]], second[: sizes[1]])
    return {
        "input_ids": np.array(ids, dtype),
        "token_type_ids": np.array(types, np.uint8),
    }, sizes != (len(first), len(second))


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how much is kept of two texts that share room: the longer one is cut first.

    As the library ``tokenizers`` cuts by the strategy ``longest_first``: where both are cut, the
    longer one keeps the odd token, and the second of two that are equally long.
    """
    short, long = min(first, second), max(first, second)
    if first + second > room:
        long = max(short, room - short) if short <= room else short
        if short + long > room:
            short, long = room // 2, room - room // 2
    return (short, long) if first <= second else (long, short)


def encoder_inputs(examples: Sequence[Example], pad: int) -> Mapping[str, Tensor]:
    """Return what an encoder reads: ``input_ids``, ``attention_mask`` and, for pairs, types."""
    rows = [example["input_ids"] for example in examples]
    inputs = {"input_ids": padded(rows, pad), "attention_mask": kept(rows)}
    if "token_type_ids" in examples[0]:
        inputs["token_type_ids"] = padded([e["token_type_ids"] for e in examples], 0)
    return inputs


def cut_at(spans: Sequence[tuple[int, int]], place: int) -> int:
    """Return the first token that stands for a character from a place on.

    A token that stands for characters on both sides counts as one that comes after.

    Args:
        spans: The characters [first, last) of each token of the whole text.
        place: A place between two characters.
    """
    return next((index for index, (_, end) in enumerate(spans) if end > place), len(spans))


def as_bytes(text: str) -> Array:
    """Return a text as an array that a store can hold."""
    return np.frombuffer(text.encode(), np.uint8)


def as_text(array: Array) -> str:
    """Return the text that ``as_bytes`` made an array of."""
    return np.asarray(array, np.uint8).tobytes().decode()

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
    """Return ``[CLS] first [SEP]`` or ``[CLS] first [SEP] second [SEP]``, and whether it was cut.

    As BERT has it (Devlin et al. 2018, 1810.04805); of two texts the longer one is cut first.

    Args:
        tokenizer: It has ``start`` and ``separator`` tokens.
        first: Ids of the first text.
        second: Ids of the second text, if there is one; then ``token_type_ids`` tell them apart.
        max_length: Most positions, at least 4.

    Returns:
        ``input_ids`` and, for pairs, ``token_type_ids``.
    """
    start, separator = tokenizer.special("start"), tokenizer.special("separator")
    dtype = ids_type(tokenizer)
    one, two = list(first), list(second or ())
    room = max_length - (2 if second is None else 3)
    cut = len(one) + len(two) > room
    if cut:
        share = max(room // 2, room - len(two))
        one = one[: share if second is not None else room]
        two = two[: room - len(one)]
    ids = [start, *one, separator]
    if second is None:
        return {"input_ids": np.array(ids, dtype)}, cut
    types = [0] * len(ids) + [1] * (len(two) + 1)
    ids += [*two, separator]
    return {
        "input_ids": np.array(ids, dtype),
        "token_type_ids": np.array(types, np.uint8),
    }, cut


def encoder_inputs(examples: Sequence[Example], pad: int) -> Mapping[str, Tensor]:
    """Return what an encoder reads: ``input_ids``, ``attention_mask`` and, for pairs, types."""
    rows = [example["input_ids"] for example in examples]
    inputs = {"input_ids": padded(rows, pad), "attention_mask": kept(rows)}
    if "token_type_ids" in examples[0]:
        inputs["token_type_ids"] = padded([e["token_type_ids"] for e in examples], 0)
    return inputs


def as_bytes(text: str) -> Array:
    """Return a text as an array that a store can hold."""
    return np.frombuffer(text.encode(), np.uint8)


def as_text(array: Array) -> str:
    """Return the text that ``as_bytes`` made an array of."""
    return np.asarray(array, np.uint8).tobytes().decode()

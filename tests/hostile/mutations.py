"""Recipes and bytes, changed at random from a seed."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from luban.core import registry

NUMBERS: list[Any] = [
    *(0, -1, 1, 2, 7, 1000, 10**5, 10**6, 10**7, 10**9, 10**12, 2**31, 2**63 - 1, 2**64, -(2**63)),
    *(10**400, 0.0, -0.5, 0.5, 1.5, 1e-300, 1e300, float("inf"), float("-inf"), float("nan")),
]
TEXTS: list[Any] = [
    *("", " ", "a", "null", "\0", "../..", "/", "/dev/zero", "~", "a" * 100_000, "é🐍", "{", "{x}"),
    *("%s", "$HOME", "(a+)+$", "[", "*", "**", "\n", "none", "auto", ".", "..", "-", "1e3"),
]
OTHERS: list[Any] = [None, True, False, [], {}, [[]], [{}], {"name": "x"}, {"": ""}, [1], {"a": 1}]
KINDS = [
    *("tasks", "models", "sources", "cleaners", "augmentations", "tokenizers", "metrics"),
    *("optimizers", "schedules", "adapters", "objectives", "mechanisms", "exporters", "trackers"),
]


def mutated_recipe(plain: dict[str, Any], draw: random.Random) -> str:
    """Return the text of a recipe with one to three changes."""
    data = copy.deepcopy(plain)
    with _deep_calls():
        for _ in range(draw.choice([1, 1, 1, 2, 3])):
            _change(data, draw)
        text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=draw.random() < 0.5)
    return damaged_text(text, draw) if draw.random() < 0.2 else text


@contextmanager
def _deep_calls() -> Iterator[None]:
    """Let what is nested by several changes be copied and written; readers keep their limit."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container with each key or index of it."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _change(data: dict[str, Any], draw: random.Random) -> None:
    places = list(_places(data))
    if not places:
        return
    inside, key = draw.choice(places)
    old, what = inside[key], draw.randrange(9)
    if what == 0:
        inside[key] = draw.choice(TEXTS)
    elif what == 1:
        inside[key] = draw.choice(OTHERS)
    elif what == 2 and isinstance(inside, dict):
        inside[_misspelt(str(key), draw)] = inside.pop(key)
    elif what == 3:
        inside[key] = _deep(old, draw.choice([2, 30, 200]))
    elif what == 4:
        inside[key] = [old] * draw.choice([0, 1, 2, 1000])
    elif what == 5 and isinstance(old, str):
        inside[key] = draw.choice(registry.names(draw.choice(KINDS)))
    elif what == 6 and isinstance(inside, dict):
        other, its = draw.choice(places)
        inside[draw.choice([key, str(its)])] = copy.deepcopy(other[its])
    elif what == 7 and isinstance(inside, dict):
        del inside[key]
    else:
        _number(data, draw)


def _number(data: dict[str, Any], draw: random.Random) -> None:
    """Put an extreme number where a number stands, or where a size could."""
    places = [
        (inside, key)
        for inside, key in _places(data)
        if isinstance(inside[key], int | float) and not isinstance(inside[key], bool)
    ]
    model = data.get("model")
    if isinstance(model, dict) and draw.random() < 0.5:
        name = str(model.get("name"))
        for inside, key in [(model, field) for field in _SIZES.get(name, _SIZES["gpt"])]:
            places.append((inside, key))
    if places:
        inside, key = draw.choice(places)
        inside[key] = draw.choice(NUMBERS)


_SIZES = {
    "gpt": ["hidden_size", "num_hidden_layers", "num_attention_heads", "head_dim", "vocab_size",
            "intermediate_size", "max_position_embeddings"],
    "cnn": ["embedding_size", "hidden_sizes", "depths"],
    "textcnn": ["embedding_size", "num_filters", "kernel_sizes"],
    "bag": ["embedding_size", "ngrams"],
}  # fmt: skip


def _misspelt(word: str, draw: random.Random) -> str:
    at = draw.randrange(len(word) + 1)
    return draw.choice([word[:at] + word[at + 1 :], word[:at] + "x" + word[at:], word.upper()])


def _deep(value: Any, depth: int) -> Any:
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


_BITS = ['"', "'", "\t", "&a ", "*a ", "!!x ", "- ", ": ", "{", "]", "\\ud800", "\n", "%", "#"]
_BITS += ["|", ">", "<<: ", "0x" + "f" * 400, "9" * 5000]


def damaged_text(text: str, draw: random.Random) -> str:
    """Return a text with some characters removed, doubled, or put in."""
    for _ in range(draw.randrange(1, 4)):
        at = draw.randrange(len(text) + 1)
        bit = draw.choice(_BITS)
        text = text[:at] + bit + text[at + draw.choice([0, 0, 1, 5]) :]
    return text


def damaged_bytes(data: bytes, draw: random.Random) -> bytes:
    """Return bytes cut off, with bits flipped, bytes put in, or parts moved elsewhere."""
    raw = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 5])):
        what, at = draw.randrange(6), draw.randrange(max(1, len(raw)))
        if what == 0:
            del raw[at:]
        elif what == 1 and raw:
            raw[at] ^= 1 << draw.randrange(8)
        elif what == 2:
            raw[at:at] = draw.randbytes(draw.choice([1, 4, 100]))
        elif what == 3:
            raw[at:at] = raw[draw.randrange(max(1, len(raw))) :][:200]
        elif what == 4:
            del raw[at : at + draw.choice([1, 8, 64])]
        elif raw:
            width = draw.choice([1, 2, 4, 8])
            raw[at : at + width] = draw.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * width
    return bytes(raw)

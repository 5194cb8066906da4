"""Which records hold text alone, whose tokens can be masked and guessed."""

from __future__ import annotations

from collections.abc import Sequence

from luban.core.contracts import Guess, Record
from luban.data.media.media_files import holds_media


def recognise(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of any text; other tasks that could read it are likelier to be meant."""
    if not all(isinstance(record.get("text"), str) for record in sample):
        return None
    if any(map(holds_media, sample[0].values() if sample else ())):
        return None
    task = {"tokenizer": {"name": "bpe", "vocab_size": 4096}}
    return Guess(0.05, {}, task, {"name": "bert"}, why="text alone can be masked and guessed")

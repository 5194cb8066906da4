"""Unigram language model over bytes: the most probable cut of a text into pieces."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import tokenizers
from pydantic import Field
from tokenizers import models, pre_tokenizers, trainers

from luban.data.tokenizers._fast import SAMPLE, ByteLevelTokenizer


class Unigram(ByteLevelTokenizer):
    """The unigram tokenizer (Kudo 2018, 1804.10959), over bytes: nothing is ever unknown.

    The library's trainer takes about half a minute per megabyte, hence the small sample.
    """

    max_learn_bytes: int = Field(
        default=1_000_000, ge=1, le=1_000_000_000_000_000_000, description=SAMPLE
    )
    #: A word with the signs after it, as SentencePiece sees it: the trainer counts distinct
    #: strings, so a word that always stands alone would never become a piece.
    pattern: ClassVar[str] = r" ?[^\s\p{P}]{1,12}\p{P}{0,4}| ?\p{P}+|\s+(?!\S)|\s+"

    def untrained(self) -> Any:
        """Return an empty unigram model."""
        return models.Unigram()

    def trainer(self) -> Any:
        """Return the trainer; all 256 bytes are in from the start."""
        return trainers.UnigramTrainer(
            vocab_size=self.vocab_size - 1,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            shrinking_factor=0.5,
            show_progress=False,
        )

    def tidied(self, fast: tokenizers.Tokenizer) -> Any:
        """Return the model with rounded scores, sorted; equal text gives an equal vocabulary.

        The trainer adds up in the order of a hash table, and gives the bytes that are no
        piece of their own scores in that order too.
        """
        found = {piece: score for piece, score in json.loads(fast.to_str())["model"]["vocab"]}
        last = min((s for piece, s in found.items() if len(piece) > 1), default=0.0) - 1
        band = min(found.values()) + 0.03  # the trainer adds 0.0001 for each such byte
        scores = {
            piece: round(last if len(piece) == 1 and score <= band else score, 3)
            for piece, score in found.items()
        }
        ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
        return models.Unigram(ranked)

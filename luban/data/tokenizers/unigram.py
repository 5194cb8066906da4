"""Unigram language model over bytes: the most probable cut of a text into pieces."""

from __future__ import annotations

from typing import Any

from tokenizers import models, pre_tokenizers, trainers

from luban.data.tokenizers._fast import ByteLevelTokenizer


class Unigram(ByteLevelTokenizer):
    """The unigram tokenizer (Kudo 2018, 1804.10959), over bytes: nothing is ever unknown."""

    def untrained(self) -> Any:
        """Return an empty unigram model."""
        return models.Unigram()

    def trainer(self) -> Any:
        """Return the trainer; all 256 bytes are in from the start."""
        return trainers.UnigramTrainer(
            vocab_size=self.vocab_size - 1,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )

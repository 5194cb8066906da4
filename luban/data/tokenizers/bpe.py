"""Byte-level BPE: merges learned from training text, English and Chinese alike."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from tokenizers import models, pre_tokenizers, trainers

from luban.data.tokenizers._fast import SAMPLE, ByteLevelTokenizer


class Bpe(ByteLevelTokenizer):
    """Byte-pair encoding (Sennrich et al. 2016) over bytes, as GPT-2 and Qwen use it."""

    max_learn_bytes: int = Field(
        default=64_000_000, ge=1, le=1_000_000_000_000_000_000, description=SAMPLE
    )
    min_frequency: int = Field(
        default=2, ge=0, le=1_000_000_000, description="How often a pair must occur to be merged."
    )

    def untrained(self) -> Any:
        """Return an empty BPE model."""
        return models.BPE()

    def trainer(self) -> Any:
        """Return the trainer; all 256 bytes are in from the start."""
        return trainers.BpeTrainer(
            vocab_size=self.vocab_size - 1,
            min_frequency=self.min_frequency,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )

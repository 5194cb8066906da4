"""What tasks over tokens share: their tokenizer is learned, saved and loaded with them."""

from __future__ import annotations

from abc import ABC
from pathlib import Path
from typing import Self

from luban.core.contracts import Task, Tokenizer


class TokenizedTask(Task, ABC):
    """A task whose records become tokens."""

    tokenizer: Tokenizer

    def save(self, folder: Path) -> None:
        """Write the tokenizer."""
        self.tokenizer.save(folder)

    def load(self, folder: Path) -> Self:
        """Return this task with the tokenizer in ``folder``."""
        return self._reading_with(self.tokenizer.load(folder))

    def _reading_with(self, tokenizer: Tokenizer) -> Self:
        return self.model_copy(update={"tokenizer": tokenizer})

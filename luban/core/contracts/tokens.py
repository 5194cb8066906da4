"""The kind of tokenizers: see ``contracts`` for the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

from luban.core.component import Component
from luban.core.special_tokens import SpecialTokenFrame

if TYPE_CHECKING:
    import numpy as np


class Tokenizer(Component, ABC):
    """Text to ids and back; a Hugging Face ``tokenizer.json`` on disk."""

    kind: ClassVar[str] = "tokenizers"

    @abstractmethod
    def learn(self, texts: Iterable[str], specials: Sequence[str] = ()) -> Self:
        """Return this tokenizer with a vocabulary learned from training text.

        Args:
            texts: Training text only.
            specials: Special tokens the task needs beside the end token: roles of ``special``
                (``pad``, ``start``, ``separator``, ``mask``), or the tokens themselves.

        Raises:
            DataError: if a tokenizer that was learned elsewhere lacks one of them.
        """

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without special tokens added."""

    @abstractmethod
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts on all cores."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; special tokens are left out."""

    @property
    def exact(self) -> bool:
        """Whether ``decode(encode(text)) == text`` for any text.

        Where it is not, decoding at least comes to rest: what was decoded once stays as it is.
        """
        return True

    @property
    @abstractmethod
    def size(self) -> int:
        """Vocabulary size, special tokens included."""

    @property
    @abstractmethod
    def end(self) -> int:
        """Id of the end-of-text token."""

    @property
    @abstractmethod
    def pad(self) -> int:
        """Id of the padding token (often the end token)."""

    @property
    def chat_template(self) -> str:
        """The Jinja template of conversations that came along; empty where there is none."""
        return ""

    @abstractmethod
    def special(self, role: str) -> int | None:
        """Return the id of a special token by its role, None where there is none.

        Roles: ``end``, ``pad``, ``begin`` (what a text begins with: ``bos_token``), ``start``
        (BERT's ``[CLS]``), ``separator`` (``[SEP]``), ``mask``, ``decoder_start`` (what the
        answers of an encoder-decoder begin with, where the directory tells it).
        """

    def frame(self, pair: bool = False) -> SpecialTokenFrame:
        """Return the special tokens that ``tokenizer.json`` puts around a text, or around two."""
        return SpecialTokenFrame()

    def on_words(self, characters: bool = False) -> Self:
        """Return this tokenizer, which will learn tokens that reach beyond no word.

        Words are those of ``unicode_text.parts``. One that was learned elsewhere stays as it is.

        Args:
            characters: Whether each character is a word of its own.
        """
        return self

    def closed(self) -> Self:
        """Return this tokenizer with the end token after a text, if it puts none there yet."""
        return self

    def encode_parts(self, parts: Sequence[str | int]) -> tuple[list[int], list[tuple[int, int]]]:
        """Encode one text, given as pieces of text, whatever they spell, and special tokens.

        Returns ids, and the characters [first, last) of the whole that each stands for.
        """
        ids: list[int] = []
        for part in parts:
            ids += [part] if isinstance(part, int) else self.encode(part)
        return ids, [(place, place + 1) for place in range(len(ids))]

    @abstractmethod
    def encode_spans(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Encode many texts; return ids, and the characters [first, last) each id stands for."""

    @abstractmethod
    def token_bytes(self) -> np.ndarray[Any, Any]:
        """Return the number of UTF-8 bytes each id stands for, shape (size,); specials are 0."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json``."""

    @abstractmethod
    def load(self, folder: Path) -> Self:
        """Return this tokenizer with what ``save`` wrote."""


@runtime_checkable
class ReadsTokens(Protocol):
    """A task whose records become the tokens of a tokenizer."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, with the vocabulary it has learned."""
        ...

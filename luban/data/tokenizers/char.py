"""Characters: one id per character of the training text, in code point order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Self

import tokenizers
from pydantic import Field
from tokenizers import decoders, models

from luban.core.errors import DataError
from luban.data.tokenizers._fast import END, FastTokenizer, named

_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


class Char(FastTokenizer):
    """One token per character."""

    unknown: Literal["bytes", "error"] = Field(
        default="bytes",
        description=(
            "What becomes of a character that training never saw: its UTF-8 `bytes` (256 more "
            "tokens, any text survives the round trip) or an `error`."
        ),
    )

    def learn(self, texts: Iterable[str], specials: Sequence[str] = ()) -> Self:
        """Return this tokenizer with every character of the training text.

        Raises:
            DataError: if there is no text.
        """
        seen: set[str] = set()
        for text in texts:
            seen.update(text)
        if not seen:
            raise DataError("there is no training text to learn a vocabulary from.")
        tokens = sorted(seen) + (_BYTES if self.unknown == "bytes" else [])
        vocabulary = {token: index for index, token in enumerate(tokens)}
        fast = tokenizers.Tokenizer(
            models.BPE(vocab=vocabulary, merges=[], byte_fallback=self.unknown == "bytes")
        )
        fast.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
        fast.add_special_tokens([END, *named(specials)])
        return self.holding(fast).framed()

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts on all cores.

        Raises:
            DataError: for an unknown character, if ``unknown`` is ``error``.
        """
        if self.unknown == "error":
            known = self.fast.get_vocab().keys()
            for text in texts:
                if not known >= set(text):
                    raise _unknown(text, known)
        return super().encode_batch(texts)

    def bytes_of(self, token: str) -> int:
        """Return the length of a character in UTF-8; a byte token is one byte."""
        return 1 if len(token) > 1 else len(token.encode())


def _unknown(text: str, known: Iterable[str]) -> DataError:
    at = next(index for index, character in enumerate(text) if character not in set(known))
    return DataError(
        f"the training text has no {text[at]!r} (U+{ord(text[at]):04X}).",
        where=f"character {at:,} of the text",
        got=text[max(0, at - 20) : at + 20],
        fix="set the tokenizer's `unknown: bytes`, or clean the data.",
    )

"""WordPiece as BERT has it: words by rule, then the longest pieces of each that are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Self

import tokenizers
from pydantic import Field
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from luban.core.errors import DataError
from luban.data.tokenizers._fast import SAMPLE, FastTokenizer, named, thinned

_UNKNOWN, _START, _END = "[UNK]", "[CLS]", "[SEP]"
_SPECIALS = ("[PAD]", _UNKNOWN, _START, _END, "[MASK]")
_PREFIX = "##"


class Wordpiece(FastTokenizer):
    """WordPiece (Schuster and Nakajima 2012), with BERT's rules for words and Chinese characters.

    Decoding gives words back, not the text: blanks, and case and accents if they are dropped, are
    lost, and a word with an unknown character is ``[UNK]``. So it is for models that read, not for
    those that write. The end token is ``[SEP]``.
    """

    vocab_size: int = Field(
        default=8000,
        ge=6,
        le=16_777_216,
        description=(
            "Most entries, the five special tokens included. Where there is no room for all"
            " characters the rare ones are unknown."
        ),
    )
    lowercase: bool = True
    strip_accents: bool | None = Field(default=None, description="None: as `lowercase`.")
    handle_chinese_chars: bool = Field(
        default=True, description="Every Chinese character is a word of its own."
    )
    max_learn_bytes: int = Field(
        default=16_000_000, ge=1, le=1_000_000_000_000_000_000, description=SAMPLE
    )

    def learn(self, texts: Iterable[str], specials: Sequence[str] = ()) -> Self:
        """Return this tokenizer with pieces learned from training text.

        Raises:
            DataError: if there is no text.
        """
        sample = thinned(texts, self.max_learn_bytes)
        fast = tokenizers.Tokenizer(models.WordPiece(unk_token=_UNKNOWN))
        fast.normalizer = normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=self.handle_chinese_chars,
            strip_accents=self.strip_accents,
            lowercase=self.lowercase,
        )
        fast.pre_tokenizer = self.cutting(pre_tokenizers.BertPreTokenizer())
        extra = [token for token in named(specials) if token not in _SPECIALS]
        known = [*_SPECIALS, *extra, *self._alphabet(fast, sample, len(extra))]
        # Told in advance, characters have ids that do not depend on the order of a hash table;
        # the trainer breaks ties by ids.
        fast.train_from_iterator(
            sample,
            trainers.WordPieceTrainer(
                vocab_size=self.vocab_size, special_tokens=known, show_progress=False
            ),
        )
        return self._around(fast, extra)

    def _alphabet(self, fast: Any, sample: Sequence[str], extra: int) -> list[str]:
        """Return the characters that begin a word, and those that go on, the frequent first."""
        seen: Counter[str] = Counter()
        for text in sample:
            for word, _ in fast.pre_tokenizer.pre_tokenize_str(fast.normalizer.normalize_str(text)):
                seen.update([word[0], *(_PREFIX + character for character in word[1:])])
        if not seen:
            raise DataError("there is no training text to learn a vocabulary from.")
        room = self.vocab_size - len(_SPECIALS) - extra
        ranked = sorted(seen, key=lambda piece: (-seen[piece], piece))
        return ranked[:room]

    def _around(self, trained: Any, extra: Sequence[str]) -> Self:
        """Return this tokenizer over the trained vocabulary, with special tokens of its own."""
        vocabulary = trained.get_vocab(with_added_tokens=True)
        # The trainer takes in every character, room or not; ours stand before them.
        pieces = sorted(vocabulary, key=vocabulary.__getitem__)[: self.vocab_size]
        ids = {piece: index for index, piece in enumerate(pieces)}
        fast = tokenizers.Tokenizer(models.WordPiece(vocab=ids, unk_token=_UNKNOWN))
        fast.normalizer, fast.pre_tokenizer = trained.normalizer, trained.pre_tokenizer
        fast.decoder = decoders.WordPiece(prefix=_PREFIX, cleanup=False)
        fast.add_special_tokens([*_SPECIALS, *extra])
        # For those who load it elsewhere: our tasks put these tokens in place themselves.
        fast.post_processor = processors.TemplateProcessing(
            single=f"{_START} $A {_END}",
            pair=f"{_START} $A {_END} $B:1 {_END}:1",
            special_tokens=[(_START, ids[_START]), (_END, ids[_END])],
        )
        return self.holding(fast)

    @property
    def exact(self) -> bool:
        """Words come back, not the text."""
        return False

    @property
    def end(self) -> int:
        """Id of the end-of-text token, ``[SEP]``."""
        return self.id_of(_END)

    def config(self) -> dict[str, Any]:
        """Return ``tokenizer_config.json``."""
        return {**super().config(), "unk_token": _UNKNOWN, "do_lower_case": self.lowercase}

    def bytes_of(self, token: str) -> int:
        """Return the bytes of a piece as it was read: in lower case, say."""
        return len(token.removeprefix(_PREFIX).encode())

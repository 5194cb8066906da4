"""What all tokenizers share: a Hugging Face ``tokenizers`` one, its files and its guards."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, PrivateAttr

from luban.core.contracts import SpecialTokenFrame, Tokenizer
from luban.core.errors import ContractError, DataError
from luban.core.files import write_atomic, write_json
from luban.core.unicode_text import WITHOUT_BLANKS
from luban.data.tokenizers._frames import frame_of, set_closing_frame, set_encoder_frame
from luban.data.tokenizers._spelled import SpelledText

# Said outright, or the library warns and goes single-threaded after any fork, in the parent too.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
import tokenizers
from tokenizers import decoders, pre_tokenizers, processors

# The library's threads do not outlive a fork: the child would wait for them for ever.
os.register_at_fork(after_in_child=lambda: os.environ.update(TOKENIZERS_PARALLELISM="false"))

END = "<|endoftext|>"
#: The special tokens of each role: BERT's names, and the keys of ``tokenizer_config.json``.
ROLES = {
    "pad": ("[PAD]", "pad_token"),
    "start": ("[CLS]", "cls_token"),
    "separator": ("[SEP]", "sep_token"),
    "mask": ("[MASK]", "mask_token"),
}
SAMPLE = (
    "Text to learn from. Beyond it, the text is thinned evenly over the whole stream, so that "
    "memory and time stay bounded on any amount of data."
)  #: what the field `max_learn_bytes` means
_SLICE = 1 << 13  #: characters; what a sample is made of

#: Qwen2's pre-tokeniser: digits one by one, runs of letters (Chinese clauses too), and known
#: by name to llama.cpp and others.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

#: Words as ``unicode_text.parts`` has them, or finer, as an expression of the library: runs of
#: letters and digits, each letter of scripts without blanks, each sign; with a blank before.
_UNSPACED = "".join(rf"\p{{{script}}}" for script in WITHOUT_BLANKS) + r"[\p{Common}&&\p{L}]"
_RUN = rf"[\p{{L}}\p{{N}}&&[^{_UNSPACED}]][\p{{L}}\p{{M}}\p{{N}}&&[^{_UNSPACED}]]*"
WORD = rf" ?(?:{_RUN}|\S\p{{M}}*)"
CHARACTER = r" ?\S\p{M}*"


class FastTokenizer(Tokenizer, ABC):
    """A tokenizer whose state is one ``tokenizers.Tokenizer``, learned or loaded.

    The end token never comes out of text, even where the text spells it: it is data.
    """

    _fast: tokenizers.Tokenizer | None = PrivateAttr(default=None)
    _frames: dict[bool, SpecialTokenFrame] = PrivateAttr(default_factory=dict)
    _spelled: SpelledText | None = PrivateAttr(default=None)
    _cut: str = PrivateAttr(default="")

    def on_words(self, characters: bool = False) -> Self:
        """Return this tokenizer, which will learn tokens that reach beyond no word.

        A token may begin with the blank before its word, as ever.

        Args:
            characters: Whether each character is a word of its own.
        """
        copy = self.model_copy()
        copy._cut = CHARACTER if characters else WORD
        return copy

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without special tokens added."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts on all cores; positions in the text are not tracked."""
        found = self.fast.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def encode_spans(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Encode many texts; return ids, and the characters [first, last) each id stands for."""
        fast = self.fast
        if "ByteLevel" in repr(fast.post_processor):  # it moves offsets, some to the wrong place
            fast = tokenizers.Tokenizer.from_str(fast.to_str())
            fast.post_processor = processors.Sequence([])
            fast.encode_special_tokens = True
        found = fast.encode_batch(list(texts), add_special_tokens=False)
        return [(encoding.ids, encoding.offsets) for encoding in found]

    def encode_parts(self, parts: Sequence[str | int]) -> tuple[list[int], list[tuple[int, int]]]:
        """Encode one text, given as pieces of text and ids of special tokens between them.

        Raises:
            RequestError: if a text spells a special token and has a private character.
        """
        if self._spelled is None:
            self._spelled = SpelledText(self.fast.to_str())
        return self._spelled.encode(parts)

    def frame(self, pair: bool = False) -> SpecialTokenFrame:
        """Return what the post-processor puts around a text, or around two.

        Raises:
            DataError: if it does more than that.
        """
        if pair not in self._frames:
            self._frames[pair] = frame_of(self.fast, pair=pair)
        return self._frames[pair]

    def closed(self) -> Self:
        """Return this tokenizer with the end token after a text, if it puts none there yet."""
        if self.end in self.frame().after:
            return self
        fast = tokenizers.Tokenizer.from_str(self.fast.to_str())
        set_closing_frame(fast, self.end, self.frame().before)
        return self.holding(fast)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; special tokens are left out."""
        return self.fast.decode(list(ids), skip_special_tokens=True)

    @property
    def size(self) -> int:
        """Vocabulary size, special tokens included."""
        return self.fast.get_vocab_size()

    @property
    def end(self) -> int:
        """Id of the end-of-text token."""
        return self.id_of(END)

    @property
    def pad(self) -> int:
        """Id of the padding token; the end token, where there is none of its own."""
        found = self.special("pad")
        return self.end if found is None else found

    def special(self, role: str) -> int | None:
        """Return the id of a special token by its role, None where there is none."""
        if role == "begin":
            return next(iter(self.frame().before), None)
        if role == "decoder_start":
            return None
        return self.end if role == "end" else self.fast.token_to_id(ROLES[role][0])

    def token_bytes(self) -> np.ndarray[Any, Any]:
        """Return how many UTF-8 bytes each id stands for, int32 (size,); specials are 0."""
        lengths = np.zeros(self.size, np.int32)
        added = self.fast.get_added_tokens_decoder()
        for token, index in self.fast.get_vocab(with_added_tokens=False).items():
            lengths[index] = self.bytes_of(token)
        for index, extra in added.items():
            lengths[index] = 0 if extra.special else len(extra.content.encode())
        return lengths

    @abstractmethod
    def bytes_of(self, token: str) -> int:
        """Return how many bytes of text a vocabulary entry stands for."""

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json``; transformers reads them."""
        write_atomic(folder / "tokenizer.json", self.fast.to_str(pretty=True))
        write_json(folder / "tokenizer_config.json", self.config())

    def config(self) -> dict[str, Any]:
        """Return ``tokenizer_config.json``."""
        names = [self.fast.id_to_token(index) for index in (self.end, self.pad)]
        found = [(key, self.special(role)) for role, (_, key) in ROLES.items()]
        special: dict[str, Any] = {
            key: self.fast.id_to_token(index) for key, index in found if index is not None
        }
        if special.keys() >= {"cls_token", "sep_token"} and any(self.frame(pair=True).types):
            special["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": names[0],
            "pad_token": names[1],
            **special,
            "clean_up_tokenization_spaces": False,
        }

    def load(self, folder: Path) -> Self:
        """Return this tokenizer with what ``save`` wrote."""
        return self.holding(read_fast(folder / "tokenizer.json")).framed()

    @property
    def fast(self) -> tokenizers.Tokenizer:
        """The library's tokenizer.

        Raises:
            ContractError: if nothing was learned or loaded yet.
        """
        if self._fast is None:
            raise ContractError(f"the {self.name} tokenizer has not learned its vocabulary yet.")
        return self._fast

    def holding(self, fast: tokenizers.Tokenizer) -> Self:
        """Return this tokenizer around another state."""
        fast.encode_special_tokens = True
        fast.no_truncation()  # some files ask for both, and the task decides
        fast.no_padding()
        copy = self.model_copy()
        copy._fast, copy._frames, copy._spelled = fast, {}, None
        return copy

    def framed(self) -> Self:
        """Return this tokenizer, which from now on puts ``[CLS]`` and ``[SEP]`` around texts.

        Encoders read texts so, and ``tokenizer.json`` has to say it to others. A tokenizer that
        lacks these tokens, or puts some around texts already, stays as it is.
        """
        start, separator = self.special("start"), self.special("separator")
        if start is not None and separator is not None and not self.frame().size:
            set_encoder_frame(self.fast, start, separator)
            self._frames.clear()
        return self

    def cutting(self, *steps: Any) -> Any:
        """Return steps of cutting a text before it is encoded, those of ``on_words`` first."""
        words = [pre_tokenizers.Split(tokenizers.Regex(self._cut), "isolated")] if self._cut else []
        return pre_tokenizers.Sequence([*words, *steps]) if len([*words, *steps]) > 1 else steps[0]

    def id_of(self, token: str) -> int:
        """Return the id of a token.

        Raises:
            DataError: if the vocabulary lacks it.
        """
        index = self.fast.token_to_id(token)
        if index is None:
            raise DataError(f"the vocabulary has no token {token!r}.")
        return index


class ByteLevelTokenizer(FastTokenizer, ABC):
    """A tokenizer over bytes written as 256 visible characters: nothing is ever unknown."""

    vocab_size: int = Field(
        default=4096,
        ge=257,
        le=16_777_216,
        description=(
            "Entries, the 256 bytes and the end token included; fewer if the text is too small to"
            " find that many."
        ),
    )
    max_learn_bytes: int
    pattern: ClassVar[str] = PATTERN

    def learn(self, texts: Iterable[str], specials: Sequence[str] = ()) -> Self:
        """Return this tokenizer with a vocabulary learned from training text.

        Raises:
            DataError: if there is no text.
        """
        sample = thinned(texts, self.max_learn_bytes)
        if not any(sample):
            raise DataError("there is no training text to learn a vocabulary from.")
        fast = tokenizers.Tokenizer(self.untrained())
        fast.pre_tokenizer = self.cutting(
            pre_tokenizers.Split(tokenizers.Regex(self.pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        )
        fast.decoder = decoders.ByteLevel()
        fast.train_from_iterator(sample, self.trainer())
        fast.model = self.tidied(fast)
        fast.add_special_tokens([END, *named(specials)])
        return self.holding(fast).framed()

    @abstractmethod
    def untrained(self) -> Any:
        """Return the library's empty model."""

    @abstractmethod
    def trainer(self) -> Any:
        """Return the library's trainer, for ``vocab_size`` less the end token."""

    def tidied(self, fast: tokenizers.Tokenizer) -> Any:
        """Return the trained model, made the same in every run."""
        return fast.model

    def bytes_of(self, token: str) -> int:
        """Return the length of a token: each character of it is a byte."""
        return len(token)


def named(specials: Sequence[str]) -> list[str]:
    """Return the tokens that roles stand for; what is no role is a token itself."""
    return [ROLES[special][0] if special in ROLES else special for special in specials]


def thinned(texts: Iterable[str], max_bytes: int) -> list[str]:
    """Return every slice of the texts, or every 2nd, 4th, … so that all fit in ``max_bytes``.

    One pass and bounded memory: whenever the sample is full, every other slice of it goes.
    """
    kept: list[str] = []
    size, step = 0, 1
    slices = (text[at : at + _SLICE] for text in texts for at in range(0, len(text), _SLICE))
    for number, part in enumerate(slices):
        if number % step:
            continue
        kept.append(part)
        size += len(part.encode())
        while size > max_bytes and len(kept) > 1:
            kept, step = kept[::2], step * 2
            size = sum(len(part.encode()) for part in kept)
    return kept


def read_fast(path: Path) -> tokenizers.Tokenizer:
    """Return the library's tokenizer from a ``tokenizer.json``.

    Raises:
        DataError: if the file is missing or is something else.
    """
    try:
        return tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("there is no tokenizer here.", where=path) from None
    except Exception as error:  # the library raises bare Exception
        raise DataError(f"this is not a tokenizer.json ({error}).", where=path) from None

"""Texts as words, and words as texts, with the characters each word stands at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import regex

from luban.core.contracts import Tokenizer
from luban.data.pieces import begins_as_it_goes_on

Span: TypeAlias = tuple[int, int]  #: characters [first, last)

#: Scripts without blanks between words: Han with kana; Thai, Lao, Myanmar and Khmer.
UNSPACED = (
    r"\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
    r"\p{Thai}\p{Lao}\p{Myanmar}\p{Khmer}"
)
_ALONE = regex.compile(f"[{UNSPACED}]")
_SOLID = r"[^\s\x1c-\x1f]"  # what `str.split` keeps
#: A letter of these with its marks; a run of letters and digits of any other script, with marks and
#: the joiners between them; or any other sign.
WORDS = (
    rf"(?:[{UNSPACED}]\p{{M}}*"
    rf"|(?:(?![{UNSPACED}])[\p{{L}}\p{{N}}\p{{M}}]|(?<=[\p{{L}}\p{{M}}])[\u200c\u200d](?=\p{{L}}))+"
    rf"|{_SOLID}\p{{M}}*)"
)
_WORD = regex.compile(WORDS)
_CHARACTER = regex.compile(rf"(?={_SOLID})\X")


def words_of(text: str, *, characters: bool = False) -> list[Span]:
    """Return where the words of a text stand: runs of letters and digits, and each other sign.

    Letters keep their combining marks. In scripts without blanks between words (Chinese, Japanese,
    Thai, Lao, Myanmar, Khmer) each letter is a word by itself; white space is part of none.

    Args:
        text: The text.
        characters: Whether each character is a word of its own, in every script.
    """
    pattern = _CHARACTER if characters else _WORD
    return [match.span() for match in pattern.finditer(text)]


def joined(tokens: Sequence[str]) -> tuple[str, list[Span]]:
    """Return tokens as one text, and where each stands in it.

    A blank divides them, but none stands beside a letter of a script without blanks.
    """
    text, spans = "", []
    for token in tokens:
        if text and token and not _ALONE.match(text[-1]) and not _ALONE.match(token):
            text += " "
        spans.append((len(text), len(text) + len(token)))
        text += token
    return text, spans


def encode_words(
    tokenizer: Tokenizer, texts: Sequence[tuple[str, Sequence[Span]]], instead: int
) -> list[list[list[int]]]:
    """Return the ids of each word of each text.

    Words are encoded on their own, so that none shares an id with its neighbour. Where a blank
    stands before a word, byte-level tokenizers see it, as they did when they learned; those that
    put a blank before every text need not.

    Args:
        tokenizer: What encodes.
        texts: Texts with the places of their words.
        instead: The id that stands for a word of which the tokenizer keeps nothing.
    """
    see = _seen if begins_as_it_goes_on(tokenizer) else _bare
    words = [[see(text, span) for span in spans] for text, spans in texts]
    distinct = list(dict.fromkeys(word for row in words for word in row))
    blank = tokenizer.encode(" ")
    known: dict[str, list[int]] = {}
    for word, ids in zip(distinct, tokenizer.encode_batch(distinct), strict=True):
        # A blank that is an id of its own says nothing about the word.
        bare = (
            ids[len(blank) :] if blank and word[:1] == " " and ids[: len(blank)] == blank else ids
        )
        known[word] = bare or [instead]
    return [[known[word] for word in row] for row in words]


def _bare(text: str, span: Span) -> str:
    return text[slice(*span)]


def _seen(text: str, span: Span) -> str:
    start, end = span
    return text[start - 1 : end] if start and text[start - 1] == " " else text[start:end]

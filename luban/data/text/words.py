"""Texts as words, and words as texts, with the characters each word stands at."""

from __future__ import annotations

from collections.abc import Sequence

from luban.core.contracts import Tokenizer
from luban.core.unicode_text import Span, alone, parts
from luban.data.text.document_pieces import begins_as_it_goes_on


def words_of(text: str, *, characters: bool = False) -> list[Span]:
    """Return where the words of a text stand: runs of letters and digits, and each other sign.

    Letters keep their combining marks. In scripts without blanks between words each letter is a
    word by itself; white space is part of none.

    Args:
        text: The text.
        characters: Whether each character is a word of its own, in every script.
    """
    return parts(text, characters=characters)


def joined(tokens: Sequence[str]) -> tuple[str, list[Span]]:
    """Return tokens as one text, and where each stands in it.

    A blank divides them, but none stands beside a character of a script without blanks.
    """
    text, spans = "", []
    for token in tokens:
        if text and token and not alone(text[-1]) and not alone(token):
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

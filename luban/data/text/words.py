"""Texts as words, and words as texts, with the characters each word stands at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class EncodedWords:
    """A text as tokens, and where in them its words begin.

    Attributes:
        ids: The tokens, without special tokens around.
        firsts: For each word the token at which it is read.
        apart: Whether words were encoded one by one.
    """

    ids: list[int]
    firsts: list[int]
    apart: bool


def encode_words(
    tokenizer: Tokenizer, texts: Sequence[tuple[str, Sequence[Span]]]
) -> list[EncodedWords]:
    """Return the ids of each text, and at which of them its words begin.

    A text is encoded as a whole. Only where a word has no token of its own, for one of them
    stands for characters of two words, are the words of that text encoded one by one: with the
    blank before them, as tokens of the whole have it, or as a tokenizer that puts a blank before
    every text does it for words that were cut already (``is_split_into_words``).

    A word is read at its first token that is no blank. One of which the tokenizer keeps nothing
    is read at the token that follows.

    Args:
        tokenizer: What encodes.
        texts: Texts with the places of their words.
    """
    whole = tokenizer.encode_spans([text for text, _ in texts])
    found = [_of_whole(*one, spans) for one, (_, spans) in zip(whole, texts, strict=True)]
    glued = [number for number, one in enumerate(found) if one is None]
    apart = iter(_one_by_one(tokenizer, [texts[number] for number in glued]))
    return [next(apart) if one is None else one for one in found]


def _of_whole(ids: list[int], places: Sequence[Span], words: Sequence[Span]) -> EncodedWords | None:
    """Return where the words of an encoded text begin; None where two share a token.

    Args:
        ids: Of the whole text.
        places: The characters of each id.
        words: The characters of each word.
    """
    firsts, token, free = list[int](), 0, 0
    last = len(ids) - 1
    for start, end in words:
        while token < last and places[token][1] <= start:
            token += 1
        first = token
        if ids and places[first][0] < free and start < end:  # it began within the word before
            first = min(first + 1, last)
            if not free <= places[first][0] < end:
                return None
        firsts.append(first)
        free = end
    return EncodedWords(ids, firsts, apart=False)


def _one_by_one(
    tokenizer: Tokenizer, texts: Sequence[tuple[str, Sequence[Span]]]
) -> list[EncodedWords]:
    if not texts:
        return []
    see = _seen if begins_as_it_goes_on(tokenizer) else _bare
    words = [[see(text, span) for span in spans] for text, spans in texts]
    distinct = list(dict.fromkeys(word for row in words for word in row))
    known = dict(zip(distinct, tokenizer.encode_batch(distinct), strict=True))
    blank = tokenizer.encode(" ")
    found = []
    for row in words:
        ids, firsts = list[int](), list[int]()
        for word in row:
            new = known[word]
            bare = bool(blank) and len(new) > len(blank) and new[: len(blank)] == blank
            firsts.append(len(ids) + (len(blank) if bare else 0))
            ids += new
        last = max(0, len(ids) - 1)
        found.append(EncodedWords(ids, [min(first, last) for first in firsts], apart=True))
    return found


def _bare(text: str, span: Span) -> str:
    return text[slice(*span)]


def _seen(text: str, span: Span) -> str:
    start, end = span
    return text[start - 1 : end] if start and text[start - 1] == " " else text[start:end]

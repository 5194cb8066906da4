"""Records of tagged text: what they say, and the entities in them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from luban.core.batch import Batch
from luban.core.contracts import Example, Examples, Record
from luban.core.errors import DataError
from luban.core.unicode_text import Span
from luban.data.files.records import own_fields, unusable
from luban.data.text.entity_spans import entities_in
from luban.data.text.padding import as_text
from luban.data.text.tagging import SCHEMES, Entity, Scheme, entities_of, fault, mended, parsed
from luban.data.text.words import joined, words_of


@dataclass(frozen=True, slots=True)
class Words:
    """A text as words.

    Attributes:
        text: All of it.
        spans: The characters of each word.
        given: Whether the record gave the words; else they were found in its text.
    """

    text: str
    spans: Sequence[Span]
    given: bool


def words_in(record: Record, *, characters: bool = False) -> Words:
    """Return the words of a record that has ``tokens`` or ``text``.

    Args:
        record: The row.
        characters: Whether each character of ``text`` is a word of its own.

    Raises:
        DataError: if it has neither, or no word.
    """
    tokens, text = record.get("tokens"), record.get("text")
    if isinstance(tokens, list | tuple) and all(isinstance(token, str) for token in tokens):
        words = Words(*joined(tokens), given=True)
    elif tokens is None and isinstance(text, str):
        words = Words(text, words_of(text, characters=characters), given=False)
    else:
        got = f"fields: {', '.join(own_fields(record))}" if text is None is tokens else tokens
        raise DataError(
            "the record has no tokens and no text.",
            where=record.get("_where", ""),
            expected="a field 'tokens', a list of strings, or a field 'text', a string",
            got=got,
            fix="name the field with data.source.fields: {tokens: YOURS}.",
        )
    if not words.spans:
        raise DataError("the record holds no word.", where=record.get("_where", ""), got=words.text)
    return words


def gold_in(record: Record, words: Words, scheme: Scheme, *, mend: bool) -> list[Entity]:
    """Return the entities of a record: in words where it has ``tokens``, else in characters.

    Args:
        record: With its answer.
        words: What ``words_in`` returned.
        scheme: What tags should be valid in.
        mend: Whether tags that are not are read as well as they can be.

    Raises:
        DataError: if they are missing or malformed.
    """
    if not words.given:
        return _spanned(record, words)
    tags = tags_in(record, words)
    if mend:
        return mended(tags)
    if found := fault(tags, scheme):
        raise malformed(record, tags, *found)
    return entities_of(tags, scheme)


#: How the field ``tags`` names schemes: the spellings of BIOES are read alike.
SPELLED: dict[str, Scheme] = {
    "bio": "bio",
    "iob1": "iob1",
    "bioes": "bioes",
    "bmes": "bioes",
    "bilou": "bioes",
}
#: What may happen to an entity in characters so that it begins and ends where words do.
FITTINGS = (
    "entities without the blanks at their edges",
    "entities widened to whole words",
    "entities cut or dropped that share a word with another",
)


def on_words(entities: Sequence[Entity], words: Words) -> tuple[list[Entity], list[int]]:
    """Return entities in words, and how many had to change for that, by ``FITTINGS``.

    An entity in characters takes every word that it touches and no entity before it has.

    Args:
        entities: In words where words were given, else in characters; in order, apart.
        words: What they stand in.
    """
    changed = [0] * len(FITTINGS)
    if words.given:
        return list(entities), changed
    starts, ends = ([span[side] for span in words.spans] for side in (0, 1))
    found: list[Entity] = []
    free = 0
    for kind, start, end in entities:
        first, last = bisect_right(ends, start), bisect_left(starts, end)
        shares, first = first < free, max(first, free)
        if first < last:
            found.append((kind, first, last))
            free = last
        if shares:
            changed[2] += 1
        elif (starts[first], ends[last - 1]) != (start, end):
            bare = words.text[start:end]
            left = len(bare) - len(bare.lstrip())
            trimmed = (starts[first], ends[last - 1]) == (start + left, start + len(bare.rstrip()))
            changed[0 if trimmed else 1] += 1
    return found, changed


def in_characters(entities: Sequence[Entity], words: Words) -> list[Entity]:
    """Return entities in words as predictions tell them: in words where these were given."""
    if words.given:
        return list(entities)
    return [(k, words.spans[a][0], words.spans[b - 1][1]) for k, a, b in entities]


class SchemeFinder:
    """Finds out how training data write tags: the scheme that fewest of them break."""

    def __init__(self) -> None:
        self._counts: Counter[Scheme] = Counter()

    def see(self, tags: Sequence[str]) -> None:
        """Look at the tags of one record."""
        self._counts.update(scheme for scheme in SCHEMES if fault(tags, scheme))

    def found(self) -> Scheme:
        """Return the scheme; rows that break it are set apart, or mended, when encoded."""
        return min(SCHEMES, key=lambda scheme: self._counts[scheme])


class FrequentTags:
    """The tag that each word had most often in training examples, looked up by its ids."""

    def __init__(self, train: Examples) -> None:
        counts: dict[tuple[int, ...], Counter[int]] = {}
        for index in range(len(train)):
            example = train[index]
            for word, label in zip(_word_ids(example), example["labels"].tolist(), strict=True):
                counts.setdefault(word, Counter())[label] += 1
        self._best = {word: min(c, key=lambda i: (-c[i], i)) for word, c in counts.items()}

    def __call__(self, example: Example) -> list[int]:
        """Return the label of each word that was kept; 0 for a new word."""
        return [self._best.get(word, 0) for word in _word_ids(example)]


def tags_in(record: Record, words: Words) -> list[str]:
    """Return the tags of a record with ``tokens``.

    Raises:
        DataError: if there are none, or not one for each token.
    """
    tags = record.get("tags")
    if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        also = "; numbers get names with data.source.values"
        raise unusable(record, "tags", ", a list of strings such as B-person", also=also)
    if len(tags) != len(words.spans):
        raise DataError(
            "there is not one tag for each token.",
            where=record.get("_where", ""),
            got=f"{len(words.spans)} tokens, {len(tags)} tags",
        )
    for place, tag in enumerate(tags):
        try:
            parsed(tag)
        except ValueError as error:
            raise malformed(record, tags, place, str(error)) from None
    return list(tags)


def kinds_in(record: Record, words: Words) -> tuple[Sequence[str], set[str]]:
    """Return the tags of a record with ``tokens`` (else none), and the types of its entities.

    Raises:
        DataError: if they are missing or malformed.
    """
    if words.given:
        tags = tags_in(record, words)
        return tags, {tag[2:] for tag in tags if len(tag) > 2}
    return (), {kind for kind, _, _ in gold_in(record, words, "bio", mend=False)}


def sides_of(batch: Batch) -> Iterator[dict[str, Any]]:
    """Yield what the prediction of each example is made of, beside the model's output."""
    table = {name: batch.targets[name].tolist() for name in ("words", "given", "bytes", "spans")}
    texts = batch.targets["text"].cpu().numpy()
    for row, size in enumerate(table["bytes"]):
        one = {name: column[row] for name, column in table.items()}
        yield {**one, "text": as_text(texts[row, :size])}


def malformed(record: Record, tags: Sequence[str], place: int, why: str) -> DataError:
    """Return the error for tags that are not valid."""
    around = " ".join(tags[max(0, place - 2) : place + 3])
    return DataError(
        "the tags are malformed.",
        where=record.get("_where", ""),
        expected="a valid sequence: what goes on has begun, with the same type",
        got=f"{why}, tag {place + 1}: … {around} …",
        fix="correct the row; or let task.malformed: mend read such rows as well as it can.",
    )


def _word_ids(example: Example) -> Iterator[tuple[int, ...]]:
    ids = example["input_ids"].tolist()
    for start, end in pairwise([*example["firsts"].tolist(), len(ids) - 1]):
        yield tuple(ids[start:end])


def _spanned(record: Record, words: Words) -> list[Entity]:
    entities = entities_in(record.get("entities"), words.text)
    if entities is None:
        raise unusable(record, "entities", ", a list of {start, end, type}, in characters")
    found = sorted((e["type"], e["start"], e["end"]) for e in entities)
    found.sort(key=lambda entity: entity[1:])
    _check(found, words, str(record.get("_where", "")))
    return found


def _check(entities: Iterable[Entity], words: Words, where: str) -> None:
    last = 0
    for kind, start, end in entities:
        shown = f"{kind} {start}:{end}"
        if not 0 <= start < end <= len(words.text) or not words.text[start:end].strip():
            raise DataError(
                "an entity does not stand in its text.",
                where=where,
                expected=f"0 <= start < end <= {len(words.text)}, around more than blanks",
                got=shown,
            )
        if start < last:
            raise DataError(
                "two entities overlap.",
                where=where,
                expected="each character in one entity at most",
                got=f"{shown}, after one that ends at {last}",
                fix="keep one of them.",
            )
        last = end

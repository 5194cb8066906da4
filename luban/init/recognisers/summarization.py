"""Which fields of unknown records hold a text and a shorter one of it."""

from __future__ import annotations

from collections.abc import Sequence

from luban.core.contracts import Guess, Record
from luban.core.unicode_text import without_blanks
from luban.init.recognisers._fields import renamed
from luban.init.recognisers._texts import field_named, joined, mean_lengths, tokenize_option

_DOCUMENTS = ("document", "article", "dialogue", "text", "content", "source", "body", "abstract")


_SUMMARIES = (
    "summary",
    "highlights",
    "summaries",
    "abstract",
    "headline",
    "tldr",
    "target",
    "title",
)


#: A summary is at most so long, as a share of its document.
_SHORT = 0.5


def recognise(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a summarisation: a text beside a much shorter one that is named so."""
    sizes = mean_lengths(sample)
    document = field_named(sizes, _DOCUMENTS)
    summary = field_named({n: s for n, s in sizes.items() if n != document}, _SUMMARIES)
    if document is None or summary is None:
        return None
    plain = summary.lower() in ("summary", "highlights", "summaries", "tldr")
    lines = any(isinstance(record.get(document), list) for record in sample)
    if not lines and not plain and sizes[summary] > _SHORT * sizes[document]:
        return None
    by_character = without_blanks(joined(sample, summary))
    return Guess(
        confidence=0.9 if plain else 0.5,
        fields=renamed({"document": f"{{{document}}}" if lines else document, "summary": summary}),
        task={"tokenizer": {"name": "bpe", "vocab_size": 6000}, "max_source_length": 512}
        | tokenize_option("characters" if by_character else "words", "words"),
        model={"name": "seq2seq", "dropout": 0.2},
        why=f"{summary!r} is beside {document!r}, and shorter"
        if sizes[summary] < sizes[document]
        else f"{summary!r} is beside {document!r}",
    )

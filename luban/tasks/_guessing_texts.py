"""Which fields of unknown records hold a text and what it is turned into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from luban.core.contracts import Guess, Record
from luban.core.unicode_text import european_share, unspaced_share, without_blanks
from luban.data.files.language import script_shares
from luban.data.files.records import own_fields
from luban.tasks._guessing import UNNAMED, classes_in, columns_of, is_texts, last_of

_SOURCES = ("source", "src", "source_text")
_TARGETS = ("target", "tgt", "translation", "target_text", "reference")
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
#: Languages by the names that parallel data have for them.
_LANGUAGES = {
    "ar": "arabic", "bg": "bulgarian", "cs": "czech", "da": "danish", "de": "german",
    "el": "greek", "en": "english", "es": "spanish", "et": "estonian", "fa": "persian",
    "fi": "finnish", "fr": "french", "he": "hebrew", "hi": "hindi", "hu": "hungarian",
    "id": "indonesian", "it": "italian", "ja": "japanese", "ko": "korean", "lt": "lithuanian",
    "lv": "latvian", "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sk": "slovak", "sl": "slovenian", "sv": "swedish",
    "th": "thai", "tr": "turkish", "uk": "ukrainian", "ur": "urdu", "vi": "vietnamese",
    "zh": "chinese",
}  # fmt: skip
#: Share of the letters without blanks from which on they are Chinese (Japanese has kana too),
#: and of all letters from which on a text is European.
_CHINESE, _EUROPEAN = 0.8, 0.5
#: A summary is at most so long, as a share of its document.
_SHORT = 0.5
_MOST = 0.95  #: share of the records that must have a field


def guess_translation(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a translation: a source beside a target, or two languages.

    Languages are told by the names of the fields; where columns have no names, by their scripts.
    """
    sizes = _sizes(sample)
    languages = [name for name in sizes if _language(name)]
    source, target = _named(sizes, _SOURCES), _named(sizes, _TARGETS)
    if source and target and source != target:
        near = 1 / 3 < sizes[target] / max(1.0, sizes[source]) < 3
        confidence, why = 0.9 if near else 0.35, f"{source!r} is beside {target!r}"
    elif len(languages) == 2:
        source, target = languages
        confidence, why = 0.95, f"{source!r} and {target!r} are languages"
    elif len(pair := _unnamed_pair(sample, sizes)) == 2:
        source, target = pair
        apart = without_blanks(_all(sample, source)) != without_blanks(_all(sample, target))
        confidence = 0.9 if apart else 0.35
        said = "of two scripts" if apart else "of about one length"
        why = f"{source!r} and {target!r} are texts {said}"
    else:
        return None
    if not all(isinstance(record.get(source), str) for record in sample):
        return None
    return Guess(
        confidence=confidence,
        fields=_renamed({"source": source, "target": target}),
        task={"tokenizer": {"name": "bpe", "vocab_size": 6000}}
        | _tokenize(sacrebleu_tokenizer(_all(sample, target)), "13a"),
        model={"name": "seq2seq", "dropout": 0.2},
        why=why,
    )


def _unnamed_pair(sample: Sequence[Record], sizes: Mapping[str, float]) -> tuple[str, ...]:
    """Return the two columns that hold texts of about one length, where no column has a name."""
    columns = columns_of(sample)
    if not columns or not all(map(UNNAMED.fullmatch, columns)):
        return ()
    texts = [name for name in columns if name in sizes and is_texts(columns[name])]
    texts = [name for name in texts if not any(map(str.isdecimal, map(str, columns[name][:50])))]
    rest = [name for name in columns if name not in texts]
    if len(texts) != 2 or any(classes_in(columns[name]) for name in rest):
        return ()
    lengths = [sizes[name] for name in texts]
    scripts = without_blanks(_all(sample, texts[0])) != without_blanks(_all(sample, texts[1]))
    return tuple(texts) if scripts or max(lengths) < 2 * min(lengths) else ()


def guess_summaries(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a summarisation: a text beside a much shorter one that is named so."""
    sizes = _sizes(sample)
    document = _named(sizes, _DOCUMENTS)
    summary = _named({n: s for n, s in sizes.items() if n != document}, _SUMMARIES)
    if document is None or summary is None:
        return None
    plain = summary.lower() in ("summary", "highlights", "summaries", "tldr")
    lines = any(isinstance(record.get(document), list) for record in sample)
    if not lines and not plain and sizes[summary] > _SHORT * sizes[document]:
        return None
    by_character = without_blanks(_all(sample, summary))
    return Guess(
        confidence=0.9 if plain else 0.5,
        fields=_renamed({"document": f"{{{document}}}" if lines else document, "summary": summary}),
        task={"tokenizer": {"name": "bpe", "vocab_size": 6000}, "max_source_length": 512}
        | _tokenize("characters" if by_character else "words", "words"),
        model={"name": "seq2seq", "dropout": 0.2},
        why=f"{summary!r} is beside {document!r}, and shorter"
        if sizes[summary] < sizes[document]
        else f"{summary!r} is beside {document!r}",
    )


def _sizes(sample: Sequence[Record]) -> dict[str, float]:
    """Return the mean length of each field that is a text or a list of texts, nearly everywhere."""
    rows = [own_fields(record) for record in sample]
    times = Counter(name for row in rows for name, value in row.items() if _plain(value))
    names = [name for name, count in times.items() if count >= _MOST * len(rows)]
    return {name: sum(len(_plain(row.get(name))) for row in rows) / len(rows) for name in names}


def _plain(value: Any) -> str:
    """Return a text, or the first of a list of them; empty if it is neither."""
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, str) else ""


def _named(sizes: Mapping[str, float], names: Sequence[str]) -> str | None:
    known = {last_of(name): name for name in sizes}
    return next((known[name] for name in names if name in known), None)


def _language(name: str) -> bool:
    plain = last_of(name).split("_")[0].split("-")[0]
    return plain in _LANGUAGES or plain in _LANGUAGES.values()


def sacrebleu_tokenizer(text: str) -> str:
    """Return how sacrebleu should cut texts like this one, by its script.

    Its default knows the signs of ASCII only, which is what WMT uses for European languages;
    ``intl`` knows those of every script; ``zh`` and ``char`` cut what has no blanks.
    """
    if without_blanks(text):
        return "zh" if script_shares(text)["cjk"] > _CHINESE * unspaced_share(text) else "char"
    return "13a" if european_share(text) > _EUROPEAN else "intl"


def _tokenize(chosen: str, default: str) -> dict[str, str]:
    return {} if chosen == default else {"tokenize": chosen}


def _all(sample: Sequence[Record], field: str) -> str:
    return "".join(_plain(record.get(field)) for record in sample)


def _renamed(fields: Mapping[str, str]) -> dict[str, str]:
    return {ours: theirs for ours, theirs in fields.items() if ours != theirs}

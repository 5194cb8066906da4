"""Which fields of unknown records hold a text in two languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from luban.core.contracts import Guess, Record
from luban.core.unicode_text import european_share, unspaced_share, without_blanks
from luban.data.files.language import script_shares
from luban.init.recognisers._fields import (
    UNNAMED,
    classes_in,
    columns_of,
    is_texts,
    last_of,
    renamed,
)
from luban.init.recognisers._texts import field_named, joined, mean_lengths, tokenize_option

_SOURCES = ("source", "src", "source_text")


_TARGETS = ("target", "tgt", "translation", "target_text", "reference")


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


def recognise(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a translation: a source beside a target, or two languages.

    Languages are told by the names of the fields; where columns have no names, by their scripts.
    """
    sizes = mean_lengths(sample)
    languages = [name for name in sizes if _language(name)]
    source, target = field_named(sizes, _SOURCES), field_named(sizes, _TARGETS)
    if source and target and source != target:
        near = 1 / 3 < sizes[target] / max(1.0, sizes[source]) < 3
        confidence, why = 0.9 if near else 0.35, f"{source!r} is beside {target!r}"
    elif len(languages) == 2:
        source, target = languages
        confidence, why = 0.95, f"{source!r} and {target!r} are languages"
    elif len(pair := _unnamed_pair(sample, sizes)) == 2:
        source, target = pair
        apart = without_blanks(joined(sample, source)) != without_blanks(joined(sample, target))
        confidence = 0.9 if apart else 0.35
        said = "of two scripts" if apart else "of about one length"
        why = f"{source!r} and {target!r} are texts {said}"
    else:
        return None
    if not all(isinstance(record.get(source), str) for record in sample):
        return None
    return Guess(
        confidence=confidence,
        fields=renamed({"source": source, "target": target}),
        task={"tokenizer": {"name": "bpe", "vocab_size": 6000}}
        | tokenize_option(sacrebleu_tokenizer(joined(sample, target)), "13a"),
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
    scripts = without_blanks(joined(sample, texts[0])) != without_blanks(joined(sample, texts[1]))
    return tuple(texts) if scripts or max(lengths) < 2 * min(lengths) else ()


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

"""Which field of unknown records holds running text, and what model suits how much of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luban.core.contracts import Guess, Record
from luban.core.unicode_text import without_blanks
from luban.data.files.records import own_fields
from luban.data.media.media_files import holds_media
from luban.init.recognisers._fields import classes_in, columns_of, last_of

_TEXTS = ("text", "content", "body", "sentence", "article", "document")


#: From so many characters on a text is large.
_LARGE = 2_000_000


_KINDS = 20  #: values up to which a field may be the label, which a text is read for


_SHORT = 40  #: characters, on average, of what only tells of a text


def recognise(sample: Sequence[Record]) -> Guess | None:
    """Return the guess of a language model: any text will do, and other tasks are likelier."""
    if any(map(holds_media, sample[0].values() if sample else ())):
        return None
    sizes = _sizes(sample)
    text = next((name for name in _TEXTS if sizes.get(name)), "")
    text = text or max(sizes, key=lambda name: sizes[name], default="")
    if not sizes.get(text):
        return None
    texts = [_joined(record.get(text)) for record in sample]
    large = sizes[text] >= _LARGE
    chinese = without_blanks("".join(texts)[:_LARGE])
    tokenizer: Any = "char"
    if large or chinese:
        tokenizer = {"name": "bpe", "vocab_size": 16_000 if large else 6_000}
    lists = any(isinstance(record.get(text), list) for record in sample)
    alone = all(set(own_fields(record)) == {"text"} for record in sample)
    main = alone or _is_main(sample, text)
    hidden, layers, heads, batch, steps = (256, 6, 4, 32, 4000) if large else (128, 4, 2, 16, 1500)
    return Guess(
        confidence=0.5 if alone else 0.45 if main else 0.2,
        fields={"text": f"{{{text}}}"} if lists else {"text": text} if text != "text" else {},
        task={"context": 256, "tokenizer": tokenizer},
        model={
            "name": "gpt",
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "zero_init_output": True,
        },
        train={
            "max_steps": steps,
            "batch_size": batch,
            "optimizer": {"name": "muon", "learning_rate": 0.02},
            "schedule": "warmup-stable-decay",
            "eval_steps": max(50, steps // 10),
        },
        why="any text can be continued" if alone else f"{text!r} holds most text",
    )


def _is_main(sample: Sequence[Record], text: str) -> bool:
    """Return whether all other fields only tell of a text: its title, author, date."""
    if last_of(text) not in (*_TEXTS, "paragraphs", "lines"):
        return False
    for name, column in columns_of(sample).items():
        plain = all(isinstance(value, str | int | float | None) for value in column)
        long = plain and sum(len(str(value)) for value in column) > _SHORT * len(column)
        if name != text and (not plain or long or 0 < classes_in(column) <= _KINDS):
            return False
    return True


def _sizes(sample: Sequence[Record]) -> dict[str, int]:
    """Return the characters of each field that is a text, or lines of one, wherever it is."""
    sizes: dict[str, int] = {}
    for record in sample:
        for name, value in own_fields(record).items():
            if isinstance(value, str) or (isinstance(value, list) and _joined(value)):
                sizes[name] = sizes.get(name, 0) + len(_joined(value))
    return sizes


def _joined(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return value if isinstance(value, str) else ""

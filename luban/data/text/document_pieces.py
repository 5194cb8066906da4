"""Documents that come in pieces: encoded as parts of one text, not as texts of their own."""

from __future__ import annotations

from collections.abc import Sequence

from luban.core.contracts import Record, Tokenizer
from luban.data.text.padding import cut_at

#: Stands before a piece that goes on. Pieces are cut after a line, so a line end stood there.
_BEFORE = "\n"


def encode_pieces(
    tokenizer: Tokenizer, records: Sequence[Record], texts: Sequence[str]
) -> list[list[int]]:
    """Return the ids of texts; of pieces that go on, without what begins a text.

    Some tokenizers put a blank before every text. So a piece that goes on is encoded after a line
    end, whose tokens are left out.

    Args:
        tokenizer: What encodes.
        records: Where the texts come from; ``_first`` is false in a piece that goes on.
        texts: The text of each record.
    """
    goes_on = [not record.get("_first", True) for record in records]
    if not any(goes_on) or begins_as_it_goes_on(tokenizer):
        return tokenizer.encode_batch(texts)
    pieces = [text for text, on in zip(texts, goes_on, strict=True) if on]
    longer = iter(tokenizer.encode_spans([_BEFORE + piece for piece in pieces]))
    whole = iter(
        tokenizer.encode_batch([text for text, on in zip(texts, goes_on, strict=True) if not on])
    )
    found = []
    for on in goes_on:
        if on:
            ids, spans = next(longer)
            found.append(ids[cut_at(spans, len(_BEFORE)) :])
        else:
            found.append(next(whole))
    return found


def begins_as_it_goes_on(tokenizer: Tokenizer) -> bool:
    """Return whether a text begins as it goes on: nothing is put before it."""
    (ids, spans), (alone, _) = tokenizer.encode_spans([_BEFORE + "a", "a"])
    return ids[cut_at(spans, len(_BEFORE)) :] == alone

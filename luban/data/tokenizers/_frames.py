"""The special tokens that a post-processor of ``tokenizers`` puts around texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import tokenizers
from tokenizers import processors

from luban.core.contracts import SpecialTokenFrame
from luban.core.errors import DataError


def frame_of(fast: tokenizers.Tokenizer, *, pair: bool) -> SpecialTokenFrame:
    """Return what the post-processor of a tokenizer puts around one text, or around two.

    It is asked rather than read: there are several sorts of post-processors, and chains of them.

    Raises:
        DataError: if it does more than put special tokens before, between and after texts.
    """
    probe = next((text for text in _probes(fast) if _size(fast, text)), None)
    if probe is None:
        return SpecialTokenFrame()
    made, size = fast.encode(probe, probe if pair else None), _size(fast, probe)
    sides, ids, types = made.sequence_ids, made.ids, made.type_ids
    first = [place for place, side in enumerate(sides) if side == 0]
    second = [place for place, side in enumerate(sides) if side == 1]
    texts = [first, second] if pair else [first]
    whole = [list(range(text[0], text[0] + size)) if text else [-1] for text in texts]
    if texts != whole or (pair and first[0] > second[0]):
        raise DataError(
            "the post-processor of this tokenizer.json is not understood.",
            expected="special tokens before, between and after whole texts",
            got=" ".join(made.tokens),
        )
    start, end = first[0], texts[-1][-1] + 1
    between = range(first[-1] + 1, second[0]) if pair else range(0)
    return SpecialTokenFrame(
        before=tuple(ids[:start]),
        after=tuple(ids[end:]),
        between=tuple(ids[place] for place in between),
        types=(
            *types[:start],
            types[first[0]],
            *(types[place] for place in between),
            types[texts[-1][0]],
            *types[end:],
        ),
    )


def set_encoder_frame(fast: tokenizers.Tokenizer, start: int, separator: int) -> None:
    """Let a tokenizer write ``[CLS] A [SEP]`` and ``[CLS] A [SEP] B [SEP]`` (1810.04805)."""
    first, last = _names(fast, (start, separator))
    _set(fast, [first, "$A", last], [first, "$A", last, "$B:1", f"{last}:1"])


def set_closing_frame(fast: tokenizers.Tokenizer, end: int, before: Sequence[int] = ()) -> None:
    """Let a tokenizer put the end token after a text, and once after two, as Marian does."""
    first, (last,) = _names(fast, before), _names(fast, (end,))
    _set(fast, [*first, "$A", last], [*first, "$A", "$B", last])


def set_text_frame(fast: tokenizers.Tokenizer, before: str, after: str) -> None:
    """Let a tokenizer put a token before every text, and one after it, as transformers does.

    Args:
        fast: The tokenizer.
        before: The token before; empty: none.
        after: The token after; empty: none.
    """
    single = [part for part in (before, "$A", after) if part]
    _set(fast, single, [*single, *(f"{part.replace('$A', '$B')}:1" for part in single)])


def _set(fast: tokenizers.Tokenizer, single: list[str], pair: list[str]) -> None:
    known = {part.removesuffix(":1") for part in single + pair if not part.startswith("$")}
    named = [(token, fast.token_to_id(token)) for token in sorted(known)]
    fast.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=named
    )


def _names(fast: tokenizers.Tokenizer, ids: Sequence[int]) -> list[str]:
    """Return the tokens of ids."""
    return [token for index in ids if (token := fast.id_to_token(index)) is not None]


def _size(fast: tokenizers.Tokenizer, text: str) -> int:
    return len(fast.encode(text, add_special_tokens=False).ids)


def _probes(fast: tokenizers.Tokenizer) -> Iterator[str]:
    """Yield texts until the tokenizer keeps something of one."""
    yield from ("a", "the", "0")
    yield from fast.get_vocab(with_added_tokens=False)

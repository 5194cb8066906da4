"""Texts in which some special tokens are meant, and others are only spelled by somebody's data."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import tokenizers

from luban.core.errors import RequestError

_OPEN = "\U000f0000"  #: begins the names that special tokens go by where texts spell their own


class SpelledText:
    """Encodes whole texts in which special tokens stand by id, and text that spells one stays text.

    Where no text spells a special token, the ids are those that the library gives for the whole.
    Where one does, the library encodes with special tokens that bear other names, which no text
    spells. So what a normaliser does to the beginning of a text, or after a special token, is the
    same in both.

    Args:
        state: A ``tokenizer.json``.
    """

    def __init__(self, state: str) -> None:
        self._state = json.loads(state)
        for unneeded in ("truncation", "padding", "post_processor"):
            self._state[unneeded] = None  # the last one would move offsets
        self._fast = _loaded(self._state)
        added = self._fast.get_added_tokens_decoder().items()
        self.specials = {index: token.content for index, token in added if token.special}
        spelled = sorted(map(re.escape, self.specials.values()), key=len, reverse=True)
        #: Finds a special token in a text.
        self.pattern = re.compile("|".join(spelled) or r"(?!)")

    def encode(self, parts: Sequence[str | int]) -> tuple[list[int], list[tuple[int, int]]]:
        """Return ids, and the characters [first, last) of the whole text that each stands for.

        Args:
            parts: Pieces of text, and ids of special tokens.

        Raises:
            RequestError: if a text spells a special token and a name that stands for it here.
        """
        texts = [part for part in parts if isinstance(part, str)]
        if not any(map(self.pattern.search, texts)):
            whole = "".join(p if isinstance(p, str) else self.specials[p] for p in parts)
            found = self._fast.encode(whole, add_special_tokens=False)
            return found.ids, found.offsets
        if any(_OPEN in text for text in texts):
            raise RequestError(
                "a text that spells a special token has a private character.", got=ascii(_OPEN)
            )
        whole, places = "", [0]
        for part in parts:
            if isinstance(part, str):
                whole += part
                places += range(places[-1] + 1, places[-1] + len(part) + 1)
            else:
                name = self._names[part]
                whole += name
                places += [places[-1]] * (len(name) - 1) + [places[-1] + len(self.specials[part])]
        found = self._renamed.encode(whole, add_special_tokens=False)
        return found.ids, [(places[first], places[last]) for first, last in found.offsets]

    @cached_property
    def _names(self) -> dict[int, str]:
        return {index: f"{_OPEN}{index}{_OPEN}" for index in self.specials}

    @cached_property
    def _renamed(self) -> tokenizers.Tokenizer:
        """The same tokenizer, whose special tokens have names of their own."""
        new = {self.specials[index]: name for index, name in self._names.items()}
        state, model = dict(self._state), dict(self._state["model"])
        state["added_tokens"] = [
            {**token, "content": new.get(token["content"], token["content"])}
            for token in state["added_tokens"]
        ]
        vocabulary = model["vocab"]
        if isinstance(vocabulary, dict):
            model["vocab"] = {new.get(token, token): index for token, index in vocabulary.items()}
        else:
            model["vocab"] = [[new.get(token, token), score] for token, score in vocabulary]
        if model.get("unk_token") in new:
            model["unk_token"] = new[model["unk_token"]]
        if "merges" in model:
            model["merges"] = [merge for merge in model["merges"] if not _touches(merge, new)]
        return _loaded({**state, "model": model})


def _loaded(state: dict[str, Any]) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(json.dumps(state, ensure_ascii=False))


def _touches(merge: Any, names: dict[str, str]) -> bool:
    """Return whether a merge reads or makes a token that bears another name now."""
    parts = merge.split(" ") if isinstance(merge, str) else merge
    return "".join(parts) in names or any(part in names for part in parts)

"""Which scripts a text is written in, told by its code points."""

from __future__ import annotations

import re

import regex

_SCRIPTS = {
    "cjk": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af々〇]"),
    "latin": re.compile("[A-Za-zªº\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff]"),
}
_LETTER = regex.compile(r"\p{L}")


def script_shares(text: str) -> dict[str, float]:
    """Return the share of letters that are ``cjk``, ``latin`` and ``other``; 0 without letters."""
    letters = len(_LETTER.findall(text))
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS.items()}
    counts["other"] = max(0, letters - sum(counts.values()))
    total = sum(counts.values())
    return {name: count / total if total else 0.0 for name, count in counts.items()}

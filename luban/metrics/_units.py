"""Words or characters: what a text is made of for counting."""

from __future__ import annotations

import unicodedata

from luban.core.unicode_text import characters, pieces, words


def units(text: str) -> list[str]:
    """Return what blanks divide; in scripts without blanks, character by character."""
    return pieces(text)


def lexical_units(text: str) -> list[str]:
    """Return the words of a text in lower case; of a text without any, its signs."""
    plain = unicodedata.normalize("NFC", text).lower()
    return words(plain) or characters(plain)

"""Words or characters: what a text is made of for counting."""

from __future__ import annotations


def units(text: str) -> list[str]:
    """Return the words of a text, or its characters if it is hardly written with spaces."""
    words = text.split()
    characters = sum(map(len, words))
    if not words or characters / len(words) > 12:
        return [character for character in text if not character.isspace()]
    return words

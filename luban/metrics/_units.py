"""Words or characters: what a text is made of for counting."""

from __future__ import annotations

import re

#: Chinese characters and Japanese kana: each is a unit, since no blanks divide words.
_CJK = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_UNIT = re.compile(f"[{_CJK}]|[^\\s{_CJK}]+")


def words(text: str) -> list[str]:
    """Return what blanks divide, Chinese character by character."""
    return _UNIT.findall(text)


def units(text: str) -> list[str]:
    """Return the words of a text, Chinese character by character.

    Text that is hardly written with blanks in another script (Thai, say) falls into characters.
    """
    found = words(text)
    if sum(map(len, found)) > 12 * len(found):
        return [character for character in text if not character.isspace()]
    return found

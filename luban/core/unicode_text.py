"""Words and characters of a text in any script: the one place that says what a letter is.

A word is made of letters (category L), digits (N) and the marks on them (M: vowel signs, accents);
the ``re`` of Python does not count marks, and so breaks Hindi, Thai or decomposed accents in the
middle of a word. Joiners within a word belong to it (UAX 29). In scripts that are written without
blanks between words, every letter is a word, with its marks.
"""

from __future__ import annotations

from typing import TypeAlias

import regex

Span: TypeAlias = tuple[int, int]  #: characters [first, last)

#: Scripts that are written without blanks between words.
WITHOUT_BLANKS = (
    "Han", "Hiragana", "Katakana", "Bopomofo", "Yi", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan",
    "Javanese", "Balinese", "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet",
)  # fmt: skip
_GOOD_PART = 0.3  #: share of letters; names and terms of other scripts stand between them
#: What stands between brackets in a pattern for a character of these scripts, signs and all.
UNSPACED = "".join(rf"\p{{scx={name}}}" for name in WITHOUT_BLANKS)
_MARKS = r"[\p{M}\p{EMod}]*"
_ALONE = rf"[[{UNSPACED}]&&[\p{{L}}\p{{Nl}}]]"
_CHARACTER = rf"{_ALONE}\p{{M}}*"
_RUN = rf"[[\p{{L}}\p{{N}}]--{_ALONE}][[\p{{L}}\p{{M}}\p{{N}}]--{_ALONE}]*"
_JOINED = rf"{_RUN}(?:[\u00AD\u200C\u200D\u2060]+{_RUN})*"
#: Blank as ``str.split`` has it, and a sign: flags and joined emoji are one.
_BLANK = r"\s\x1c-\x1f"
_SIGN = rf"\p{{RI}}\p{{RI}}|[^{_BLANK}]{_MARKS}(?:\u200D\p{{ExtPict}}{_MARKS})*"
#: The pattern of ``parts``.
PARTS = f"(?V1){_JOINED}|{_CHARACTER}|{_SIGN}"
#: Likewise, each character a part of its own, with its marks.
CHARACTERS = f"(?V1){_SIGN}"


def _compiled(pattern: str) -> regex.Pattern[str]:
    return regex.compile(f"(?V1){pattern}")


_alone = _compiled(_ALONE)
_unspaced = regex.compile(f"[{UNSPACED}]")
_european = _compiled(r"[[\p{scx=Latin}\p{scx=Greek}\p{scx=Cyrillic}]&&\p{L}]")
_letter = _compiled(r"\p{L}")
_word = _compiled(f"{_JOINED}|{_CHARACTER}")
_part = regex.compile(PARTS)
_token = _compiled(f"{_JOINED}(?:[.,']{_JOINED})*|{_CHARACTER}|{_SIGN}")
_piece = _compiled(rf"{_CHARACTER}|(?:(?!{_ALONE})[^{_BLANK}])+")
_character = regex.compile(CHARACTERS)
_only_letters = regex.compile(r"[\p{L}\p{M}]+")
_signs = regex.compile(r"[^\p{L}\p{M}\p{N}]+")
_unfit = regex.compile(r"[^\p{L}\p{M}\p{N}_.-]+")


def words(text: str) -> list[str]:
    """Return runs of letters and digits, and each character of scripts without blanks.

    Signs are left out.
    """
    return [match[0] for match in _word.finditer(text)]


def parts(text: str, *, characters: bool = False) -> list[Span]:
    """Return where ``words`` (or characters) and other signs stand; blanks are part of none."""
    return [match.span() for match in (_character if characters else _part).finditer(text)]


def tokens(text: str) -> list[str]:
    """Return words and signs, as ``parts``; a word or number keeps the point or comma inside."""
    return [match[0] for match in _token.finditer(text)]


def pieces(text: str) -> list[str]:
    """Return what blanks divide, signs and all, and each character of scripts without blanks."""
    return [match[0] for match in _piece.finditer(text)]


def characters(text: str) -> list[str]:
    """Return the characters of a text as readers see them, with their marks, without blanks."""
    return [match[0] for match in _character.finditer(text)]


def alone(text: str) -> bool:
    """Return whether a text begins with a character of a script without blanks."""
    return _unspaced.match(text) is not None


def unspaced_share(text: str) -> float:
    """Return the share of letters that belong to scripts without blanks; 0 without letters."""
    letters = len(_letter.findall(text))
    return min(1.0, sum(1 for _ in _alone.finditer(text)) / letters) if letters else 0.0


def european_share(text: str) -> float:
    """Return the share of letters that are Latin, Greek or Cyrillic; 1 without letters."""
    letters = len(_letter.findall(text))
    return len(_european.findall(text)) / letters if letters else 1.0


def without_blanks(text: str) -> bool:
    """Return whether a text is written without blanks between words, for a good part of it."""
    return unspaced_share(text) > _GOOD_PART


def only_letters(text: str) -> bool:
    """Return whether a text is letters and marks, at least one."""
    return _only_letters.fullmatch(text) is not None


def without_signs(text: str, instead: str = "") -> str:
    """Return a text with whatever is no letter, mark or digit replaced."""
    return str(_signs.sub(instead, text))


def file_name(text: str, instead: str = "-") -> str:
    """Return a text with whatever is no letter, mark, digit or one of ``_.-`` replaced."""
    return str(_unfit.sub(instead, text))

"""Texts that end an answer, looked for as the answer grows."""

from __future__ import annotations

from collections.abc import Sequence

#: Most texts that end an answer, and most characters of each.
MOST_STOPS, MOST_STOP_CHARACTERS = 16, 1024


class StopTexts:
    """Looks for several texts in one that grows, and reads each character once.

    The algorithm of Knuth, Morris and Pratt (1977), one automaton per text: the time grows with
    the length of the answer, not with that of the texts. What ends an answer is the text that
    begins first, however the answer comes in parts.

    Args:
        stops: The texts, none of them empty.

    Attributes:
        found: Where the first one begins, as far as is known.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._automata = [_Automaton(stop) for stop in stops]
        self._length = 0
        self.found: int | None = None

    def add(self, text: str) -> int | None:
        """Read what the text grew by; return where a stop text begins, if none begins before it."""
        for automaton in self._automata:
            end = automaton.read(text)
            if end is not None:
                begin = self._length + end - len(automaton.text)
                self.found = begin if self.found is None else min(self.found, begin)
        self._length += len(text)
        return self.found if self.found == self._length - self.held else None

    @property
    def held(self) -> int:
        """How many characters at the end of the text are not known to be part of the answer."""
        held = max((automaton.matched for automaton in self._automata), default=0)
        return held if self.found is None else max(held, self._length - self.found)


class _Automaton:
    """Knows how much of the beginning of a text the characters read so far end with."""

    def __init__(self, text: str) -> None:
        self.text, self.matched, self._over = text, 0, False
        #: For each beginning of the text: the longest shorter one that it ends with.
        self._borders = [0] * (len(text) + 1)
        border = 0
        for place in range(1, len(text)):
            border = self._next(border, text[place])
            self._borders[place + 1] = border

    def read(self, text: str) -> int | None:
        """Read further characters; return the place behind the first whole match, once."""
        place = 0
        while place < len(text) and not self._over:
            if not self.matched:  # the usual case, at the speed of str.find
                place = text.find(self.text[0], place)
                if place < 0:
                    return None
            self.matched = self._next(self.matched, text[place])
            place += 1
            if self.matched == len(self.text):
                self.matched, self._over = 0, True
                return place
        return None

    def _next(self, matched: int, character: str) -> int:
        while matched and self.text[matched] != character:
            matched = self._borders[matched]
        return matched + 1 if self.text[matched] == character else 0

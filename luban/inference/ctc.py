"""What was said: the text of an alignment by CTC, position by position or as a search.

An output at each position is a token or the blank; a text is what is left when repeats are
merged and blanks dropped (Graves et al. 2006, section 3).
Shapes: S positions, V outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"
#: A text so far to the natural logarithm of the probability of each token next, (V,).
LanguageModel: TypeAlias = Callable[[Sequence[int]], Array]

#: What a request to a server may set of the search, from the least to the most.
ADJUSTABLE = {"num_beams": (1, 100), "lm_weight": (0, 100), "token_bonus": (-100, 100)}
_NEVER = -math.inf


@dataclass(frozen=True, slots=True)
class Search:
    """How a text is searched.

    Attributes:
        blank: The output that says nothing.
        num_beams: Texts kept at each position; 1 without a language model: the likeliest output
            of each position counts.
        language_model: What says which tokens follow each other, if anything does.
        lm_weight: a in log P(sounds | text) + a log P(text) + b |text|.
        token_bonus: b: what a language model takes from long texts.
        end: The token that ends a text in the language model.
        least: Tokens less likely than this at a position do not go on any text there.
    """

    blank: int
    num_beams: int = 1
    language_model: LanguageModel | None = None
    lm_weight: float = 0.0
    token_bonus: float = 0.0
    end: int | None = None
    least: float = 1e-4

    def __call__(self, logs_SV: Array) -> tuple[list[int], float]:
        """Return the tokens of the best text, and the mean log-probability of a position.

        Args:
            logs_SV: Natural logarithms of the probability of each output.
        """
        if self.num_beams == 1 and self.language_model is None:
            return greedy(logs_SV, self.blank)
        return prefix_beam(logs_SV, self)


def merged(path: Sequence[int], blank: int) -> list[int]:
    """Return the text of an alignment: repeats merged, blanks dropped."""
    pairs = zip([None, *path], path, strict=False)
    return [token for before, token in pairs if token not in (before, blank)]


def greedy(logs_SV: Array, blank: int) -> tuple[list[int], float]:
    """Return the text of the likeliest alignment, and its mean log-probability."""
    if not len(logs_SV):
        return [], 0.0
    path = logs_SV.argmax(1)
    return merged(path.tolist(), blank), float(logs_SV[np.arange(len(path)), path].mean())


@dataclass(slots=True)
class _Beam:
    """A text so far.

    Attributes:
        blank: log P of all alignments of it that end with the blank.
        token: Likewise, with its last token.
        language: log P(text) in the language model.
    """

    blank: float = _NEVER
    token: float = _NEVER
    language: float = 0.0

    @property
    def heard(self) -> float:
        """Log P(sounds | text)."""
        return _sum(self.blank, self.token)


_Beams: TypeAlias = dict[tuple[int, ...], _Beam]


def prefix_beam(logs_SV: Array, search: Search) -> tuple[list[int], float]:
    """Return the likeliest text over all its alignments (Hannun et al. 2014, 1408.2873).

    All alignments of one text so far are one beam; the language model is asked once a token is
    added, and at the end whether the text may end there. With beams enough, and nothing too
    unlikely to be tried, no text is better.
    """
    blank, weight, floor = search.blank, search.lm_weight, math.log(max(search.least, 1e-300))
    said = _Asked(search.language_model)

    def score(text: tuple[int, ...], beam: _Beam) -> float:
        return beam.heard + weight * beam.language + search.token_bonus * len(text)

    beams: _Beams = {(): _Beam(blank=0.0)}
    for logs in logs_SV:
        tokens = np.flatnonzero(logs >= min(floor, logs.max())).tolist()
        likely = {token: float(logs[token]) for token in tokens if token != blank}
        following: _Beams = {}
        for text, beam in beams.items():
            _go_on(following, text, beam, logs, blank)
            _grow(following, text, beam, likely, said)
        best = sorted(following.items(), key=lambda item: -score(*item))
        beams = dict(best[: search.num_beams])
        said.forget_all_but(beams)
    if search.end is not None:
        for text, beam in beams.items():
            beam.language += said(text, search.end)
    text, beam = max(beams.items(), key=lambda item: score(*item))
    return list(text), beam.heard / max(1, len(logs_SV))


def _go_on(
    following: _Beams, text: tuple[int, ...], beam: _Beam, logs_V: Array, blank: int
) -> None:
    """Let a text stay what it is for one more position: silence, or its last token goes on."""
    same = following.setdefault(text, _Beam(language=beam.language))
    same.blank = _sum(same.blank, beam.heard + float(logs_V[blank]))
    if text:
        same.token = _sum(same.token, beam.token + float(logs_V[text[-1]]))


def _grow(
    following: _Beams,
    text: tuple[int, ...],
    beam: _Beam,
    likely: Mapping[int, float],
    said: _Asked,
) -> None:
    """Add one token to a text."""
    for token, log in likely.items():
        # A token that is said twice needs a blank in between.
        before = beam.blank if text and token == text[-1] else beam.heard
        if before == _NEVER:
            continue
        longer = (*text, token)
        if longer not in following:
            following[longer] = _Beam(language=beam.language + said(text, token))
        following[longer].token = _sum(following[longer].token, before + log)


class _Asked:
    """A language model that is asked once for each text, for as long as the text is a beam."""

    def __init__(self, model: LanguageModel | None) -> None:
        self._model = model
        self._known: dict[tuple[int, ...], Array] = {}

    def __call__(self, text: tuple[int, ...], token: int) -> float:
        if self._model is None:
            return 0.0
        if text not in self._known:
            self._known[text] = self._model(text)
        return float(self._known[text][token])

    def forget_all_but(self, texts: Collection[tuple[int, ...]]) -> None:
        """Keep the answers for these texts alone: an answer is as large as the vocabulary."""
        self._known = {text: known for text, known in self._known.items() if text in texts}


def _sum(a: float, b: float) -> float:
    """Return log(e^a + e^b)."""
    if a < b:
        a, b = b, a
    return a if b == _NEVER else a + math.log1p(math.exp(b - a))

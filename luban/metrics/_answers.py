"""How answers are compared: normalised, cut into units, each against the best of the references.

English as in SQuAD's ``evaluate-v2.0.py`` (Rajpurkar et al. 2016, 1606.05250; 2018, 1806.03822),
Chinese as in ``cmrc2018_evaluate.py`` (Cui et al. 2019, 1810.07366), which cuts what is not
Chinese by NLTK's rules: numbers and words come out alike. Other scripts without blanks are cut
into characters too.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Sequence

import regex

from luban.core.unicode_text import tokens

_ARTICLES = regex.compile(r"(?<![\w\p{M}])(a|an|the)(?![\w\p{M}])")
_DELETED = str.maketrans("", "", string.punctuation)
#: The signs that the Chinese evaluation leaves out; no other is.
_SIGNS = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》……·、「」（）－～『』")


def normalised(text: str, language: str) -> str:
    """Return what must be equal for an exact match.

    English: lower case, without punctuation, articles and doubled blanks. Chinese: lower case,
    without the signs of the evaluation.
    """
    if language == "zh":
        return text.lower().strip().translate(_SIGNS)
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_DELETED)).split())


def exact(answer: str, reference: str, language: str) -> float:
    """Return 1 if both are the same, normalised."""
    return float(normalised(answer, language) == normalised(reference, language))


def f1(answer: str, reference: str, language: str) -> float:
    """Return the harmonic mean of the shares of units that both texts have in common.

    English: words, in any order. Chinese: characters and words, those of the longest run that
    both contain.
    """
    said, true = _units(answer, language), _units(reference, language)
    if not said or not true:
        return float(said == true)
    common = (
        _longest_run(said, true) if language == "zh" else (Counter(said) & Counter(true)).total()
    )
    return 2 * common / (len(said) + len(true))


def best(
    compare: Callable[[str, str, str], float], answer: str, references: Sequence[str], language: str
) -> float:
    """Return the best comparison with any reference; no reference stands for no answer.

    As in SQuAD 2.0, a reference of which nothing is left when normalised does not count.
    """
    kept = [reference for reference in references if normalised(reference, language)] or [""]
    return max(compare(answer, reference, language) for reference in kept)


def _units(text: str, language: str) -> list[str]:
    plain = normalised(text, language)
    return tokens(plain) if language == "zh" else plain.split()


def _longest_run(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest sequence that stands in both without a gap."""
    longest, before = 0, [0] * (len(b) + 1)
    for unit in a:
        row = [0] * (len(b) + 1)
        for j, other in enumerate(b):
            if unit == other:
                row[j + 1] = before[j] + 1
        longest, before = max(longest, *row), row
    return longest

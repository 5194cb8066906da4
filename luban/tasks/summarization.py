"""Say a long text in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import regex
from pydantic import Field

from luban.core.contracts import (
    Baseline,
    Example,
    Examples,
    Metric,
    TargetSummary,
)
from luban.core.unicode_text import words
from luban.metrics.rouge import Rouge
from luban.tasks.inputs.sequence_pair import SequencePair

#: Ends of sentences in any script: Unicode's Sentence_Terminal, and a blank but after wide signs.
_SENTENCE = regex.compile(r"(?<=\p{STerm})\s+|(?<=[。．！？｡])")
#: Training summaries that the baseline looks at, at most.
_LOOKED_AT = 10_000
_WORDLESS = "summaries without a word, of which ROUGE compares the signs"


class Summarization(SequencePair):
    """From ``document`` to ``summary``, which may be a list of summaries.

    Of several summaries the first is learned; a written one is measured against the one it
    shares most with.
    """

    reads: ClassVar[str] = "document"
    writes: ClassVar[str] = "summary"

    tokenize: Literal["words", "characters"] = Field(
        default="words",
        description="What ROUGE counts: words with Porter stems, or without. In scripts without "
        "blanks, such as Chinese, a character is a word.",
    )

    def target_summary(self, example: Example) -> TargetSummary:
        """Every token of the summary counts; it is noted if no summary of a record has a word."""
        found = super().target_summary(example)
        if any(map(words, self.target(example)["references"])):
            return found
        return replace(found, notes={_WORDLESS: 1})

    def metrics(self) -> tuple[Metric, ...]:
        """Return ROUGE-1, ROUGE-2 and ROUGE-L."""
        return tuple(
            Rouge(type=kind, tokenize=self.tokenize) for kind in ("rouge1", "rouge2", "rougeL")
        )

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return the lead: the beginning of the document, as long as summaries are in training.

        That is as many sentences, or of Chinese as many characters, as they have on average.
        """
        looked_at = range(min(len(train), _LOOKED_AT))
        firsts = [self.target(train[index])["references"][0] for index in looked_at]
        by_character = self.tokenize == "characters"
        sizes = [len(text if by_character else _SENTENCE.split(text)) for text in firsts]
        size = max(1, round(float(np.mean(sizes))))

        def lead(example: Example) -> Any:
            text = self.source(example)
            if by_character:
                return {"text": text[:size]}
            return {"text": " ".join(_SENTENCE.split(text)[:size])}

        return {"lead": lead}

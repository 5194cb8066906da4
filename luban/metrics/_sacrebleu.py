"""What the metrics of sacrebleu share: sums of the statistics of sentences (Post 2018).

The score of a corpus is a function of summed statistics, so a row holds those of one sentence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from luban.core.contracts import Statistics
from luban.core.extras import require


def scorer(name: str, **options: Any) -> Any:
    """Return a metric of sacrebleu.

    Raises:
        MissingExtra: without sacrebleu.
    """
    return getattr(require("sacrebleu.metrics", "text"), name)(**options)


def statistics(scorer: Any, prediction: Any, target: Any) -> Statistics:
    """Return the number of references, then the statistics of one sentence."""
    references = list(target["references"]) or [""]
    (found,) = scorer._extract_corpus_statistics([prediction["text"]], [[r] for r in references])
    return (float(len(references)), *map(float, found))


def corpus_score(scorer: Any, rows: np.ndarray[Any, Any]) -> float:
    """Return the score of the summed statistics, as sacrebleu gives it."""
    return float(scorer._compute_score_from_stats(rows[:, 1:].sum(0).tolist()).score)


def signature(scorer: Any, rows: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]) -> str:
    """Return sacrebleu's signature, without which a score can be compared with no other.

    Args:
        scorer: The metric of sacrebleu.
        rows: What ``statistics`` returned, (N, K).
        lengths: Units of each reference, (N,): it is told how many have none.
    """
    references = np.unique(rows[:, 0])
    scorer.num_refs = int(references[0]) if len(references) == 1 else -1
    count = int((lengths == 0).sum())
    wordless = f"; {count:,} of {len(rows):,} references have no word" if count else ""
    return f"sacrebleu {scorer.get_signature().format()}{wordless}"

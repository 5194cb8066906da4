"""Say a text in another language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from luban.core.contracts import Baseline, Example, Examples, Metric
from luban.metrics.bleu import Bleu
from luban.metrics.chrf import Chrf
from luban.metrics.ter import Ter
from luban.tasks.inputs.sequence_pair import SequencePair


class Translation(SequencePair):
    """From ``source`` to ``target``, which may be a list of translations."""

    reads: ClassVar[str] = "source"
    writes: ClassVar[str] = "target"

    tokenize: Literal["13a", "intl", "zh", "char"] = Field(
        default="13a", description="How sacrebleu cuts translations; zh for Chinese ones."
    )

    def metrics(self) -> tuple[Metric, ...]:
        """Return BLEU, chrF and TER, as sacrebleu computes them."""
        by_character = self.tokenize in ("zh", "char")
        return (
            Bleu(tokenize=self.tokenize),
            Chrf(),
            Ter(tokenize="zh" if by_character else "tercom"),
        )

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return the source as it is: names and numbers are right, the rest is not."""

        def copy(example: Example) -> Any:
            return {"text": self.source(example)}

        return {"copy": copy}

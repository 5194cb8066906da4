"""How well objects are found: the area under precision over recall, a mean over classes."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from pydantic import Field

from luban.core.contracts import Metric, Statistics
from luban.metrics._detections import (
    OVERLAPS,
    RECALLS,
    best_objects,
    counted,
    matches,
    precision_at_recalls,
    score_of,
)

Array: TypeAlias = "np.ndarray[Any, Any]"

#: Numbers kept of a detection: score, class, and at which overlaps it is right or does not count.
_KEPT = 3
_POWERS = 2 ** np.arange(2 * len(OVERLAPS))


class MeanAveragePrecision(Metric):
    """COCO's mAP (Lin et al. 2014, 1405.0312): equal to ``pycocotools``; it can be resampled.

    A detection is right if its overlap with a true box of its class, free so far, is large
    enough: an IoU of .5, or each of .5, .55, … .95 in turn. In a ``crowd``, a box around a
    group, and on an object that is ``difficult`` to see, it is neither right nor wrong.
    Precision is looked up at 101 recalls; the mean is over
    these, the overlaps, and the classes that occur.
    """

    classes: tuple[str, ...]
    overlap: Literal["50", "50-95"] = Field(default="50", description="IoU in percent.")
    only: str | None = Field(default=None, description="The average precision of this class.")
    max_detections: int = Field(
        default=100, ge=1, le=16_777_216, description="The best of an image that count."
    )
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @property
    def label(self) -> str:
        """``map@50`` or ``map@50-95``; of one class ``ap@50/NAME``."""
        return f"map@{self.overlap}" if self.only is None else f"ap@{self.overlap}-{self.only}"

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        """Return score, class and matches of each detection, and true boxes by class.

        With ``only``, those of its class: the others are no matter, and matching takes time.
        """
        known = {name: number for number, name in enumerate(self.classes)}
        found = [one for one in prediction["objects"] if one["label"] in known]
        found = best_objects(found, self.max_detections)
        if self.only is not None:
            found = [one for one in found if one["label"] == self.only]
        table = np.full((self.max_detections, _KEPT), -1.0)
        if found:
            bits = _POWERS @ np.concatenate(matches(found, target["objects"]))
            kept = [(score_of(one), known[one["label"]]) for one in found]
            table[: len(found)] = np.column_stack([np.array(kept), bits])
        there = np.zeros(len(self.classes))
        for one in target["objects"]:
            if counted(one):
                there[known[one["label"]]] += 1
        return (*table.ravel().tolist(), *there.tolist())

    def compute(self, statistics: Array) -> float:
        """Return the mean; 0 where no class occurs."""
        curves = self._curves(statistics, OVERLAPS[:1] if self.overlap == "50" else OVERLAPS)
        return float(np.mean([curve.mean() for curve in curves.values()])) if curves else 0.0

    def undefined(self, statistics: Array) -> bool:
        """Return whether no class asked for occurs."""
        return not self._curves(statistics, OVERLAPS[:1])

    def plot(self, axes: Any, statistics: Array) -> bool:
        """Draw precision over recall of each class, at an IoU of .5."""
        if self.only is not None or self.overlap != "50":
            return False
        for name, curve in self._curves(statistics, OVERLAPS[:1]).items():
            axes.plot(RECALLS, curve[0], label=f"{name} ({curve[0].mean():.3f})")
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.set_title("precision over recall, overlap of 50 %")
        axes.grid(alpha=0.25)
        if len(self.classes) <= 20:
            axes.legend(frameon=False, loc="lower left")
        return True

    def _curves(self, statistics: Array, overlaps: Array) -> dict[str, Array]:
        """Return precision at ``RECALLS`` for each class asked for that occurs, (T, 101)."""
        width = self.max_detections * _KEPT
        found = statistics[:, :width].reshape(-1, _KEPT)
        found = found[found[:, 0] >= 0]
        there = statistics[:, width:].sum(0)
        bits = found[:, 2].astype(np.int64)
        places = np.arange(len(overlaps))[:, None]
        right = (bits >> places & 1).astype(bool)
        counts = ~(bits >> places + len(OVERLAPS) & 1).astype(bool)
        curves = {}
        for number, name in enumerate(self.classes):
            if there[number] and self.only in (None, name):
                mine = found[:, 1] == number
                curves[name] = precision_at_recalls(
                    found[mine, 0], right[:, mine], there[number], counts[:, mine]
                )
        return curves

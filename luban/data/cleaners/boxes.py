"""Drop boxes that cannot be the box of anything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from luban.core.contracts import Cleaner, Record, Tally


class Boxes(Cleaner):
    """Drops objects whose box has no area, or is smaller than asked; the image stays.

    Only ``objects`` are looked at: records without them pass. What is no box at all is left for
    the task to refuse.
    """

    min_side: float = Field(default=0.0, ge=0, description="Pixels; smaller boxes are dropped.")

    def clean(self, records: Iterable[Record], tally: Tally) -> Iterator[Record]:
        """Yield every record, without the objects that were dropped."""
        for record in records:
            objects = record.get("objects")
            if not isinstance(objects, Sequence) or isinstance(objects, str):
                yield record
                continue
            kept = [one for one in objects if not self._is_empty(one)]
            if dropped := len(objects) - len(kept):
                gone = [one["box"] for one in objects if self._is_empty(one)]
                tally.add("empty boxes dropped", f"{record.get('_where', '')}: {gone}", dropped)
                record = {**record, "objects": kept}
            yield record

    def _is_empty(self, one: Any) -> bool:
        box = one.get("box") if isinstance(one, Mapping) else None
        if not isinstance(box, Sequence) or isinstance(box, str) or len(box) != 4:
            return False
        if not all(type(side) in (int, float) and math.isfinite(side) for side in box):
            return False
        side = float(min(box[2] - box[0], box[3] - box[1]))
        return side <= 0 or side < self.min_side

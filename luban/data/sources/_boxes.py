"""What sources of images with boxes share: boxes in pixels, what is dropped, pairs by split."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import Field

from luban.core.contracts import Record, SetApart, Source
from luban.core.errors import DataError
from luban.data.checks.set_apart import tried
from luban.data.files.archives import Tree, field_of
from luban.data.files.split_names import SPLITS

Box = tuple[float, float, float, float]


@dataclass(slots=True)
class Annotated:
    """An image and what is known of it, before it is read.

    Attributes:
        image: Its name in the tree.
        notes: The name of what describes it; empty: there is nothing.
    """

    image: str
    notes: str = ""


#: By split: images with what describes them, and in their places what is set apart.
Pairs: TypeAlias = dict[str, list["Annotated | SetApart"]]


class PairSource(Source, ABC):
    """A folder or archive in which a file describes each image."""

    path: str = Field(description="The folder, .tar or .zip.")

    def splits(self) -> tuple[str, ...]:
        """Return the splits that the data tell."""
        return tuple(self._pairs)

    def read(self, split: str) -> Iterator[Record]:
        """Yield the images of a split; set apart: one that is damaged, missing or not described.

        Raises:
            DataError: if it cannot be told what describes what.
        """
        for pair in self._pairs[split]:
            yield self._entry(pair, Dropped())

    def files(self) -> tuple[Path, ...]:
        """Return the files of all splits."""
        return self._tree.files(dict.fromkeys([*self._used, *self._others()]))

    def facts(self) -> Mapping[str, str]:
        """Return which boxes were dropped and which files were left out, if any were."""
        dropped = Dropped()
        for pairs in self._pairs.values():
            for pair in pairs:
                self._entry(pair, dropped)
        return {**dropped.facts(), **left_out(self._left_out())}

    @property
    @abstractmethod
    def _pairs(self) -> Pairs:
        """The images of each split."""

    @abstractmethod
    def _record(self, pair: Annotated, dropped: Dropped) -> Record:
        """Return the record of an image."""

    @abstractmethod
    def _others(self) -> Sequence[str]:
        """Return the names of further files that were read."""

    @abstractmethod
    def _left_out(self) -> Mapping[str, Sequence[str]]:
        """Return the names of files that no record is made of, by what they are."""

    @cached_property
    def _tree(self) -> Tree:
        return Tree(Path(self.path).expanduser())

    @cached_property
    def _used(self) -> dict[str, None]:
        pairs = [p for found in self._pairs.values() for p in found if isinstance(p, Annotated)]
        return dict.fromkeys(name for p in pairs for name in (p.image, p.notes) if name)

    def _entry(self, pair: Annotated | SetApart, dropped: Dropped) -> Record:
        if isinstance(pair, SetApart):
            return pair
        return tried(partial(self._record, pair, dropped), f"{self._tree[pair.image].where}:1")

    def _images(self) -> list[str]:
        return sorted(name for name in self._tree if field_of(name) == "image")


@dataclass(slots=True)
class Dropped:
    """Boxes that no detector can learn from, by why."""

    counts: Counter[str] = field(default_factory=Counter)
    first: str = ""

    def add(self, why: str, where: str) -> None:
        """Count one."""
        self.counts[why] += 1
        self.first = self.first or where

    def facts(self) -> Mapping[str, str]:
        """Return it as a fact of the data; empty if nothing was dropped."""
        if not self.counts:
            return {}
        kinds = ", ".join(f"{times:,} {why}" for why, times in self.counts.most_common())
        return {"dropped boxes": f"{kinds} ({self.first} the first)"}


def box_of(
    corners: tuple[float, float, float, float],
    size: tuple[float, float],
    where: str,
    dropped: Dropped,
) -> list[float] | None:
    """Return a box within its image; None, counted, if it has no area there.

    Args:
        corners: x1, y1, x2, y2 in pixels.
        size: Width and height of the image; 0 if they are not known.
        where: For messages.
        dropped: What counts.

    Raises:
        DataError: if a number is not finite.
    """
    if not all(map(math.isfinite, corners)):
        raise DataError("this box has a number that is not finite.", where=where, got=corners)
    width, height = (side or math.inf for side in size)
    x1, x2 = (float(min(max(x, 0), width)) for x in corners[::2])
    y1, y2 = (float(min(max(y, 0), height)) for y in corners[1::2])
    if x2 <= x1 or y2 <= y1:
        flat = corners[2] <= corners[0] or corners[3] <= corners[1]
        dropped.add("without area" if flat else "outside their image", where)
        return None
    return [x1, y1, x2, y2]


def told_size(size: Sequence[float]) -> Mapping[str, int]:
    """Return width and height as fields of a record, if they are known."""
    names = ("width", "height")
    return {name: int(side) for name, side in zip(names, size, strict=True)} if all(size) else {}


def left_out(kinds: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
    """Return which files no record is made of as a fact of the data; empty if there are none."""
    found = [f"{len(names):,} {kind} ({names[0]} …)" for kind, names in kinds.items() if names]
    return {"left out": ", ".join(found)} if found else {}


def lone(candidates: Sequence[str], what: str, where: str) -> str:
    """Return the one of several names; empty: there is none.

    Raises:
        DataError: if there are several: which is meant cannot be told.
    """
    if len(candidates) > 1:
        raise DataError(
            f"{what} is not clear.", where=where, expected="one", got=", ".join(candidates[:5])
        )
    return candidates[0] if candidates else ""


def refuse_twice(seen: dict[Any, str], key: Any, what: str, place: str, where: object) -> None:
    """Remember where a key stands.

    Args:
        seen: Keys and where they stand.
        key: The key.
        what: What it is, for the message: ``the image id 1``.
        place: Where it stands within ``where``.
        where: For messages.

    Raises:
        DataError: if it stands somewhere else already; it names both places.
    """
    if key in seen:
        raise DataError(
            f"{what} stands twice.",
            where=where,
            expected="each once",
            got=f"{seen[key]} and {place}",
            fix="number or name them anew, or remove one.",
        )
    seen[key] = place


def in_order(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table of splits, train first; without train, all is train."""
    if "train" in found or not found:
        return {split: found[split] for split in SPLITS if split in found}
    return {"train": [pair for split in SPLITS for pair in found.get(split, ())]}


def numbers(texts: Sequence[Any], where: str) -> list[float]:
    """Return texts as numbers.

    Raises:
        DataError: if one is none.
    """
    try:
        return [float(text) for text in texts]
    except (TypeError, ValueError):
        raise DataError("a box needs numbers.", where=where, got=f"{texts}") from None

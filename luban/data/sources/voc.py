"""Pascal VOC: an XML file for each image, with its objects and their boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from pydantic import Field

from luban.core.contracts import Record, Source
from luban.core.errors import DataError
from luban.data.members import Tree
from luban.data.sources._boxes import (
    Annotated,
    Dropped,
    box_of,
    image_named,
    in_order,
    numbers,
    told_size,
)
from luban.data.sources._files import SPLIT_NAMES

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Voc(Source):
    """A folder, .tar or .zip of Pascal VOC: a record has ``image`` and ``objects``.

    ``Annotations/*.xml`` lie beside ``JPEGImages``, or each beside its image. The splits are those
    of ``ImageSets/Main`` (train, val and test; trainval if there is no train), else folders called
    train, val and test. Boxes are taken as they are written (no pixel is subtracted) and cut at
    the edges of the image; those without area are dropped and counted.
    """

    path: str = Field(description="The folder or archive.")
    difficult: bool = Field(
        default=True, description="Whether objects marked as difficult to see are kept."
    )

    def splits(self) -> tuple[str, ...]:
        """Return the splits that image sets or folders tell."""
        return tuple(self._pairs)

    def read(self, split: str) -> Iterator[Record]:
        """Yield the images of a split.

        Raises:
            DataError: if a description is damaged or has no image.
        """
        for pair in self._pairs[split]:
            yield self._record(pair, Dropped())

    def files(self) -> tuple[Path, ...]:
        """Return the files of all splits."""
        pairs = [pair for found in self._pairs.values() for pair in found]
        names = [name for pair in pairs for name in (pair.image, pair.notes)]
        return self._tree.files(dict.fromkeys([*names, *self._sets]))

    def facts(self) -> Mapping[str, str]:
        """Return which boxes were dropped, if any were."""
        dropped = Dropped()
        for pairs in self._pairs.values():
            for pair in pairs:
                self._record(pair, dropped)
        return dropped.facts()

    @cached_property
    def _tree(self) -> Tree:
        return Tree(Path(self.path).expanduser())

    @cached_property
    def _sets(self) -> list[str]:
        """The files of ``ImageSets/Main`` that name splits."""
        named = {
            PurePosixPath(name).stem: name
            for name in self._tree
            if PurePosixPath(name).parts[-3:-1] == ("ImageSets", "Main") and name.endswith(".txt")
        }
        wanted = (*(("train", "val") if "train" in named else ("trainval",)), "test")
        return [named[name] for name in wanted if name in named]

    @cached_property
    def _pairs(self) -> dict[str, list[Annotated]]:
        notes = {PurePosixPath(n).stem: n for n in self._tree if n.lower().endswith(".xml")}
        if not notes:
            raise DataError(
                "there are no Pascal VOC descriptions here.",
                where=self.path,
                expected="Annotations/*.xml beside JPEGImages/",
            )
        found: dict[str, list[Annotated]] = {}
        for path in self._sets:
            stem = PurePosixPath(path).stem.replace("trainval", "train")
            lines = self._tree[path].text().splitlines()
            stems = [line.split()[0] for line in lines if line.strip()]
            found[SPLIT_NAMES[stem]] = [self._pair(notes[s]) for s in stems if s in notes]
        if found:
            return in_order({split: pairs for split, pairs in found.items() if pairs})
        for name in sorted(n for n in self._tree if n.lower().endswith(".xml")):
            folders = [part.lower() for part in PurePosixPath(name).parts[:-1]]
            split = next((SPLIT_NAMES[f] for f in folders if f in SPLIT_NAMES), "train")
            found.setdefault(split, []).append(self._pair(name))
        return in_order(found)

    def _pair(self, notes: str) -> Annotated:
        path = PurePosixPath(notes)
        beside = [path.parent.parent / folder for folder in ("JPEGImages", "images", "Images")]
        image = image_named(self._tree, *(str(at / path.stem) for at in (*beside, path.parent)))
        if not image:
            raise DataError(
                "there is no image that this describes.",
                where=f"{self.path}/{notes}",
                expected=f"{path.stem}.jpg in JPEGImages or beside it",
            )
        return Annotated(image, notes)

    def _record(self, pair: Annotated, dropped: Dropped) -> Record:
        notes, image = self._tree[pair.notes], self._tree[pair.image]
        try:
            root = ElementTree.fromstring(notes.media().read())
        except ElementTree.ParseError as error:
            raise DataError(f"this XML is damaged ({error}).", where=notes.where) from None
        width, height = (float(root.findtext(f"size/{side}") or 0) for side in ("width", "height"))
        objects: list[dict[str, Any]] = []
        for item in root.iterfind("object"):
            label = (item.findtext("name") or "").strip()
            if not label:
                raise DataError("an object has no name.", where=notes.where)
            if not self.difficult and item.findtext("difficult", "0").strip() == "1":
                dropped.add("difficult to see", notes.where)
                continue
            texts = [item.findtext(f"bndbox/{corner}", "") for corner in _CORNERS]
            x1, y1, x2, y2 = numbers(texts, notes.where)
            if box := box_of((x1, y1, x2, y2), (width, height), notes.where, dropped):
                objects.append({"label": label, "box": box})
        fields = {"objects": objects, **told_size((width, height))}
        return {"image": image.media(), **fields, "_where": f"{image.where}:1"}

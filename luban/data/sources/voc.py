"""Pascal VOC: an XML file for each image, with its objects and their boxes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element

from pydantic import Field

from luban.core.contracts import Record, SetApart
from luban.core.errors import DataError
from luban.data.files.archives import IMAGES
from luban.data.files.split_names import SPLIT_NAMES
from luban.data.sources._boxes import (
    Annotated,
    Dropped,
    Pairs,
    PairSource,
    box_of,
    in_order,
    lone,
    numbers,
    refuse_twice,
    told_size,
)
from luban.data.sources._xml import only, parse_xml

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_FLAGS = ("-1", "0", "1")  #: what may follow a name in an image set: whether it shows a class
_FOLDERS = ("jpegimages", "images", "image", "imgs", "img")


class Voc(PairSource):
    """A folder, .tar or .zip of Pascal VOC: a record has ``image`` and ``objects``.

    ``Annotations/*.xml`` lie beside ``JPEGImages``, or each beside its image. The splits are those
    of ``ImageSets/Main`` (train, val and test; trainval if there is no train), else folders called
    train, val and test. Boxes are taken as they are written (no pixel is subtracted) and cut at
    the edges of the image; those without area are dropped and counted. An entry of an image set
    without a description, and a description without an image, are set apart.
    """

    difficult: bool = Field(
        default=True,
        description=(
            "Whether objects marked as difficult to see are kept: as in the VOC devkit, they are "
            "neither learned nor to be found, and what is found there is not wrong."
        ),
    )

    @cached_property
    def _descriptions(self) -> list[str]:
        found = sorted(name for name in self._tree if name.lower().endswith(".xml"))
        if not found:
            raise DataError(
                "there are no Pascal VOC descriptions here.",
                where=self.path,
                expected="Annotations/*.xml beside JPEGImages/",
            )
        return found

    @cached_property
    def _sets(self) -> list[tuple[str, str]]:
        """The split and the name of each file of ``ImageSets/Main`` that is read."""
        named: dict[str, dict[str, str]] = defaultdict(dict)
        for name in sorted(self._tree):
            path = PurePosixPath(name)
            folders = tuple(part.lower() for part in path.parts[-3:-1])
            if folders == ("imagesets", "main") and path.suffix.lower() == ".txt":
                named[_base(name)][path.stem.lower()] = name
        found = []
        for sets in named.values():
            wanted = (*(("train", "val") if "train" in sets else ("trainval",)), "test")
            found += [
                (SPLIT_NAMES[stem.removeprefix("trainval") or "train"], sets[stem])
                for stem in wanted
                if stem in sets
            ]
        return found

    @cached_property
    def _pairs(self) -> Pairs:
        found: Pairs = defaultdict(list)
        for split, name in self._sets:
            found[split] += self._listed(name)
        if any(found.values()):
            return in_order({split: pairs for split, pairs in found.items() if pairs})
        for name in self._descriptions:
            folders = [part.lower() for part in PurePosixPath(name).parts[:-1]]
            split = next((SPLIT_NAMES[f] for f in folders if f in SPLIT_NAMES), "train")
            found[split].append(self._pair(name))
        return in_order(found)

    def _listed(self, name: str) -> Iterator[Annotated | SetApart]:
        """Yield what an image set names.

        Raises:
            DataError: if it names an image twice.
        """
        file, seen = self._tree[name], dict[Any, str]()
        for number, line in enumerate(file.text().splitlines(), 1):
            if not (entry := line.strip()):
                continue
            where = f"{file.where}:{number}"
            notes = lone(self._described(_base(name), entry), f"what {entry!r} names", where)
            if not notes:
                yield SetApart(
                    DataError("this entry has no description.", expected="its .xml", got=entry),
                    where,
                )
                continue
            refuse_twice(seen, notes, f"the entry {entry!r}", f"line {number}", file.where)
            yield self._pair(notes)

    def _described(self, base: str, entry: str) -> list[str]:
        """Return the descriptions that an entry of an image set names.

        It is a name, which may hold blanks and have a suffix, perhaps with a flag after it.
        """
        first, _, last = entry.rpartition(" ")
        for text in (entry, first.rstrip()) if last in _FLAGS and first else (entry,):
            path = PurePosixPath(text)
            bare = path.with_suffix("") if path.suffix.lower() in (*IMAGES, ".xml") else path
            for key in dict.fromkeys((str(path), str(bare), bare.name)):
                if found := self._by_name.get((base, key), []):
                    return found
        return []

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], list[str]]:
        """The descriptions below a folder that has image sets, by name and by path."""
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for base in {_base(name) for _, name in self._sets}:
            depth = len(PurePosixPath(base).parts)
            for name in self._descriptions:
                path = PurePosixPath(name)
                if path.is_relative_to(base) or not base:
                    inside = PurePosixPath(*path.parts[depth + 1 :]).with_suffix("")
                    for key in {path.stem, str(inside)}:
                        found[base, key].append(name)
        return found

    def _pair(self, notes: str) -> Annotated | SetApart:
        where = f"{self._tree.root}/{notes}"
        try:
            image = lone(self._shown(PurePosixPath(notes)), "the image that this describes", where)
        except DataError as error:
            return SetApart(error, where)
        if not image:
            expected = f"{PurePosixPath(notes).stem}.jpg in JPEGImages or beside it"
            lost = DataError("there is no image that this describes.", expected=expected)
            return SetApart(lost, where)
        return Annotated(image, notes)

    def _shown(self, notes: PurePosixPath) -> list[str]:
        """Return the images of the same name that lie as a description lies."""
        images = [PurePosixPath(name) for name in self._by_stem.get(notes.stem, ())]
        apart = {image: _apart(image.parent, notes.parent) for image in images}
        groups = (
            [image for image in images if {*apart[image]} & {*_FOLDERS}],
            [image for image in images if image.parent == notes.parent],
            [image for image in images if apart[image]],
            [image for image in images if image.is_relative_to(notes.parent.parent)],
        )
        return [str(image) for image in next(filter(None, groups), [])]

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for name in self._images():
            path = PurePosixPath(name)
            found[path.stem].append(name)
            found[path.name].append(name)
        return found

    def _record(self, pair: Annotated, dropped: Dropped) -> Record:
        notes, image = self._tree[pair.notes], self._tree[pair.image]
        root = parse_xml(notes)
        size = [_text(root, f"size/{side}", notes.where) or "0" for side in ("width", "height")]
        width, height = numbers(size, notes.where)
        objects: list[dict[str, Any]] = []
        for item in root.iterfind("object"):
            label = _text(item, "name", notes.where)
            if not label:
                raise DataError("an object has no name.", where=notes.where)
            difficult = _text(item, "difficult", notes.where) == "1"
            if difficult and not self.difficult:
                dropped.add("difficult to see", notes.where)
                continue
            texts = [_text(item, f"bndbox/{corner}", notes.where) for corner in _CORNERS]
            x1, y1, x2, y2 = numbers(texts, notes.where)
            if box := box_of((x1, y1, x2, y2), (width, height), notes.where, dropped):
                mark = {"difficult": True} if difficult else {}
                objects.append({"label": label, "box": box, **mark})
        fields = {"objects": objects, **told_size((width, height))}
        return {"image": image.media(), **fields, "_where": f"{image.where}:1"}

    def _others(self) -> Sequence[str]:
        return [name for _, name in self._sets]

    def _left_out(self) -> Mapping[str, Sequence[str]]:
        folders = {PurePosixPath(name).parent for name in self._used}
        images = [name for name in self._images() if PurePosixPath(name).parent in folders]
        return {
            "images of which no record is made": [n for n in images if n not in self._used],
            "descriptions of which no record is made": [
                name for name in self._descriptions if name not in self._used
            ],
        }


def _base(image_set: str) -> str:
    """Return the folder that has ``ImageSets/Main``; empty: the top."""
    return "/".join(PurePosixPath(image_set).parts[:-3])


def _apart(one: PurePosixPath, other: PurePosixPath) -> tuple[str, ...]:
    """Return the one part, in lower case, in which two folders differ; else nothing."""
    if len(one.parts) != len(other.parts):
        return ()
    pairs = [(a, b) for a, b in zip(one.parts, other.parts, strict=True) if a != b]
    return (pairs[0][0].lower(),) if len(pairs) == 1 else ()


def _text(parent: Element, path: str, where: str) -> str:
    folder, _, _ = path.rpartition("/")
    if folder:
        only(parent, folder, where)
    found = only(parent, path, where)
    return (found.text or "").strip() if found is not None else ""

"""COCO: a JSON file of images, categories and boxes, and a folder of images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from luban.core.contracts import Record
from luban.core.errors import DataError
from luban.core.text_formats import parse_json
from luban.data.files import open_text
from luban.data.members import Tree
from luban.data.sources._boxes import Dropped, box_of, numbers, told_size
from luban.data.sources._files import FileSource


class Coco(FileSource):
    """COCO files, plain or gzip: a record has ``image`` and ``objects``, empty where it has none.

    A file is parsed whole. Groups (``iscrowd``) and boxes without area are dropped and counted.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".json",)
    images: str | dict[str, str] = Field(
        default="",
        union_mode="left_to_right",
        description=(
            "The folder, .tar or .zip in which `file_name` begins, or a table from split to these; "
            "empty: the folder of the JSON file."
        ),
    )

    def read(self, split: str) -> Iterator[Record]:
        """Yield the images of a split.

        Raises:
            DataError: if a file is not COCO's, or an image is not there.
        """
        for path in self._files(split):
            yield from self._records(path, self._tree(split, path), Dropped())

    def read_file(self, path: Path) -> Iterator[Record]:
        """Yield the images of one file."""
        split = next((s for s in self.splits() if path in self._files(s)), "train")
        yield from self._records(path, self._tree(split, path), Dropped())

    def files(self) -> tuple[Path, ...]:
        """Return the JSON files and the files of the images."""
        found: dict[Path, None] = {}
        for split in self.splits():
            for path in self._files(split):
                names = [_name(row, path) for row in self._contents(path)["images"]]
                found |= dict.fromkeys((path, *self._tree(split, path).files(names)))
        return tuple(found)

    def facts(self) -> Mapping[str, str]:
        """Return which boxes were dropped, if any were."""
        dropped = Dropped()
        for split in self.splits():
            for path in self._files(split):
                for _ in self._records(path, self._tree(split, path), dropped):
                    pass
        return dropped.facts()

    @cached_property
    def _kept(self) -> dict[Any, Any]:
        """What was already parsed or looked through."""
        return {}

    def _tree(self, split: str, path: Path) -> Tree:
        given = self.images.get(split, "") if isinstance(self.images, dict) else self.images
        root = Path(given).expanduser() if given else path.parent
        if root not in self._kept:
            self._kept[root] = Tree(root)
        tree: Tree = self._kept[root]
        return tree

    def _contents(self, path: Path) -> dict[str, Any]:
        if path in self._kept:
            contents: dict[str, Any] = self._kept[path]
            return contents
        with open_text(path) as file:
            try:
                data = parse_json(file.read(), path)
            except DataError:
                raise
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"this file is not JSON ({error}).",
                    where=path,
                    expected="COCO annotations: JSON in UTF-8",
                    fix="write it again, or fetch it again if it was cut off.",
                ) from None
        for part in ("images", "annotations", "categories"):
            rows = data.get(part) if isinstance(data, dict) else None
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise DataError(
                    f"this COCO file has no {part}.",
                    where=path,
                    expected="tables in images, annotations and categories",
                )
        self._kept[path] = data
        return dict(data)

    def _records(self, path: Path, tree: Tree, dropped: Dropped) -> Iterator[Record]:
        data = self._contents(path)
        names = {row.get("id"): str(row.get("name")) for row in data["categories"]}
        boxes: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for row in data["annotations"]:
            boxes[row.get("image_id")].append(row)
        for number, row in enumerate(data["images"], 1):
            image = tree[_name(row, f"{path}: image {number}")]
            size = numbers([row.get("width") or 0, row.get("height") or 0], image.where)
            objects = []
            for note in boxes.pop(row.get("id"), ()):
                where = f"{path}: annotation {note.get('id')}"
                if note.get("iscrowd"):
                    dropped.add("around a crowd", where)
                    continue
                if note.get("category_id") not in names:
                    raise DataError(
                        "there is no such category.", where=where, got=note.get("category_id")
                    )
                if box := box_of(_corners(note, where), (size[0], size[1]), where, dropped):
                    objects.append({"label": names[note["category_id"]], "box": box})
            fields = {"objects": objects, **told_size(size)}
            yield {"image": image.media(), **fields, "_where": f"{image.where}:1"}
        if boxes:
            raise DataError(
                "boxes belong to an image that is not listed.",
                where=path,
                got=f"image_id {next(iter(boxes))!r}",
            )


def _name(row: Mapping[str, Any], where: object) -> str:
    name = row.get("file_name")
    if not isinstance(name, str):
        raise DataError("an image has no file_name.", where=where, got=dict(row))
    return name


def _corners(note: Mapping[str, Any], where: str) -> tuple[float, float, float, float]:
    box = note.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise DataError(
            "this annotation has no box.", where=where, expected="[x, y, width, height]", got=box
        )
    x, y, width, height = numbers(box, where)
    return x, y, x + width, y + height

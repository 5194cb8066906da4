"""COCO: a JSON file of images, categories and boxes, and a folder of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from luban.core.contracts import Record
from luban.data.checks.set_apart import tried
from luban.data.files.archives import Tree, field_of
from luban.data.sources._boxes import Dropped, box_of, left_out, told_size
from luban.data.sources._coco_table import Image, coco_images
from luban.data.sources._files import FileSource


class Coco(FileSource):
    """COCO files, plain or gzip: a record has ``image`` and ``objects``, empty where it has none.

    A file is parsed whole. Boxes without area are dropped and counted; those of
    groups (``iscrowd``) are marked ``crowd``: what is found there is neither right nor wrong. An
    image without its file, or with a box of no category, is set apart.
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
        """Yield the images of a split; set apart: one that is not there, or wrongly described.

        Raises:
            DataError: if a file is not COCO's, or an id stands twice in it.
        """
        for path in self._files(split):
            yield from self._records(path, self._tree(split, path), Dropped())

    def read_file(self, path: Path) -> Iterator[Record]:
        """Yield the images of one file."""
        split = next((s for s in self.splits() if path in self._files(s)), "train")
        yield from self._records(path, self._tree(split, path), Dropped())

    def files(self) -> tuple[Path, ...]:
        """Return the JSON files and the files of the images, as far as they are there."""
        found: dict[Path, None] = {}
        for split in self.splits():
            for path in self._files(split):
                tree = self._tree(split, path)
                names = [image.name for image in coco_images(path) if image.name in tree]
                found |= dict.fromkeys((path, *tree.files(names)))
        return tuple(found)

    def facts(self) -> Mapping[str, str]:
        """Return which boxes were dropped and which images left out, if any were."""
        dropped, listed = Dropped(), dict[Path, set[str]]()
        for split in self.splits():
            for path in self._files(split):
                tree = self._tree(split, path)
                listed.setdefault(tree.root, set()).update(i.name for i in coco_images(path))
                for _ in self._records(path, tree, dropped):
                    pass
        others = [
            name
            for root, names in listed.items()
            for name in self._trees[root]
            if field_of(name) == "image" and name not in names
        ]
        return {**dropped.facts(), **left_out({"images that are not listed": others})}

    @cached_property
    def _trees(self) -> dict[Path, Tree]:
        """Folders and archives that were looked through."""
        return {}

    def _tree(self, split: str, path: Path) -> Tree:
        given = self.images.get(split, "") if isinstance(self.images, dict) else self.images
        root = Path(given).expanduser() if given else path.parent
        if root not in self._trees:
            self._trees[root] = Tree(root)
        return self._trees[root]

    def _records(self, path: Path, tree: Tree, dropped: Dropped) -> Iterator[Record]:
        for number, image in enumerate(coco_images(path), 1):
            where = f"{path}: image {number}"
            yield tried(partial(_record, image, path, tree, dropped), where)


def _record(image: Image, path: Path, tree: Tree, dropped: Dropped) -> Record:
    if image.wrong is not None:
        raise image.wrong
    file, objects = tree[image.name], []
    for note in image.notes:
        where = f"{path}: annotation {note.id}"
        if box := box_of(note.corners, image.size, where, dropped):
            crowd = {"crowd": True} if note.crowd else {}
            objects.append({"label": note.label, "box": box, **crowd})
    return {
        "image": file.media(),
        "objects": objects,
        **told_size(image.size),
        "_where": f"{file.where}:1",
    }

"""What files beside YOLO's images tell: the names of classes, the places of splits, points."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from luban.core.contracts import SetApart
from luban.core.errors import DataError
from luban.core.yaml_json import parse_yaml
from luban.data.files.archives import Tree
from luban.data.files.split_names import SPLIT_NAMES
from luban.data.sources._boxes import lone, refuse_twice

_YAML = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_LISTS = ("classes.txt", "obj.names")
_KEYS = {key: SPLIT_NAMES[key] for key in ("train", "val", "test")}


@dataclass(slots=True)
class Listed:
    """The images of each split, as ``data.yaml`` tells them.

    Attributes:
        images: By split: names, and in their places entries of lists that name no image.
        files: The lists.
        missing: Splits whose places are not there.
    """

    images: dict[str, list[str | SetApart]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class Tables:
    """What ``data.yaml``, ``classes.txt`` and the like tell.

    Args:
        tree: Where they lie.
        names: Names of the classes that the recipe gives.
    """

    def __init__(self, tree: Tree, names: Sequence[str]) -> None:
        self._tree, self._names = tree, names

    @cached_property
    def files(self) -> list[str]:
        """The files that tell something."""
        found = [n for n in self._tree if PurePosixPath(n).name in (*_YAML, *_LISTS)]
        return sorted(found, key=lambda name: (*_YAML, *_LISTS).index(PurePosixPath(name).name))

    @cached_property
    def classes(self) -> dict[int, str]:
        """The names of the classes by number.

        Raises:
            DataError: if nothing names them, or two files name them differently.
        """
        if self._names:
            given = dict[Any, str]()
            for number, label in enumerate(self._names):
                where = "data.source.names"
                refuse_twice(given, label, f"the class {label!r}", f"number {number}", where)
            return dict(enumerate(self._names))
        found = {name: classes for name in self.files if (classes := self._named(name))}
        if not found:
            raise DataError(
                "nothing names the classes.",
                where=self._tree.root,
                expected=", ".join((*_YAML, *_LISTS)),
                fix="set data.source.names: [first, second, …].",
            )
        first, classes = next(iter(found.items()))
        for name, other in found.items():
            if other != classes:
                raise DataError(
                    "two files name the classes differently.",
                    where=self._tree.root,
                    got=f"{first}: {', '.join(classes.values())}; "
                    f"{name}: {', '.join(other.values())}",
                    fix="set data.source.names, or remove one of them.",
                )
        return classes

    @cached_property
    def points(self) -> int:
        """How many numbers the points of a pose take; 0: there are none."""
        shapes = [t["kpt_shape"] for t in self._yaml.values() if t.get("kpt_shape")]
        for shape in shapes:
            numbers = isinstance(shape, list) and all(str(n).isdecimal() for n in shape)
            if not numbers or shape != shapes[0]:
                raise DataError(
                    "kpt_shape is not clear.",
                    where=self._tree.root,
                    expected="how many points, and numbers of each: [17, 3]",
                    got=shapes,
                )
        return math.prod(map(int, shapes[0])) if shapes else 0

    def listed(self, images: Sequence[str]) -> Listed | None:
        """Return the images of each split; None if no ``data.yaml`` names places that are here.

        An image belongs to the first split that names it: some sets name one folder twice.
        """
        found, taken = Listed(), set[str]()
        tables = [(name, table) for name, table in self._yaml.items() if table.get("train")]
        if not tables:
            return None
        name = lone(
            [name for name, _ in tables], "which file tells the splits", str(self._tree.root)
        )
        table = dict(tables)[name]
        for key, split in _KEYS.items():
            given = table.get(key)
            places = [given] if isinstance(given, str) else given if isinstance(given, list) else []
            entries: list[str | SetApart] = []
            for place in filter(None, places):
                inside = self._place(str(place), name, str(table.get("path") or ""), images)
                if inside is None:
                    found.missing.append(f"{key}: {place}")
                    continue
                if inside.endswith(".txt"):
                    found.files.append(inside)
                    entries += self._lines(inside, images)
                else:
                    entries += [n for n in images if not inside or n.startswith(f"{inside}/")]
            fresh = [e for e in entries if not isinstance(e, str) or e not in taken]
            taken |= {entry for entry in fresh if isinstance(entry, str)}
            if fresh:
                found.images[split] = fresh
        return found if "train" in found.images else None

    @cached_property
    def _yaml(self) -> dict[str, Mapping[str, Any]]:
        """The tables of YAML, every value a text: a class can be called ``no`` or ``1e3``."""
        found: dict[str, Mapping[str, Any]] = {}
        for name in self.files:
            if PurePosixPath(name).name in _YAML:
                file = self._tree[name]
                table, _ = parse_yaml(file.text(), file.where, words=True)
                if not isinstance(table, dict):
                    raise DataError("this file is no table.", where=file.where, got=table)
                found[name] = table
        return found

    def _named(self, name: str) -> dict[int, str]:
        """Return the classes that a file names; empty: none.

        Raises:
            DataError: if it does not say which is which.
        """
        file, table = self._tree[name], self._yaml.get(name, {})
        names: Any = table.get("names") if table else file.text().rstrip().splitlines()
        if names is None:
            return {}
        if isinstance(names, list):
            names = dict(enumerate(names))
        is_table = isinstance(names, dict) and all(str(key).isdecimal() for key in names)
        if not is_table or not all(isinstance(n, str) and n.strip() for n in names.values()):
            raise DataError("this file does not name the classes.", where=file.where, got=names)
        classes = {int(key): label.strip() for key, label in names.items()}
        seen = dict[Any, str]()
        for key in names:
            what = f"the number {int(key)} of a class"
            refuse_twice(seen, int(key), what, f"{key!r}", file.where)
        for number, label in classes.items():
            refuse_twice(seen, label, f"the class {label!r}", f"number {number}", file.where)
        if str(table.get("nc") or len(classes)) != str(len(classes)):
            raise DataError(
                "nc is not the number of names.",
                where=file.where,
                expected=f"{table['nc']} names",
                got=f"{len(classes)}",
            )
        return classes

    def _place(self, place: str, name: str, root: str, images: Sequence[str]) -> str | None:
        """Return the folder or list that a ``data.yaml`` names, as it is called in the tree."""
        base = PurePosixPath(name).parent
        plain = place.replace("\\", "/")
        for form in (plain, plain.lstrip("./")):  # Roboflow writes ../train/images for what is here
            for start in (base / root, base):
                inside = str(start / form)
                inside = "" if inside == "." else inside
                if inside in self._tree or not inside:
                    return inside
                if any(image.startswith(f"{inside}/") for image in images):
                    return inside
        return None

    def _lines(self, name: str, images: Iterable[str]) -> list[str | SetApart]:
        """Return the images that a list names; set apart: an entry that names none, or two."""
        file, found, seen = self._tree[name], list[str | SetApart](), dict[Any, str]()
        ends: dict[str, list[str]] = defaultdict(list)
        for image in images:
            ends[PurePosixPath(image).name].append(image)
        for number, line in enumerate(file.text().splitlines(), 1):
            if not (entry := line.strip().replace("\\", "/")):
                continue
            inside = f"/{entry.lstrip('./')}"
            same = [
                image
                for image in ends[PurePosixPath(entry).name]
                if f"/{image}".endswith(inside) or inside.endswith(f"/{image}")
            ]
            if len(same) == 1:
                refuse_twice(seen, same[0], f"the entry {entry!r}", f"line {number}", file.where)
                found.append(same[0])
                continue
            what = "several images" if same else "no image"
            error = DataError(f"this entry names {what}.", expected="one image", got=entry)
            found.append(SetApart(error, f"{file.where}:{number}"))
        return found

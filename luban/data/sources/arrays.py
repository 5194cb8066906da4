"""NumPy files: arrays whose first axis is the records."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from luban.core.contracts import Record, Source
from luban.core.errors import DataError, LubanError, RecipeError
from luban.core.registry import nearest
from luban.data.files.archives import DAMAGED
from luban.data.files.reading import missing, open_bytes
from luban.data.files.records import shape
from luban.data.files.split_names import SPLIT_NAMES, SPLITS
from luban.data.sources._boxes import left_out, refuse_twice
from luban.data.sources._files import Meanings
from luban.data.sources._sides import beside, by_split, plain, rows_of

#: What arrays of a ``.npz`` are called, without what says which split they are of.
_NAMES = {
    **dict.fromkeys(("images", "image", "x", "imgs", "img", "data", "features", "arr_0"), "image"),
    **dict.fromkeys(("labels", "label", "y", "targets", "target", "classes", "arr_1"), "label"),
}


class Arrays(Source):
    """``.npz`` or ``.npy`` files, streamed: record n is item n of each array.

    Of a ``.npz`` the names tell what is what, if ``fields`` does not: ``x_train`` and ``y_train``
    (as Keras has them) or ``train_images`` and ``train_labels`` are ``image`` and ``label`` of
    the train split; ``images`` and ``labels`` alone are all ``train``.
    """

    path: str | dict[str, str | dict[str, str]] = Field(
        union_mode="left_to_right",
        description=(
            "A `.npz`; or `.npy` files by field, `{image: x.npy, label: y.npy}`; or a table from "
            "split to either."
        ),
    )
    fields: dict[str, str] = Field(
        default_factory=dict,
        description="New field name to the name of an array: `{image: pixels}`; all is one split.",
    )
    values: Meanings = Field(
        default_factory=dict,
        description='What the values of a field mean: `{label: {"0": shirt, "1": dress}}`.',
    )

    def splits(self) -> tuple[str, ...]:
        """Return the splits that ``path`` or the arrays' names tell."""
        return tuple(self._tables())

    def read(self, split: str) -> Iterator[Record]:
        """Yield the records of a split.

        Raises:
            DataError: if a file is damaged, or the arrays differ in their number of items.
        """
        arrays = self._tables()[split]
        columns = {field: _items(path, name) for field, (path, name) in arrays.items()}
        for record in beside(columns, str(next(iter(arrays.values()))[0])):
            yield shape(record, {}, values=self.values) if self.values else record

    def files(self) -> tuple[Path, ...]:
        """Return the files of all splits."""
        tables = self._tables().values()
        return tuple(dict.fromkeys(path for table in tables for path, _ in table.values()))

    def facts(self) -> Mapping[str, str]:
        """Return which arrays of the files are not read, if there are any."""
        used = {place for table in self._tables().values() for place in table.values()}
        others = [
            f"{path}: {name}"
            for path in self.files()
            if zipfile.is_zipfile(path)
            for name in _names(path)
            if (path, name) not in used
        ]
        return left_out({"arrays": others})

    def _tables(self) -> dict[str, dict[str, tuple[Path, str]]]:
        """Return split to field to the file and the array in it (empty: a ``.npy``)."""
        if isinstance(self.path, str):
            return self._within(_file(self.path))
        if all(isinstance(v, str) and k in SPLITS for k, v in self.path.items()):
            return {
                split: self._within(_file(str(self.path[split]))).get("train", {})
                for split in SPLITS
                if split in self.path
            }
        sides = by_split(self.path)
        return {s: {f: (_file(p), "") for f, p in side.items()} for s, side in sides.items()}

    def _within(self, path: Path) -> dict[str, dict[str, tuple[Path, str]]]:
        """Return the same for one file."""
        if not zipfile.is_zipfile(path):
            return {"train": {"image": (path, "")}}
        names = _names(path)
        if self.fields:
            return {"train": {f: (path, _known(name, names)) for f, name in self.fields.items()}}
        found: dict[str, dict[str, tuple[Path, str]]] = {}
        seen = dict[Any, str]()
        for name in names:
            parts = [part for part in re.split(r"[_\-.]", name.lower()) if part]
            split = next((SPLIT_NAMES[part] for part in parts if part in SPLIT_NAMES), "train")
            rest = "_".join(part for part in parts if part not in SPLIT_NAMES)
            if rest in _NAMES:
                what = f"the {_NAMES[rest]} of the split {split}"
                refuse_twice(seen, what, what, f"the array {name}", path)
                found.setdefault(split, {})[_NAMES[rest]] = (path, name)
        if "image" not in found.get("train", {}):
            raise DataError(
                "the names of these arrays do not tell which holds the images.",
                where=path,
                got=", ".join(names),
                fix="name them with data.source.fields: {image: …, label: …}.",
            )
        return {split: found[split] for split in SPLITS if split in found}


def _names(path: Path) -> list[str]:
    """Return the names of the arrays of a ``.npz``.

    Raises:
        DataError: if it is damaged, or two are called alike.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]
    except DAMAGED as error:
        raise DataError(f"this file is damaged ({error}).", where=path) from None
    seen = dict[Any, str]()
    for number, name in enumerate(names, 1):
        refuse_twice(seen, name, f"the array {name}", f"array {number}", path)
    return names


def _file(name: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise missing(path)
    return path


def _known(name: str, names: list[str]) -> str:
    if name not in names:
        raise RecipeError(
            f"there is no array {name!r}.",
            where="data.source.fields",
            expected=", ".join(names),
            fix=nearest(name, names),
        )
    return name


def _items(path: Path, name: str) -> Iterator[Any]:
    if not name:
        with open_bytes(path) as file:
            yield from _array(file, path)
        return
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as inner:
            yield from _array(inner, path)
    except LubanError:
        raise
    except DAMAGED as error:
        raise DataError(f"this file is damaged ({error}).", where=path) from None


def _array(file: Any, path: Path) -> Iterator[Any]:
    """Yield the items of the ``.npy`` that an open file holds; never a pickled object."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except ValueError as error:
        raise DataError(f"this is no array of NumPy ({error}).", where=path) from None
    if dtype.hasobject or not shape:
        raise DataError(
            "this array holds Python objects." if dtype.hasobject else "this is a single number.",
            where=path,
            expected="numbers or texts of one length, one item for each record",
            fix="save it with an ordinary dtype: reading objects would run code.",
        )
    if fortran and len(shape) > 1:
        data, size = file.read(), math.prod(shape) * dtype.itemsize
        if len(data) != size:
            problem = "ends early" if len(data) < size else "goes on after its last item"
            raise DataError(f"this file {problem}.", where=path, expected=f"{shape[0]} items")
        yield from map(plain, np.frombuffer(data[:size], dtype).reshape(shape, order="F"))
        return
    yield from rows_of(file, dtype, shape, path)
    if file.read(1):
        raise DataError("this file goes on after its last item.", where=path, got=shape)

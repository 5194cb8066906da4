"""Files for the cases of images, boxes and sound, and what sources and tasks make of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from luban.core.contracts import Record, SetApart, Source, Task
from luban.core.errors import UnfitError


def source(name: str, path: object, **fields: Any) -> Source:
    return Source.from_dict({"name": name, "path": path, **fields})


def read(found: Source, split: str = "train") -> tuple[list[Record], list[str]]:
    """Return the records of a split, and what is said of those set apart."""
    entries = list(found.read(split))
    good = [entry for entry in entries if not isinstance(entry, SetApart)]
    return good, [e.error.line() for e in entries if isinstance(e, SetApart)]


def picture(
    path: Path, size: tuple[int, int] = (64, 64), form: str | None = None, **how: Any
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "gray").save(path, form, **how)
    return path


def detect(records: list[Record]) -> list[Any]:
    """Return what the task detection makes of records: an example each, or what is wrong."""
    task = Task.from_dict({"name": "object-detection", "image_size": 32, "channels": 3,
                           "image_mean": [0.5] * 3, "image_std": [0.5] * 3})  # fmt: skip
    learned = task.learn(records)
    found: list[Any] = []
    for record in records:
        try:
            found.append(learned.encode(record))
        except UnfitError as error:
            found.append(error)
    return found


def yolo(
    root: Path, labels: Mapping[str, str], data: str = "names: [x, y]\n", **how: Any
) -> Source:
    for name, text in labels.items():
        picture(root / f"images/{name}.png", how.pop("size", (100, 100)))
        path = root / f"labels/{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if data:
        (root / "data.yaml").write_text(data)
    return source("yolo", str(root), **how)


def stems(found: Source, split: str = "train") -> list[str]:
    """Return the names of the images of a split, without their suffixes."""
    return [Path(str(record["image"])).stem for record in read(found, split)[0]]

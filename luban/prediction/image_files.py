"""Images that were made, as files: one each in a folder, or all on one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from luban.core.errors import RunError
from luban.core.files import write_atomic
from luban.data.media.images import to_png
from luban.inference.images import Image

_GAP = 2  #: pixels between the images of a sheet


def files_for(path: Path, count: int, *, force: bool = False) -> list[Path]:
    """Return where images go: one file if ``path`` ends in ``.png``, else one for each.

    Raises:
        RunError: if there is such a file and ``force`` is not set, or ``path`` cannot be a folder.
    """
    if path.suffix.lower() == ".png":
        files = [path]
    elif path.suffix:
        raise RunError("images are written as PNG.", where=path, fix="--output NAME.png, or FOLDER")
    elif path.is_file():
        raise RunError("this is a file, not a folder.", where=path, fix="another --output.")
    else:
        width = len(str(count))
        files = [path / f"{number:0{width}}.png" for number in range(1, count + 1)]
    taken = [file for file in files if file.exists()]
    if taken and not force:
        raise RunError(
            "there is a file by that name.", where=taken[0], fix="another --output, or --force."
        )
    return files


def write_images(files: Sequence[Path], images: Sequence[Image]) -> None:
    """Write images, each to its file, or all to one as a sheet."""
    made = images if len(files) == len(images) else [sheet_of(images)]
    for file, image in zip(files, made, strict=True):
        write_atomic(file, to_png(image))


def sheet_of(images: Sequence[Image]) -> Image:
    """Return images of one size side by side, in rows, white between them."""
    height, width, channels = images[0].shape
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    down, right = height + _GAP, width + _GAP
    sheet = np.full((rows * down - _GAP, columns * right - _GAP, channels), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = (index // columns) * down, (index % columns) * right
        sheet[top : top + height, left : left + width] = image
    return sheet

"""Pixel values of any depth as bytes: 16 bits, real numbers, TIFFs whose zero is white.

Eight bits are enough for a picture only if it uses the range of its file. A camera of 12 bits whose
values are written into 16 bits as they are leaves 17 of 256 grey levels, and nothing in such a file
says so: this is measured, and the picture is set apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from luban.core.errors import UnfitError, UnreadableError
from luban.data.media.media_files import Array

if TYPE_CHECKING:
    from PIL import Image

_WHITE = 65_535
#: What a picture of 16 bits must exceed somewhere (14 bits), or detail is lost for want of range.
_DARK = 1 << 14
_BITS, _PHOTOMETRIC, _SUBFILE = 258, 262, 254  #: tags of TIFF 6.0
_WHITE_IS_ZERO = 0
_LESSER = 0b101  #: bits of the tag NewSubfileType: a smaller copy of another page, or its mask


def as_bytes(array: Array, where: str) -> Array:
    """Return values of any type as uint8, of the same shape.

    Booleans and floats up to 1 are scaled to 255, and uint16 from 65,535. Other types must hold
    values up to 255: by one image alone it cannot be told what is white.

    Raises:
        UnreadableError: if these are no values of pixels.
        UnfitError: if uint16 values use so little of their range that detail would be lost.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    kind = array.dtype.kind
    deep, real = kind == "u" and array.dtype.itemsize == 2, kind == "f"
    if (
        kind not in "iuf"
        or not np.isfinite(array).all()
        or array.min() < 0
        or (array.max() >= 255.5 and not deep)
    ):
        raise UnreadableError(
            "this array is no image.",
            where=where,
            expected="values of 0 to 255; uint16; or real ones of 0 to 1",
            got=f"{array.dtype} {array.shape}",
        )
    if deep:
        return _from_sixteen(array, _WHITE, where)
    scale = 255.0 if real and array.max() <= 1 else 1.0
    return np.asarray(np.clip(np.rint(array * scale), 0, 255), np.uint8)


def grey_bytes(image: Image.Image, where: str) -> Array | None:
    """Return an image of one deep channel as uint8 (H, W); None if its channels are of 8 bits.

    Modes ``I;16`` and ``I`` are whole numbers, ``F`` real ones; Pillow itself would cut all of them
    off at 255.

    Raises:
        UnreadableError: if the values do not tell what is white.
        UnfitError: if they use so little of their range that detail would be lost.
    """
    if image.mode[0] not in "IF":
        return None
    values, inverted = np.asarray(image), _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO
    if image.mode == "F":
        if inverted:
            raise _unclear(where, "a TIFF of real numbers whose zero is white")
        return as_bytes(values, where)
    bits = _tag(image, _BITS)
    white = (1 << bits) - 1 if isinstance(bits, int) and 8 < bits < 16 else _WHITE
    if values.min() < 0 or values.max() > white:
        raise _unclear(where, f"{values.min():,} to {values.max():,}")
    values = values.astype(np.uint16, copy=False)
    found = _from_sixteen(white - values if inverted else values, white, where)
    clear = image.info.get("transparency")
    return np.where(values == clear, np.uint8(255), found) if isinstance(clear, int) else found


def check_depth(image: Image.Image, where: str) -> None:
    """Set a loaded image apart of whose 16 bits in each colour too few were left.

    Raises:
        UnfitError: if that is so.
    """
    if len(image.getbands()) < 3:
        return
    extrema: Any = image.getextrema()
    least, most = ([pair[end] for pair in extrema[:3]] for end in (0, 1))
    if (most != least or not max(most)) and 256 * max(most) < _DARK:
        raise _too_dark(where, 256 * max(most), max(most) + 1)


def is_deep(image: Image.Image) -> bool:
    """Return whether an image that is not loaded yet has 16 bits in each of several colours."""
    tiles = getattr(image, "tile", ())
    return image.mode[0] not in "IF" and any(";16" in str(tile[3]) for tile in tiles)


def check_single(image: Image.Image, where: str) -> None:
    """Set a TIFF apart that holds several pictures: which of them is meant cannot be told.

    Smaller copies of the first page do not count. Of an animation (GIF, WebP, PNG) the first
    picture is taken, as everywhere.

    Raises:
        UnfitError: if there are several.
    """
    pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    for page in range(1, pages):
        image.seek(page)
        if not (_tag(image, _SUBFILE) or 0) & _LESSER:
            raise UnfitError(
                "this file holds several pictures.",
                where=where,
                expected="one page",
                got=f"{pages} pages",
                fix="write each page as a file of its own.",
            )
    if pages > 1:
        image.seek(0)


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Return (width, height) as they are in the file: of a TIFF, Pillow tells them turned."""
    width, height = _tag(image, 256), _tag(image, 257)
    known = isinstance(width, int) and isinstance(height, int)
    return (width, height) if known else image.size


def _tag(image: Image.Image, number: int) -> Any:
    """Return a tag of a TIFF, the first of several values; None where there is none."""
    value = image.tag_v2.get(number) if hasattr(image, "tag_v2") else None
    return value[0] if isinstance(value, tuple) and value else value


def _from_sixteen(values: Array, white: int, where: str) -> Array:
    """Return the nearest of 256 levels, row by row: as an index, a value takes eight bytes."""
    level = np.asarray((np.arange(1 << 16) * 255 + white // 2) // white, np.uint8)
    found, used = np.empty(values.shape, np.uint8), np.zeros(1 << 16, np.bool_)
    for place, row in enumerate(values):
        found[place], used[row] = level[row], True
    before, after = int(used.sum()), len(np.unique(level[used]))
    if white == _WHITE and (most := int(values.max())) < _DARK and before > 2 * after:
        raise _too_dark(where, most, after)
    return found


def _too_dark(where: str, most: int, left: int) -> UnfitError:
    return UnfitError(
        "the values of this image of 16 bits use too little of their range.",
        where=where,
        expected=f"a brightest value of at least {_DARK:,} of {_WHITE:,}",
        got=f"{most:,} at most: {left} of 256 levels would be left",
        fix="scale the values to 8 bits, or to all of 16 bits, before (a camera of 12 bits: "
        "times 16).",
    )


def _unclear(where: str, got: str) -> UnreadableError:
    return UnreadableError(
        "the values of this image do not tell what is white.",
        where=where,
        expected="0 to 65,535",
        got=got,
        fix="scale it to 8 or 16 bits before.",
    )

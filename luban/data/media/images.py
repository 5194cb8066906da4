"""Images as arrays: decoded in one way everywhere, brought to a size, written as PNG.

Whatever the file, what comes out is upright ``uint8`` of shape (H, W, C): EXIF orientation is
applied, palettes are looked up, what is transparent is laid over white, 16 bits become 8. Of an
animation the first picture is taken.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from luban.core.errors import DataError, UnfitError, UnreadableError
from luban.core.extras import require
from luban.data.media.media_files import Array, Media
from luban.data.media.pixel_depth import (
    as_bytes,
    check_depth,
    check_single,
    grey_bytes,
    is_deep,
    stored_size,
)

if TYPE_CHECKING:
    from PIL import Image

Channels: TypeAlias = Literal[1, 3]
How: TypeAlias = Literal["crop", "stretch", "pad"]
#: Filters, in the order of Pillow's numbers.
Resample: TypeAlias = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]

# Above this a few kilobytes can be made to fill the memory (a "decompression bomb").
PIXELS_LIMIT = 50_000_000
PADDING = 128
_BAND = 1 << 20  #: pixels converted at once
_LYING = (5, 6, 7, 8)  #: EXIF orientations that swap height and width
# Formats of photographs and drawings. What runs a program to be read (EPS) is not among them.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")


def decode(value: Media | Array, channels: Channels, where: str = "") -> Array:
    """Return the pixels of an image.

    Args:
        value: An encoded image; or an array (H, W), (H, W, C) or (C, H, W) with C of 1, 3 or 4:
            whole numbers up to 255, uint16, booleans, or floats up to 1 (or up to 255).
        channels: 1 for grey, 3 for red, green and blue.
        where: For messages about arrays; encoded images have a name.

    Returns:
        uint8 (H, W, channels), upright.

    Raises:
        UnreadableError: if it is damaged, no image, or has more than ``PIXELS_LIMIT`` pixels.
        MissingExtra: without pillow.
    """
    if isinstance(value, Media):
        return _decoded(value, channels)
    pixels = as_bytes(_channels_last(value, where), where)
    if pixels.shape[2] == channels:
        return np.ascontiguousarray(pixels)
    return _pixels(_image(pixels), channels)


def size_of(media: Media) -> tuple[int, int]:
    """Return (height, width) of an encoded image as it will be decoded, from its head alone.

    Raises:
        UnreadableError: if that is damaged, or tells of too many pixels.
        MissingExtra: without pillow.
    """
    with _opened(media) as image:
        width, height = stored_size(image)
        return (width, height) if _orientation(image) in _LYING else (height, width)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image lies after ``fit``: ``new = old * scale + offset``, each as (y, x)."""

    scale: tuple[float, float]
    offset: tuple[float, float]


def place(old: tuple[int, int], new: tuple[int, int], how: How, keep: float = 1.0) -> Placement:
    """Return where ``fit`` puts an image of one (height, width) in another."""
    inner = _inner(old, new, how, keep)
    return Placement(
        (inner[0] / old[0], inner[1] / old[1]),
        # Whole pixels, so that nothing is interpolated twice; what is odd goes to the far side.
        (float(int((new[0] - inner[0]) / 2)), float(int((new[1] - inner[1]) / 2))),
    )


def fit(
    pixels: Array,
    size: tuple[int, int],
    how: How = "crop",
    keep: float = 1.0,
    resample: Resample = "bilinear",
) -> Array:
    """Return an image at another size, with antialiasing when it shrinks.

    It is what resizing and then cutting the middle gives, as Hugging Face's image processors do
    it, but for the rounding of a pixel; what is cut off is not computed.

    Args:
        pixels: uint8 (H, W, C).
        size: The new (height, width).
        how: "crop" cuts the middle, "stretch" changes the proportions, "pad" surrounds with grey.
        keep: Share of the height and width that is left when the edges are cut off; not of "pad".
        resample: The filter.

    Returns:
        uint8 (height, width, C); ``pixels`` themselves if nothing is to be done.
    """
    height, width, channels = pixels.shape
    inner = _inner((height, width), size, how, keep)
    if (height, width) == inner == size:
        return pixels
    image = _image(pixels)
    top, left = (int(side) for side in place((height, width), size, how, keep).offset)
    if how == "pad":
        padded = np.full((*size, channels), PADDING, np.uint8)
        padded[top : top + inner[0], left : left + inner[1]] = _resized(image, inner, resample)
        return padded
    box = (
        -left * width / inner[1],
        -top * height / inner[0],
        (size[1] - left) * width / inner[1],
        (size[0] - top) * height / inner[0],
    )
    return _resized(image, size, resample, box)


def to_png(pixels: Array) -> bytes:
    """Return uint8 pixels (H, W, 1 or 3) as the bytes of a PNG file."""
    file = io.BytesIO()
    _image(pixels).save(file, "PNG")
    return file.getvalue()


def _pillow() -> Any:
    return require("PIL.Image", "vision", "pillow")


def _decoded(media: Media, channels: Channels) -> Array:
    with _opened(media) as image:
        check_single(image, media.name)
        deep = is_deep(image)
        image.load()
        if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
            raise UnreadableError(
                "this JPEG has four inks, and does not say whether 0 is no ink or all of it.",
                where=media.name,
                expected="Adobe's mark in it, as nearly all of these have it",
                fix="convert it to RGB.",
            )
        if deep:
            check_depth(image, media.name)
        orientation = _orientation(image)  # what is converted no longer tells it
        grey = grey_bytes(image, media.name)
        flat = image if grey is None else _image(grey[:, :, None])
        return _pixels(_turned(flat, orientation), channels)


@contextmanager
def _opened(media: Media) -> Iterator[Image.Image]:
    """Open an image; whatever goes wrong until it is closed is told as damage to it."""
    pillow = _pillow()
    data = media.read()
    try:
        with pillow.open(io.BytesIO(data), formats=_formats()) as image:
            width, height = image.size
            if width * height > PIXELS_LIMIT:
                raise _too_large(media, f"{width} x {height} pixels")
            yield image
    except (UnfitError, MemoryError):
        raise
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
        raise _too_large(media, str(error)) from None
    except Exception as error:  # Pillow raises whatever a damaged file makes it stumble over.
        raise UnreadableError(
            "this image is damaged or not an image.",
            where=media.name,
            expected="JPEG, PNG, WebP, BMP, GIF, TIFF or PPM",
            got=f"{len(data):,} bytes ({str(error).partition('<_io')[0].strip()})",
        ) from None


def _formats() -> tuple[str, ...]:
    """Return those of the formats that this Pillow was built with."""
    pillow = _pillow()
    if "AVIF" not in pillow.OPEN:
        pillow.init()
    return tuple(name for name in FORMATS if name in pillow.OPEN)


def _too_large(media: Media, got: str) -> UnreadableError:
    return UnreadableError(
        "this image has too many pixels.",
        where=media.name,
        expected=f"at most {PIXELS_LIMIT:,} pixels",
        got=got,
        fix="make it smaller before.",
    )


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # Broken notes do not make the picture worse.
        return 1


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    """Return a loaded image upright; loading turns a TIFF, whose note is gone then."""
    turn = _pillow().Transpose
    turns = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_270,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _pixels(image: Image.Image, channels: Channels) -> Array:
    """Return an image as uint8 (H, W, C), band by band: copies of all of it would fill memory."""
    width, height = image.size
    pixels = np.empty((height, width, channels), np.uint8)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = image if height <= rows else image.crop((0, top, width, min(height, top + rows)))
        pixels[top : top + rows] = _converted(band, channels)
    return pixels


def _converted(image: Image.Image, channels: Channels) -> Array:
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = _pillow().new("RGBA", image.size, "white")
        image = _pillow().alpha_composite(white, image)
    if channels == 1 and image.mode not in ("1", "L"):
        image = image.convert("RGB")  # There is no direct way from some modes.
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)


def _channels_last(array: Array, where: str) -> Array:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise UnreadableError(
            "this array is no image.",
            where=where,
            expected="(height, width), or these with 1, 3 or 4 channels before or after",
            got=array.shape,
        )
    return array


def _image(pixels: Array) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise DataError(
            "these are no pixels.",
            expected="uint8 (height, width, 1, 3 or 4)",
            got=f"{pixels.dtype} {pixels.shape}",
        )
    array = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    image: Image.Image = _pillow().fromarray(np.ascontiguousarray(array))
    return image


def _inner(old: tuple[int, int], new: tuple[int, int], how: How, keep: float) -> tuple[int, int]:
    """Return the (height, width) at which the whole image would be laid over the new one."""
    if how == "pad":
        ratio = min(new[0] / old[0], new[1] / old[1])
        return (max(1, round(old[0] * ratio)), max(1, round(old[1] * ratio)))
    height, width = (round(side / keep) for side in new)
    if how == "stretch":
        return (height, width)
    if height * old[1] >= width * old[0]:
        return (height, height * old[1] // old[0])
    return (width * old[0] // old[1], width)


def _resized(
    image: Image.Image,
    size: tuple[int, int],
    resample: Resample,
    box: tuple[float, float, float, float] | None = None,
) -> Array:
    method = _pillow().Resampling[resample.upper()]
    small = np.array(image.resize((size[1], size[0]), method, box=box))
    return small.reshape(*size, -1)

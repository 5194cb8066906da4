"""Image files as what a model sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from .program import Array


def read_image(path: Path, read: dict[str, Any]) -> tuple[Array, Image.Image]:
    """Return ``pixel_values`` (1, C, H, W) of a file, and the upright image."""
    image: Any = ImageOps.exif_transpose(Image.open(path))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB").convert(read["channels"])
    fitted = np.asarray(fit(image, read), np.float32).reshape(read["height"], read["width"], -1)
    scaled = fitted * np.float32(read["rescale_factor"]) - np.array(read["image_mean"], np.float32)
    values = (scaled / np.array(read["image_std"], np.float32)).transpose(2, 0, 1)
    return np.ascontiguousarray(values[None]), image


def fit(image: Image.Image, read: dict[str, Any]) -> Image.Image:
    """Return an image at the size that the model sees."""
    wide, high = read["width"], read["height"]
    (width, height), how = placed(image, read)
    left, top = int((wide - width) / 2), int((high - height) / 2)
    method = Image.Resampling[read["resample"].upper()]
    if how == "pad":
        padded = Image.new(image.mode, (wide, high), (read["pad_value"],) * len(image.getbands()))
        padded.paste(image.resize((width, height), method), (left, top))
        return padded
    if (width, height) == image.size == (wide, high):
        return image
    across, down = image.width / width, image.height / height
    box = (-left * across, -top * down, (wide - left) * across, (high - top) * down)
    return image.resize((wide, high), method, box=box)


def placed(image: Image.Image, read: dict[str, Any]) -> tuple[tuple[int, int], str]:
    """Return width and height that all of an image is resized to, and what is done then."""
    wide, high, how = read["width"], read["height"], read["resize"]
    if how == "pad":
        ratio = min(high / image.height, wide / image.width)
        return (max(1, round(image.width * ratio)), max(1, round(image.height * ratio))), how
    wide, high = round(wide / read["crop_pct"]), round(high / read["crop_pct"])
    if how == "stretch":
        return (wide, high), how
    if high * image.width >= wide * image.height:
        return (high * image.width // image.height, high), how
    return (wide, wide * image.height // image.width), how

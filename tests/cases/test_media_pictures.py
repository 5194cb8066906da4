"""Pictures of any depth, ink and order: seen as they are, or set apart with the reason."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from luban.core.contracts import Task
from luban.core.errors import UnfitError
from luban.data.media.media_files import Media

RNG = np.random.default_rng(0)
COLOURS = {"image_size": 8, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def seen(image: Any, **fields: Any) -> np.ndarray[Any, Any]:
    """Return the pixels that the task which classifies images makes of one."""
    if isinstance(image, bytes):
        image = Media("a", image)
    task = Task.from_dict({"name": "image-classification", **COLOURS, **fields})
    records = [{"image": image, "label": name} for name in "ab"]
    pixels: np.ndarray[Any, Any] = task.learn(records).encode_input(records[0])["pixels"]
    return pixels


def saved(image: Image.Image, form: str, **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def png(values: np.ndarray[Any, Any]) -> bytes:
    """Return a PNG of 16 bits, which Pillow does not write in colours."""
    height, width, channels = values.shape
    colours = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, colours, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def levels(bits: int, channels: int = 1) -> np.ndarray[Any, Any]:
    return RNG.integers(0, 1 << bits, (8, 8, channels)).astype(np.uint16)


@pytest.mark.parametrize("bits", [8, 10, 12, 13])
@pytest.mark.parametrize("channels", [1, 3])
def test_shallow_values_in_deep_files_are_set_apart(bits: int, channels: int) -> None:
    with pytest.raises(UnfitError, match="too little of their range") as caught:
        seen(png(levels(bits, channels)))
    assert "of 256 levels" in str(caught.value)


@pytest.mark.parametrize("form", ["TIFF", "JPEG2000", "PPM"])
def test_shallow_values_are_set_apart_in_other_files_too(form: str) -> None:
    with pytest.raises(UnfitError, match="too little of their range"):
        seen(saved(Image.fromarray(levels(12)[:, :, 0]), form))


def test_shallow_arrays_are_set_apart() -> None:
    with pytest.raises(UnfitError, match="too little of their range"):
        seen(RNG.integers(0, 256, (8, 8)).astype(np.uint16))


@pytest.mark.parametrize("channels", [1, 3])
def test_deep_pictures_keep_all_that_eight_bits_hold(channels: int) -> None:
    values = levels(16, channels)
    difference = seen(png(values)).astype(int) - values // 256
    assert abs(difference).max() <= 1


def test_a_dark_picture_without_detail_to_lose_is_kept() -> None:
    assert not seen(png(np.zeros((8, 8, 1), np.uint16))).any()
    assert seen(png(np.full((8, 8, 3), 700, np.uint16))).max() == 2


def test_portable_grey_maps_are_scaled_by_the_white_that_they_tell() -> None:
    values = levels(12)
    data = b"P5\n8 8\n4095\n" + values.astype(">u2").tobytes()
    assert abs(seen(data)[:, :, :1].astype(int) - values // 16).max() <= 1


def test_a_tiff_of_twelve_bits_is_scaled_by_its_depth() -> None:
    values = levels(12)[:, :, 0]
    packed = np.zeros((8, 12), np.uint8)
    packed[:, 0::3] = values[:, 0::2] >> 4
    packed[:, 1::3] = (values[:, 0::2] & 15) << 4 | values[:, 1::2] >> 8
    packed[:, 2::3] = values[:, 1::2] & 255
    tags = [(256, 8), (257, 8), (258, 12), (259, 1), (262, 1), (273, 134), (277, 1), (278, 8),
            (279, 96), (254, 0)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags))
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    assert len(data) == 134
    assert abs(seen(data + packed.tobytes())[:, :, 0].astype(int) - values // 16).max() <= 1


def test_a_tiff_whose_zero_is_white_is_not_inverted() -> None:
    values = levels(16)[:, :, 0]
    data = saved(Image.fromarray(values), "TIFF", tiffinfo={262: 0})
    assert abs(seen(data)[:, :, 0].astype(int) - (255 - values // 257)).max() <= 1


def test_a_tiff_of_several_pages_is_set_apart() -> None:
    pages = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    with pytest.raises(UnfitError, match="several pictures"):
        seen(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))


def test_a_deep_picture_lying_on_its_side_is_turned() -> None:
    values = levels(16)[:, :, 0]
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = seen(saved(Image.fromarray(values), "PNG", exif=exif))
    assert np.array_equal(turned, np.rot90(seen(saved(Image.fromarray(values), "PNG")), -1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_every_mode_shows_the_same_picture(mode: str) -> None:
    grey = np.array([[0, 255] * 4, [255, 0] * 4] * 4, np.uint8)
    image = Image.fromarray(grey)
    if mode in ("I;16", "I"):
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(grey.astype(np.float32) / 255)
    elif mode in ("LA", "P", "RGBA", "CMYK", "YCbCr"):
        image = image.convert("RGB").convert(mode) if mode != "LA" else image.convert("LA")
    else:
        image = image.convert(mode)
    pixels = seen(saved(image, "TIFF"))
    assert np.abs(pixels.astype(int) - grey[:, :, None]).max() <= 2


def test_a_palette_with_a_clear_colour_is_laid_over_white() -> None:
    image = Image.fromarray(np.zeros((8, 8), np.uint8)).convert("P")
    image.putpalette([200, 0, 0] * 256)
    assert (seen(saved(image, "PNG", transparency=0)) == 255).all()
    assert (seen(saved(image, "PNG")) == [200, 0, 0]).all()


def test_an_ink_picture_that_does_not_say_which_way_is_set_apart() -> None:
    data = saved(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG")
    at = data.find(b"\xff\xee")
    size = int.from_bytes(data[at + 2 : at + 4], "big")
    assert seen(data)[0, 0, 0] < 10
    with pytest.raises(UnfitError, match="four inks"):
        seen(data[:at] + data[at + 2 + size :])


@pytest.mark.parametrize(
    "given", [{"image_mean": [0.5]}, {"image_mean": [0.4], "image_std": [0.2]}]
)
def test_one_number_for_all_channels_does_not_make_pictures_grey(given: dict[str, Any]) -> None:
    image = saved(Image.new("RGB", (8, 8), (250, 10, 90)), "PNG")
    fields = {"image_mean": None, "image_std": None, **given}
    assert seen(image, **fields)[0, 0].tolist() == [250, 10, 90]
    grey = saved(Image.new("L", (8, 8), 90), "PNG")
    assert seen(grey, **fields).shape == (8, 8, 1)

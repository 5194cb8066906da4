"""Images of every kind come out alike; damaged and huge ones are named."""

from __future__ import annotations

import io
import tracemalloc
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps

from luban.core.errors import UnreadableError
from luban.data.media import images
from luban.data.media.images import decode, fit, place, size_of, to_png
from luban.data.media.media_files import Media

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 20, 3), np.uint8)


def media(image: Image.Image, form: str = "PNG", **options: Any) -> Media:
    file = io.BytesIO()
    image.save(file, form, **options)
    return Media(f"a.{form.lower()}", file.getvalue())


@given(
    arrays(
        np.uint8,
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])),
    )
)
def test_png_gives_the_pixels_back(pixels: np.ndarray[Any, Any]) -> None:
    channels = pixels.shape[2]
    found = decode(Media("a.png", to_png(pixels)), channels)
    assert found.dtype == np.uint8
    assert np.array_equal(found, pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_picture_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = media(Image.fromarray(PIXELS), exif=exif)
    with Image.open(io.BytesIO(turned.read())) as image:
        expected = np.array(ImageOps.exif_transpose(image))
    found = decode(turned, 3)
    assert np.array_equal(found, expected)
    assert size_of(turned) == found.shape[:2]


def test_what_is_transparent_lies_over_white() -> None:
    alpha = np.zeros((2, 2, 4), np.uint8)
    alpha[0, 0] = (255, 0, 0, 255)
    alpha[0, 1] = (0, 0, 0, 128)
    found = decode(media(Image.fromarray(alpha)), 3)
    assert found[0, 0].tolist() == [255, 0, 0]
    assert found[0, 1].tolist() == [127, 127, 127]
    assert found[1].tolist() == [[255, 255, 255]] * 2


def test_palettes_are_looked_up() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    assert decode(media(palette, "GIF"), 3)[0].tolist() == [[10, 20, 30], [200, 100, 50]]
    clear = media(palette, "PNG", transparency=0)
    assert decode(clear, 3)[0].tolist() == [[255, 255, 255], [200, 100, 50]]


def test_sixteen_bits_become_eight() -> None:
    deep = RNG.integers(0, 2**16, (5, 7), np.uint16)
    expected = np.rint(deep / 257).astype(np.uint8)
    for form in ("PNG", "TIFF"):
        assert np.array_equal(decode(media(Image.fromarray(deep), form), 1)[:, :, 0], expected)
    for array in (deep, deep.astype(">u2")):
        assert np.array_equal(decode(array, 1)[:, :, 0], expected)


def test_grey_colour_and_print_inks() -> None:
    grey = PIXELS[:, :, 0]
    assert np.array_equal(decode(media(Image.fromarray(grey)), 3), np.stack([grey] * 3, 2))
    expected = np.array(Image.fromarray(PIXELS).convert("L"))
    assert np.array_equal(decode(media(Image.fromarray(PIXELS)), 1)[:, :, 0], expected)
    inks = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert np.abs(decode(media(inks, "JPEG"), 3).astype(int) - [255, 0, 0]).max() < 8
    bits = Image.new("1", (3, 1), 1)
    assert decode(media(bits), 1).ravel().tolist() == [255] * 3


@pytest.mark.parametrize(
    "array",
    [
        PIXELS.transpose(2, 0, 1),
        PIXELS / 255,
        PIXELS.astype(np.float32),
        PIXELS.astype(np.int64),
        np.concatenate([PIXELS, np.full((12, 20, 1), 255, np.uint8)], axis=2),
    ],
)
def test_arrays_of_other_layouts(array: np.ndarray[Any, Any]) -> None:
    assert np.array_equal(decode(array, 3), PIXELS)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(5),
        np.zeros((5, 6, 7)),
        np.zeros((0, 5)),
        np.full((2, 2), np.nan),
        np.full((2, 2), -1),
        np.full((2, 2), 256, np.int16),
        np.full((2, 2), 256.0),
        np.zeros((2, 2), complex),
    ],
)
def test_arrays_that_are_no_images(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(UnreadableError, match="no image") as caught:
        decode(array, 3, "a.npz:3")
    assert caught.value.where == "a.npz:3"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_truncated_files_are_named(form: str) -> None:
    whole = media(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)), form).read()
    for length in (0, 10, len(whole) // 2):
        with pytest.raises(UnreadableError, match="damaged") as caught:
            decode(Media("photos/a", whole[:length]), 3)
        assert caught.value.where == "photos/a"


@given(st.binary(max_size=200), st.integers(0, 150))
def test_noise_is_an_image_or_unreadable(noise: bytes, at: int) -> None:
    whole = to_png(PIXELS)
    broken = Media("a.png", whole[:at] + noise + whole[at + len(noise) :])
    with suppress(UnreadableError):  # anything else is a fault
        assert decode(broken, 3).dtype == np.uint8


def test_bombs_are_refused_before_they_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    for side in (8_000, 10_000, 20_000):  # beyond ours, Pillow's warning, Pillow's error
        bomb = media(Image.new("1", (side, side)))
        assert bomb.size < 100_000
        for read in (lambda m: decode(m, 1), size_of):
            with pytest.raises(UnreadableError, match="too many pixels"):
                read(bomb)
    monkeypatch.setattr(images, "PIXELS_LIMIT", 239)
    with pytest.raises(UnreadableError, match="too many pixels"):
        decode(media(Image.fromarray(PIXELS)), 3)


def test_no_program_is_run_to_read_a_file() -> None:
    with pytest.raises(UnreadableError):
        decode(Media("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_bands_are_those_of_the_whole(
    mode: str, channels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode == "I;16":
        image = Image.fromarray(RNG.integers(0, 2**16, (13, 20), np.uint16))
    else:
        image = Image.fromarray(np.dstack([PIXELS, PIXELS[:, :, :1]])).convert("RGB").convert(mode)
    form = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    exif = Image.Exif()
    exif[0x0112] = 6
    saved = media(image, form, exif=exif)
    whole = decode(saved, channels)
    monkeypatch.setattr(images, "_BAND", 50)
    assert np.array_equal(decode(saved, channels), whole)


def test_no_copy_of_a_large_image_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    large = media(Image.fromarray(RNG.integers(0, 256, (1000, 500, 3), np.uint8)))
    monkeypatch.setattr(images, "_BAND", 5000)
    tracemalloc.start()
    pixels = decode(large, 3)
    peak = tracemalloc.get_traced_memory()[1]  # of NumPy and of bytes, not of Pillow's own
    tracemalloc.stop()
    assert peak < len(large.read()) + pixels.nbytes * 1.2


@pytest.mark.parametrize("values", [[[0, 70_000]], [[-1, 5]]])
def test_values_beyond_sixteen_bits_are_refused(values: list[list[int]]) -> None:
    deep = media(Image.fromarray(np.array(values, np.int32)), "TIFF")
    with pytest.raises(UnreadableError, match=r"a\.tiff: .*what is white") as caught:
        decode(deep, 3)
    assert "65,535" in str(caught.value)
    within = media(Image.fromarray(np.array([[0, 257, 65535]], np.int32)), "TIFF")
    assert decode(within, 1)[0, :, 0].tolist() == [0, 1, 255]


def test_sixteen_bits_become_the_nearest_of_eight() -> None:
    every = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(decode(every, 1)[:, :, 0], np.rint(every / 257).astype(np.uint8))


@pytest.mark.parametrize("size", [(6, 10), (24, 8), (12, 20), (1, 1), (50, 50)])
@pytest.mark.parametrize("keep", [1.0, 0.8])
def test_crop_cuts_the_middle_of_what_was_resized(size: tuple[int, int], keep: float) -> None:
    larger = [round(side / keep) for side in size]
    ratio = max(larger[0] / 12, larger[1] / 20)
    inner = (max(larger[0], int(12 * ratio + 1e-9)), max(larger[1], int(20 * ratio + 1e-9)))
    whole = np.array(Image.fromarray(PIXELS).resize(inner[::-1], Image.Resampling.BILINEAR))
    top, left = ((side - kept) // 2 for side, kept in zip(inner, size, strict=True))
    expected = whole[top : top + size[0], left : left + size[1]]
    assert np.abs(fit(PIXELS, size, keep=keep).astype(int) - expected).max() <= 1


def test_stretch_and_pad() -> None:
    stretched = Image.fromarray(PIXELS).resize((8, 8), Image.Resampling.BILINEAR)
    assert np.array_equal(fit(PIXELS, (8, 8), "stretch"), np.array(stretched))
    padded = fit(PIXELS, (20, 20), "pad")
    assert np.array_equal(padded[4:16], PIXELS)
    assert (padded[:4] == images.PADDING).all()
    assert (padded[16:] == images.PADDING).all()


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["crop", "stretch", "pad"]),
)
def test_place_says_where_a_point_goes(
    old: tuple[int, int], new: tuple[int, int], how: Any
) -> None:
    pixels = np.zeros((*old, 1), np.uint8)
    assert fit(pixels, new, how).shape == (*new, 1)
    where = place(old, new, how)
    for side in range(2):
        middle = old[side] / 2 * where.scale[side] + where.offset[side]
        assert middle == pytest.approx(new[side] / 2, abs=0.51)
        ends = [where.offset[side], old[side] * where.scale[side] + where.offset[side]]
        inside = ends[0] >= -1e-6 and ends[1] <= new[side] + 1e-6
        covers = ends[0] <= 1e-6 and ends[1] >= new[side] - 1e-6
        assert {"crop": covers, "pad": inside, "stretch": covers and inside}[how]

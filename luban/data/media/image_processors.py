"""``preprocessor_config.json``, as Hugging Face's image processors write and read it.

They resize an image to given sides or by its shorter edge, may cut out the middle, scale and
normalise. What else some of them do cannot be honoured and is refused, by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, get_args

import numpy as np

from luban.core.errors import RecipeError
from luban.core.yaml_json import json_of
from luban.data.media.images import How, Resample

FILE = "preprocessor_config.json"
_FILTERS = get_args(Resample)
_ENDINGS = ("Fast", "Pil", "ImageProcessor", "FeatureExtractor")
# From this shortest edge on, ConvNext's processor stretches; below, it cuts out the middle.
_WARPED_FROM = 384
_CONVNEXT_PCT = 224 / 256
_FIX = "give task.image_size, image_mean and image_std instead of task.preprocessor."


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an image processor does where its file leaves it open."""

    edge: bool = False  # one number is the shorter edge, not both sides
    crop: bool = False
    resample: Resample = "bicubic"


_KINDS = {
    "": _Kind(resample="bilinear"),  # the file does not say which one it is for
    "ViT": _Kind(resample="bilinear"),
    "DeiT": _Kind(crop=True),
    "EfficientNet": _Kind(),
    "Pvt": _Kind(),
    "Blip": _Kind(),
    "Siglip": _Kind(edge=True),
    "ConvNext": _Kind(edge=True),
    "Bit": _Kind(edge=True, crop=True),
    "CLIP": _Kind(edge=True, crop=True),
    "ChineseCLIP": _Kind(edge=True, crop=True),
    "MobileNetV1": _Kind(edge=True, crop=True, resample="bilinear"),
    "MobileNetV2": _Kind(edge=True, crop=True, resample="bilinear"),
}


def processor_config(  # noqa: PLR0913
    size: tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    resize: How,
    crop_pct: float,
    resample: Resample,
) -> dict[str, Any] | None:
    """Return ``preprocessor_config.json``; None where no image processor does the same.

    None of them pads all around with grey, or resizes until two unequal sides are covered.
    """
    if resize == "pad" or (resize == "crop" and size[0] != size[1]):
        return None
    larger = [round(side / crop_pct) for side in size]
    sides = {"height": larger[0], "width": larger[1]}
    cut = resize == "crop" or crop_pct < 1
    kind = "Bit" if resize == "crop" else "DeiT" if cut else "ViT"
    return {
        "image_processor_type": f"{kind}ImageProcessor",
        "do_convert_rgb": len(mean) == 3,
        "do_resize": True,
        "size": {"shortest_edge": larger[0]} if resize == "crop" else sides,
        "resample": _FILTERS.index(resample),
        "do_center_crop": cut,
        **({"crop_size": {"height": size[0], "width": size[1]}} if cut else {}),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(mean),
        "image_std": list(std),
    }


def read_processor(folder: Path) -> dict[str, Any]:
    """Return the fields of a ``Preprocessor`` that a Hugging Face directory decides.

    Raises:
        RecipeError: if there is no such file, it cannot be understood, or it asks for what
            cannot be done here.
    """
    path = folder / FILE
    try:
        config = json_of(path.read_text(encoding="utf-8"))
        kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
        for ending in _ENDINGS:
            kind = kind.removesuffix(ending)
        if kind not in _KINDS:
            _refuse(path, f"the image processor {kind} has ways of its own")
        for flag, wanted in (("do_resize", True), ("do_rescale", True), ("do_pad", False)):
            if bool(config.get(flag, wanted)) != wanted:
                _refuse(path, f"{flag} is {str(not wanted).lower()}")
        filters = config.get("resample")
        return {
            **_geometry(config, kind, path),
            **_normalisation(config, kind),
            "resample": _KINDS[kind].resample if filters is None else _FILTERS[int(filters)],
        }
    except RecipeError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise RecipeError(
            f"cannot read {FILE} ({type(error).__name__}: {error}).",
            where=folder,
            expected="image_mean, image_std and size, as Hugging Face writes them",
            fix=_FIX,
        ) from None


def _geometry(config: Mapping[str, Any], kind: str, path: Path) -> dict[str, Any]:
    size = config["size"]
    if isinstance(size, int):
        size = {"shortest_edge": size} if _KINDS[kind].edge else {"height": size, "width": size}
    if "longest_edge" in size or not {"height", "shortest_edge"} & size.keys():
        _refuse(path, f"size is {size}")
    crops = config.get("do_center_crop")
    crops = _KINDS[kind].crop if crops is None else bool(crops)
    if not kind and not crops and "shortest_edge" in size:
        kind = "ConvNext"  # of those that cut nothing, the only one with a size of its own
    if kind == "ConvNext":
        edge, share = int(size["shortest_edge"]), config.get("crop_pct") or _CONVNEXT_PCT
        if crops:
            _refuse(path, "do_center_crop is true for ConvNext, which cuts anyway")
        if edge >= _WARPED_FROM:
            return _cut((edge, edge), (edge, edge), "stretch", path)
        return _cut((int(edge / share),) * 2, (edge, edge), "crop", path)
    if "shortest_edge" not in size:
        sides = (int(size["height"]), int(size["width"]))
        return _cut(sides, _crop_size(config) if crops else sides, "stretch", path)
    if not crops:
        _refuse(path, "only the shortest edge is given, so that images differ in size")
    return _cut((int(size["shortest_edge"]),) * 2, _crop_size(config), "crop", path)


def _crop_size(config: Mapping[str, Any]) -> tuple[int, int]:
    crop = config["crop_size"]
    crop = {"height": crop, "width": crop} if isinstance(crop, int) else crop
    return int(crop["height"]), int(crop["width"])


def _cut(larger: tuple[int, int], size: tuple[int, int], how: How, path: Path) -> dict[str, Any]:
    """Return how a larger image is cut to a size, if one share says it for both sides."""
    share = size[0] / larger[0]
    same = tuple(round(side / share) for side in size) == larger
    if share > 1 or not same or (how == "crop" and size[0] != size[1]):
        _refuse(path, f"{size[0]} x {size[1]} is cut out of {larger[0]} x {larger[1]}")
    return {"size": size, "resize": how, "crop_pct": share}


def _normalisation(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return mean and std of values from 0 to 1, whatever they are scaled by and shifted."""
    mean, std = np.zeros(3), np.ones(3)
    if config.get("do_normalize", True):
        mean, std = np.array(config["image_mean"], float), np.array(config["image_std"], float)
    if kind == "EfficientNet":
        mean = mean + (1 if config.get("rescale_offset") else 0)
        std = std * (np.array(config["image_std"]) if config.get("include_top", True) else 1)
    factor = 255 * float(config.get("rescale_factor", 1 / 255))
    return {
        name: tuple(float(one) for one in values / factor)
        for name, values in (("mean", mean), ("std", std))
    }


def _refuse(path: Path, why: str) -> NoReturn:
    raise RecipeError(
        f"this {FILE} asks for what cannot be done here: {why}.",
        where=path,
        expected="images resized to one size, perhaps their middle, scaled and normalised",
        fix=_FIX,
    )

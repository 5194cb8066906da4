"""Pictures of predictions: what ``Illustrated.show`` draws, as PNG files."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any, TypeAlias

from luban.core.contracts import Example, Illustrated, Task

#: An example, its prediction and its target (None where it is not known).
Seen: TypeAlias = tuple[Example, Any, Any]

#: Tried one after the other for letters that the one before lacks.
_FONTS = (
    "DejaVu Sans", "Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "PingFang SC",
    "Microsoft YaHei", "SimHei", "Arial Unicode MS",
)  # fmt: skip
_DPI = 130
_WRITING = 0.35  #: inches of what is written above and below a picture


def draws(task: Task) -> bool:
    """Return whether a task draws its examples at all."""
    return isinstance(task, Illustrated) and type(task).show is not Illustrated.show


def sheet(task: Task, things: Sequence[Seen], *, inches: float = 2.6) -> bytes | None:
    """Return a PNG of examples with their predictions, in rows; None if nothing is to be seen.

    Args:
        task: What draws.
        things: What it draws, at least one.
        inches: Width of each.
    """
    if not (isinstance(task, Illustrated) and draws(task)):
        return None
    from matplotlib.figure import Figure

    columns = math.ceil(math.sqrt(len(things)))
    lines = math.ceil(len(things) / columns)
    with plain_text():
        figure = Figure(figsize=(inches * columns, 1.08 * inches * lines), layout="constrained")
        places = list(figure.subplots(lines, columns, squeeze=False).flat)
        for axes in places:
            axes.set(xticks=[], yticks=[])
        drawn = [task.show(axes, *thing) for axes, thing in zip(places, things, strict=False)]
        for axes in places[len(things) :]:
            axes.set_axis_off()
        if shapes := [shape for axes in places[: len(things)] if (shape := _shape(axes))]:
            written = any(axes.get_title() or axes.get_xlabel() for axes in places)
            height = inches * median(shapes) + _WRITING * written
            figure.set_size_inches(inches * columns, lines * height)
        return png_of(figure) if any(drawn) else None


def _shape(axes: Any) -> float | None:
    """Return height over width of what axes show in its own proportions; None: it has none."""
    if axes.get_aspect() == "auto" or not axes.get_images():
        return None
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    return float(abs(high - low) / abs(right - left))


def png_of(figure: Any) -> bytes:
    """Return a matplotlib figure as PNG."""
    buffer = io.BytesIO()
    with plain_text():
        figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


@contextmanager
def plain_text() -> Iterator[None]:
    """Draw texts as they are: a ``$`` is no formula, and Chinese is drawn where a font has it.

    A ``matplotlibrc`` of the user, or of whoever made the working directory, does not count: it
    could have figures drawn by another program.
    """
    from matplotlib import font_manager, style

    known = set(font_manager.get_font_names())
    fonts = [font for font in _FONTS if font in known]
    with (
        style.context(["default", {"text.parse_math": False, "font.family": fonts}]),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield

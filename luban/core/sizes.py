"""Sizes that a recipe may name: bounded, so that none takes memory before it is counted."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

#: Features, channels or filters of a layer.
Width: TypeAlias = Annotated[int, Field(ge=1, le=1_048_576)]
#: Layers of a part of a model.
Depth: TypeAlias = Annotated[int, Field(ge=0, le=1_024)]
#: Tokens in a row.
Span: TypeAlias = Annotated[int, Field(ge=1, le=1_024)]
#: Pixels of a side of an image; how many there may be in all is ``PIXELS_LIMIT``.
Side: TypeAlias = Annotated[int, Field(ge=1, le=65_536)]
#: Stages, or parts side by side, of one model.
MAX_PARTS = 1_024

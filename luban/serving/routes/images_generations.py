"""``POST /v1/images/generations``: the name of a thing in, images of it out, as OpenAI has it.

Fields that could not be honoured are refused rather than dropped; ``seed`` is an addition
(``extra_body`` in the openai client).
"""

# Without postponed annotations: the schema of a body depends on the model that is served.

import base64
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from prometheus_client import Counter
from pydantic import BaseModel, Field, WithJsonSchema, create_model, field_validator
from pydantic_core import PydanticCustomError

from luban.core.errors import RequestError
from luban.data.media.images import to_png
from luban.inference.images import ImageMaker
from luban.serving.errors import ApiError
from luban.serving.http import unless_disconnected
from luban.serving.route import Route, Service
from luban.serving.routes._requests import Body
from luban.serving.scheduler import InOrder, Scheduler, Stream


class ImagesRequest(Body):
    """What images are wanted; the model says what ``prompt`` and ``size`` may be."""

    prompt: str
    model: str | None = None
    n: int | None = Field(default=None, ge=1)
    size: str | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    user: str | None = None
    response_format: Literal["b64_json"] | None = None
    output_format: Literal["png"] | None = None
    output_compression: Literal[100] | None = None
    background: Literal["auto", "opaque"] | None = None
    moderation: Literal["auto"] | None = None
    quality: Literal["auto"] | None = None
    partial_images: Literal[0] | None = None
    stream: Literal[False] | None = None

    @field_validator("response_format", mode="before")
    @classmethod
    def _no_files(cls, value: Any) -> Any:
        if value == "url":
            raise PydanticCustomError("unsupported", "this server keeps no files; use b64_json")
        return value


class ImageData(BaseModel):
    """An image: a PNG file in base64."""

    b64_json: str


class ImagesResponse(BaseModel):
    """The images, in order."""

    created: int
    data: list[ImageData]
    output_format: Literal["png"] = "png"
    size: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request as the model sees it."""

    label: str | None
    count: int
    seed: int


class ImagesGenerations(Route):
    """Serves an ``ImageMaker``."""

    def fits(self, model: object) -> bool:
        """Return whether the model makes images."""
        return isinstance(model, ImageMaker)

    def mount(self, app: FastAPI, service: Service) -> None:
        """Add ``POST /v1/images/generations``."""
        maker, limits = service.model, service.limits
        if not isinstance(maker, ImageMaker):
            raise TypeError(f"{maker!r} does not make images")
        scheduler: Scheduler[Wanted, list[bytes]] = service.add(
            InOrder(lambda wanted: perform(maker, wanted), limits.waiting)
        )
        registry = service.metrics.registry
        counter = Counter("luban_images", "Images made.", registry=registry)
        size = size_of(maker)
        labels = WithJsonSchema({"enum": [*maker.labels, ""]})
        sizes = WithJsonSchema({"enum": ["auto", size, None]})
        body_of_model: Any = create_model(
            "ImagesRequest",
            __base__=ImagesRequest,
            prompt=(Annotated[str, labels], ...),
            size=(Annotated[str | None, sizes], None),
            n=(Annotated[int | None, Field(ge=1, le=limits.choices)], None),
        )

        @app.post("/v1/images/generations", response_model=ImagesResponse)
        async def generate(body: body_of_model, request: Request) -> JSONResponse:
            """Make images of a thing."""
            if body.model is not None:
                service.check_model(body.model)
            wanted = plan(maker, body)
            with scheduler.submit(wanted, limits.seconds) as stream:
                files = await unless_disconnected(request, _gathered(stream))
            counter.inc(len(files))
            data = [ImageData(b64_json=base64.b64encode(file).decode()) for file in files]
            answer = ImagesResponse(created=int(time.time()), data=data, size=size)
            return JSONResponse(answer.model_dump())


def plan(maker: ImageMaker, body: ImagesRequest) -> Wanted:
    """Check a request against the model.

    Raises:
        ApiError: 400, with the field at fault.
    """
    if body.size not in (None, "auto", size_of(maker)):
        told = f"size: this model makes images of {size_of(maker)} only."
        raise ApiError(400, told, param="size")
    try:
        label = maker.label_of(body.prompt)
    except RequestError as error:
        raise ApiError(400, f"prompt: {error}", param="prompt") from None
    seed = secrets.randbits(63) if body.seed is None else body.seed
    return Wanted(label, body.n or 1, seed)


def perform(maker: ImageMaker, wanted: Wanted) -> Iterator[list[bytes]]:
    """Yield PNG files, a batch at a time, so that a client may leave in between."""
    for images in maker.make(wanted.label, wanted.count, wanted.seed):
        yield [to_png(image) for image in images]


def size_of(maker: ImageMaker) -> str:
    """Return the size of what a model makes as OpenAI writes it: width first."""
    return f"{maker.size[1]}x{maker.size[0]}"


async def _gathered(stream: Stream[list[bytes]]) -> list[bytes]:
    return [file async for files in stream for file in files]

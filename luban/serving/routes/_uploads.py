"""Files in requests: ``multipart/form-data``, as forms of browsers and ``curl -F`` send it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Scope

from luban.data.media.media_files import Media
from luban.inference.predictor import file_fields
from luban.serving.errors import ApiError
from luban.serving.route import Limits
from luban.serving.strict_json import parsed_json

#: How OpenAPI is told of a file in a form.
FILE = {"type": "string", "format": "binary"}
#: What stands for a file where a schema asks for base64.
_ANY_FILE = "AAAA"


class FormRoute(APIRoute):
    """Takes the requests of a path that are forms; the route of the same path takes the others."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether a request is for this route."""
        kinds = [value for name, value in scope.get("headers", ()) if name == b"content-type"]
        if kinds and kinds[0].lower().startswith(b"multipart/form-data"):
            return super().matches(scope)
        return Match.NONE, {}


class _WholeForm(MultiPartParser):
    """Refuses a form without its last boundary.

    What comes before an error is closed by ``parse``; the file of a part that never ends, without
    an error, would be in no form, and be left open.
    """

    def __init__(self, request: Request, most: int, part_bytes: int) -> None:
        stream, self._ended = self._to_the_end(request.stream()), False
        super().__init__(
            request.headers, stream, max_files=most, max_fields=most, max_part_size=part_bytes
        )

    def on_end(self) -> None:
        """Note that the last boundary was read."""
        self._ended = True

    async def _to_the_end(self, stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async with aclosing(stream):
            async for part in stream:
                yield part
        if not self._ended:
            raise MultiPartException("Its last boundary is missing.")


@asynccontextmanager
async def form_of(request: Request, limits: Limits, fields: int = 1) -> AsyncIterator[FormData]:
    """Read a form whole, and drop its files at the end.

    Args:
        request: With a body that nobody has read.
        limits: How many records there may be, and how long a text.
        fields: How many fields a record has.

    Raises:
        ApiError: 400 if it cannot be read, 413 if it is too large.
    """
    _check_kind(request.headers.get("content-type", ""))
    most = fields * limits.records + 16  # the caller says better how many records are too many
    try:
        form = await _WholeForm(request, most, limits.body_bytes).parse()
    except MultiPartException as error:
        raise ApiError(400, f"The form cannot be read: {error.message}") from None
    except ClientDisconnect:
        raise ApiError(499, "The client closed the connection.") from None
    try:
        yield form
    finally:  # not ``form.close()``, which a request that is cancelled cuts short
        for _, value in form.multi_items():
            if isinstance(value, UploadFile):
                value.file.close()


def _check_kind(kind: str) -> None:
    """Refuse forms of another kind, or whose texts are in another encoding than UTF-8.

    Raises:
        ApiError: 400.
    """
    name, options = parse_options_header(kind)
    if name != b"multipart/form-data":
        raise ApiError(400, "The body must be a form, sent as Content-Type: multipart/form-data.")
    if options.get(b"charset", b"utf-8").lower() not in (b"utf-8", b"utf8"):
        raise ApiError(400, "The texts of a form must be in UTF-8.")


async def file_of(value: UploadFile | str, field: str) -> Media:
    """Return a file of a form, whole.

    Raises:
        ApiError: 400 if it is text. The name of a file is never looked up on this machine.
    """
    if isinstance(value, str):
        raise ApiError(
            400,
            f"{field}: this is text, not a file; send the file itself (curl -F {field}=@FILE).",
            param=field,
        )
    return Media(value.filename or field, await value.read())


def text_of(value: UploadFile | str, field: str) -> str:
    """Return a text of a form.

    Raises:
        ApiError: 400 if it is a file.
    """
    if isinstance(value, str):
        return value
    raise ApiError(400, f"{field}: this is a file, not text.", param=field)


async def records_of(form: FormData, schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the records of a form: the first of every field makes the first one, and so on.

    Args:
        form: Its fields are those of a record; ``model`` and ``parameters`` are left out.
        schema: Of a record.

    Raises:
        ApiError: 400 for other fields, or if one is not there for every record.
    """
    properties, files = schema.get("properties", {}), file_fields(schema)
    columns: dict[str, list[Any]] = {}
    for name, value in form.multi_items():
        if name in files:
            columns.setdefault(name, []).append(await file_of(value, name))
        elif name in properties:
            plain = _plain(text_of(value, name), properties[name])
            columns.setdefault(name, []).append(plain)
        elif name not in ("model", "parameters"):
            raise ApiError(400, f"Unrecognized form field supplied: {name}", param=name)
    counts = {name: len(column) for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise ApiError(400, f"Every record needs one of each field, but there are {told}.")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def as_json(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as its schema describes it, whatever its files hold."""
    return {n: _ANY_FILE if isinstance(v, Media) else v for n, v in record.items()}


def form_body(schema: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """Return what OpenAPI is told of a form of records: several of a field make several."""
    about = "As JSON, like those of a request without a form."
    properties: dict[str, Any] = {
        "model": {"type": "string"},
        "parameters": {"type": "string", "description": about},
    }
    for name, form in schema.get("properties", {}).items():
        items = FILE if name in file_fields(schema) else form
        many = {"type": "array", "items": items, "minItems": 1, "maxItems": limits.records}
        properties[name] = many
    return told_form(properties, schema.get("required", ()), limits)


def told_form(
    properties: Mapping[str, Any], required: Sequence[str], limits: Limits
) -> dict[str, Any]:
    """Return ``requestBody`` of OpenAPI with a form besides what else is taken."""
    form = {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
        "description": f"At most {limits.upload_bytes:,} bytes in all.",
    }
    return {"requestBody": {"content": {"multipart/form-data": {"schema": form}}}}


def _plain(text: str, form: Mapping[str, Any]) -> Any:
    """Return what a text of a form is in JSON: numbers and lists are written as JSON."""
    if form.get("type", "string") == "string":
        return text
    try:
        return parsed_json(text)
    except ApiError:  # the schema says what is wrong with it
        return text

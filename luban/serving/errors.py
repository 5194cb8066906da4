"""Errors as OpenAI clients know them: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from luban.core.errors import CapacityError, DataError, RequestError

#: Status to the (type, code) that OpenAI gives it.
_KINDS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "not_found"),
    405: ("invalid_request_error", "method_not_allowed"),
    408: ("invalid_request_error", "request_timeout"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    500: ("server_error", "internal_error"),
    503: ("server_error", "service_unavailable"),
}


class ErrorDetail(BaseModel):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: ErrorDetail


#: How OpenAPI is told of errors.
RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "The request is at fault, or comes too early."},
    "5XX": {
        "model": ErrorBody,
        "description": "Full, stopping, or out of time (503).",
    },
}


class ApiError(HTTPException):
    """An answer that is an error.

    Args:
        status: HTTP status.
        message: What is wrong and what to do, for a person.
        param: The field of the request at fault.
        code: For programs, if the status alone does not say it.
        headers: Further HTTP headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.param, self.code = param, code

    def body(self) -> dict[str, Any]:
        """Return the JSON object of the error."""
        kind, code = _KINDS.get(self.status_code, ("invalid_request_error", None))
        param = None if self.param is None else _whole(self.param)
        error = {"message": _whole(self.detail), "type": kind, "param": param}
        return {"error": {**error, "code": self.code or code}}

    def response(self) -> JSONResponse:
        """Return the HTTP answer."""
        return JSONResponse(self.body(), self.status_code, self.headers)


def api_error(error: Exception) -> ApiError:
    """Return the answer to any exception; what is our fault keeps its details in the log."""
    match error:
        case ApiError():
            return error
        case RequestValidationError():
            return _invalid(error)
        case RequestError() | DataError():
            return ApiError(400, str(error))
        case TimeoutError():
            told = "The answer took longer than this server allows."
            return ApiError(503, told, code="timeout")
        case CapacityError():
            return ApiError(503, f"The server has no room for this request: {error.what}")
        case HTTPException(status_code=400):  # FastAPI's, for bytes that are no text, say
            return ApiError(400, "The body cannot be read as JSON.")
        case HTTPException():
            return ApiError(error.status_code, error.detail, headers=error.headers)
        case _:
            return ApiError(500, "The server failed; its log says why.")


def install(app: FastAPI) -> None:
    """Make every error of an app an OpenAI one; the Doorkeeper sees to the unexpected."""

    async def answer(request: Request, error: Exception) -> JSONResponse:
        found = api_error(error)
        if isinstance(error, HTTPException) and found.detail == HTTPStatus(404).phrase:
            found = ApiError(
                404,
                f"Unknown request URL: {request.method} {request.scope['path']}.",
                code="unknown_url",
            )
        return found.response()

    ours = (RequestError, DataError, CapacityError)
    for kind in (HTTPException, RequestValidationError, *ours, TimeoutError):
        app.add_exception_handler(kind, answer)


def _invalid(error: RequestValidationError) -> ApiError:
    """Return the first fault of a request body, with the field's name."""
    first = error.errors()[0]
    param = _field(first["loc"][1:]) if first["type"] != "json_invalid" else None
    if first["type"] == "extra_forbidden":
        message = f"Unrecognized request argument supplied: {param}"
    elif first["type"] == "json_invalid":
        message = f"The body is not valid JSON: {first['ctx']['error']}."
    elif param is None:
        message = "The body must be a JSON object, sent as Content-Type: application/json."
    else:
        message = f"{param}: {first['msg']}."
    return ApiError(400, message, param=param)


def _field(path: Sequence[str | int]) -> str | None:
    """Return a path as OpenAI writes it, ``messages[0].role``, without the forms of a union."""
    text = ""
    for step in path:
        if step in ("str", "int", "float", "bool") or "[" in str(step):
            break
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".") or None


def _whole(text: str) -> str:
    """Escape half characters, which a request may hold and UTF-8 cannot."""
    return text.encode(errors="backslashreplace").decode()

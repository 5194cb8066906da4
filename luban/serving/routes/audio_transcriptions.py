"""``POST /v1/audio/transcriptions``: a recording in, its words out, as OpenAI has it.

Fields that could not be honoured are refused rather than dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel
from starlette.datastructures import FormData

from luban.data.media import audio
from luban.inference.predictor import Predictor
from luban.serving.errors import ApiError
from luban.serving.route import Limits, Route, Service
from luban.serving.routes._records import Records
from luban.serving.routes._uploads import FILE, file_of, form_of, text_of, told_form

#: Products that are text where a recording goes in.
_WORDS = ("alignment", "sequence")
_FIELD = "audio"
_LANGUAGE = re.compile(r"^[a-z]{2,3}\Z")
_FORMATS = ("json", "text", "verbose_json")


class Transcription(BaseModel):
    """What was said; the other fields only where ``verbose_json`` was asked for."""

    text: str
    task: str | None = None
    language: str | None = None
    duration: float | None = None


class AudioTranscriptions(Route):
    """Serves a ``Predictor`` that writes down what it hears."""

    def fits(self, model: object) -> bool:
        """Return whether recordings go in, and text comes out."""
        if not isinstance(model, Predictor):
            return False
        signature = model.task.signature()
        fields = model.task.record_schema().get("required", ())
        return (
            signature.accepts == "frames"
            and signature.produces in _WORDS
            and list(fields) == [_FIELD]
        )

    def mount(self, app: FastAPI, service: Service) -> None:
        """Add ``POST /v1/audio/transcriptions``."""
        records, limits = Records.of(service), service.limits
        service.uploads = True

        @app.post(
            "/v1/audio/transcriptions",
            response_model=Transcription,
            responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
            openapi_extra=_told(limits),
        )
        async def transcribe(request: Request) -> Response:
            """Write down what is said in a recording."""
            async with form_of(request, limits) as form:
                service.check_model(_asked(form, "model"))
                answered_as = _check(form)
                # The model does not tell the language: ISO 639 calls that undetermined.
                language = (_asked(form, "language") if "language" in form else "") or "und"
                recording = await file_of(_one(form, "file"), "file")
            [answer] = await records.answer([{_FIELD: recording}], request, several=False)
            text = str(answer["text"])
            if answered_as == "text":
                return PlainTextResponse(text + "\n")
            if answered_as == "json":
                return JSONResponse({"text": text})
            _, seconds = await run_in_threadpool(audio.form_of, recording)
            said = {"task": "transcribe", "language": language, "duration": seconds, "text": text}
            return JSONResponse(said)


def _told(limits: Limits) -> dict[str, Any]:
    properties = {
        "file": FILE,
        "model": {"type": "string"},
        "response_format": {"enum": list(_FORMATS)},
        "language": {"type": "string", "pattern": _LANGUAGE.pattern},
        "temperature": {"enum": [0]},
        "stream": {"enum": [False]},
    }
    return told_form(properties, ("file", "model"), limits)


def _check(form: FormData) -> str:
    """Refuse what cannot be honoured; return the form of the answer.

    Raises:
        ApiError: 400, with the field at fault.
    """
    for name in form:
        if name in ("file", "model"):
            continue
        if name not in _ASKS_NOTHING:
            raise ApiError(400, f"Unrecognized form field supplied: {name}", param=name)
        fine, why = _ASKS_NOTHING[name]
        if not fine(_asked(form, name)):
            raise ApiError(400, f"{name}: {why}.", param=name)
    return _asked(form, "response_format") if "response_format" in form else "json"


def _one(form: FormData, name: str) -> Any:
    values = form.getlist(name)
    if len(values) != 1:
        raise ApiError(400, f"{name}: one is needed, not {len(values)}.", param=name)
    return values[0]


def _asked(form: FormData, name: str) -> str:
    return text_of(_one(form, name), name)


def _is_zero(text: str) -> bool:
    try:
        return float(text) == 0
    except ValueError:
        return False


#: Further fields: which texts ask for nothing, and what is told of others.
_ASKS_NOTHING: dict[str, tuple[Callable[[str], bool], str]] = {
    "response_format": (_FORMATS.__contains__, f"this server has {', '.join(_FORMATS)}"),
    "temperature": (_is_zero, "this model takes no chances; leave it out"),
    "language": (
        lambda text: not text or _LANGUAGE.search(text) is not None,
        "must be a code of ISO 639, as 'en'; it is told back, and changes no word",
    ),
    "prompt": (lambda text: not text, "this model takes no prompt; leave it out"),
    "stream": (lambda text: text.lower() in ("", "false"), "this server answers at once"),
    "chunking_strategy": (lambda text: not text, "a recording is heard as a whole; leave it out"),
    "include[]": (lambda text: not text, "this server has nothing to add; leave it out"),
    "timestamp_granularities[]": (
        lambda text: not text,
        "this model does not tell when; leave it out",
    ),
}

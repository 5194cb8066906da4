"""What /openapi.json says is true: schemathesis sends what it allows, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from luban.inference.predictor import Predictor
from luban.serving.app import create_app
from luban.serving.route import Limits, Service
from tests.inference.toy import Counter, Counting
from tests.inference.toy_media import Hearing, Nothing
from tests.serving.running import scripted
from tests.serving.test_chat import chatting
from tests.serving.test_images import MAKER

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
SEEN: dict[str, set[int]] = {}
LIMITS = Limits(max_tokens=8, choices=4)


def api_of(model: object) -> Any:
    app = create_app(Service(model=model, name="tiny", limits=LIMITS))

    async def lasting(scope: Any, receive: Any, send: Any) -> None:
        """The app, which does not end with each call."""
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for _ in range(2):
            await send({"type": f"{(await receive())['type']}.complete"})

    return schemathesis.openapi.from_asgi("/openapi.json", lasting)


TEXT = api_of(chatting(scripted("abc")))
TASKS = api_of(Predictor(Counting(), Counter()))
FILES = api_of(Predictor(Hearing(), Nothing()))
IMAGES = api_of(MAKER)
APIS = ["text", "tasks", "files", "images"]
BOUNDED = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@TEXT.parametrize()  # type: ignore[untyped-decorator]
@BOUNDED
def test_text(case: Any) -> None:
    _send(case)


@TASKS.parametrize()  # type: ignore[untyped-decorator]
@BOUNDED
def test_tasks(case: Any) -> None:
    _send(case)


@FILES.parametrize()  # type: ignore[untyped-decorator]
@BOUNDED
def test_files(case: Any) -> None:
    _send(case)


@IMAGES.parametrize()  # type: ignore[untyped-decorator]
@BOUNDED
def test_images(case: Any) -> None:
    _send(case)


def _send(case: Any) -> None:
    model = case.body.get("model") if isinstance(case.body, dict) else None
    if isinstance(model, str) and len(model) % 4:  # any other than what is served is only a 404
        case.body["model"] = "tiny"
    SEEN.setdefault(case.path, set()).add(case.call_and_validate(checks=CHECKS).status_code)


def test_requests_came_through() -> None:
    """What is refused at the door tries nothing behind it."""
    if not SEEN:
        pytest.skip("nothing was sent")
    for path, statuses in SEEN.items():
        assert statuses & {200, 404}, path
        assert 200 in statuses or "{" in path, f"{path}: {statuses}"


@pytest.mark.parametrize("api", [TEXT, TASKS, FILES, IMAGES], ids=APIS)
def test_errors_are_documented(api: Any) -> None:
    for path in api.raw_schema["paths"].values():
        for operation in path.values():
            error = operation["responses"]["4XX"]["content"]["application/json"]["schema"]
            assert error == {"$ref": "#/components/schemas/ErrorBody"}
            assert "422" not in operation["responses"]

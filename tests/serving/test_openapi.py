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
#: Statuses by API and path.
SEEN: dict[str, dict[str, set[int]]] = {}
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
    _send("text", case)


@TASKS.parametrize()  # type: ignore[untyped-decorator]
@BOUNDED
def test_tasks(case: Any) -> None:
    _send("tasks", case)


@FILES.parametrize()  # type: ignore[untyped-decorator]
@BOUNDED
def test_files(case: Any) -> None:
    _send("files", case)


@IMAGES.parametrize()  # type: ignore[untyped-decorator]
@BOUNDED
def test_images(case: Any) -> None:
    _send("images", case)


def _send(api: str, case: Any) -> None:
    model = case.body.get("model") if isinstance(case.body, dict) else None
    if isinstance(model, str) and len(model) % 4:  # any other than what is served is only a 404
        case.body["model"] = "tiny"
    status = case.call_and_validate(checks=CHECKS).status_code
    SEEN.setdefault(api, {}).setdefault(case.path, set()).add(status)


@pytest.mark.parametrize(("name", "api"), [*zip(APIS, [TEXT, TASKS, FILES, IMAGES], strict=True)])
def test_requests_came_through(name: str, api: Any) -> None:
    """What is refused at the door tries nothing behind it."""
    if SEEN.get(name, {}).keys() != api.raw_schema["paths"].keys():
        pytest.skip("the tests before this one were not chosen, or ran in another process")
    for path, statuses in SEEN[name].items():
        assert (200 in statuses) or ("{" in path and 404 in statuses), f"{path}: {statuses}"


@pytest.mark.parametrize("api", [TEXT, TASKS, FILES, IMAGES], ids=APIS)
def test_errors_are_documented(api: Any) -> None:
    for path in api.raw_schema["paths"].values():
        for operation in path.values():
            error = operation["responses"]["4XX"]["content"]["application/json"]["schema"]
            assert error == {"$ref": "#/components/schemas/ErrorBody"}
            assert "422" not in operation["responses"]

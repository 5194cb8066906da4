"""The application: what every server has, and the routes that fit its model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from luban import __version__
from luban.core import registry
from luban.core.errors import ContractError
from luban.serving import errors
from luban.serving.middleware import Doorkeeper
from luban.serving.route import Route, Service
from luban.serving.strict_json import JsonRoute


def create_app(service: Service) -> FastAPI:
    """Return the ASGI application that serves a model.

    Raises:
        ContractError: if no route can serve it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.stop()

    # Without the pages of documentation: they would load scripts from elsewhere.
    app = FastAPI(
        title="Luban",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=errors.RESPONSES,
        redirect_slashes=False,  # where to would be a matter of the header Host
    )
    app.router.route_class = JsonRoute
    app.add_middleware(Doorkeeper, service=service)
    errors.install(app)
    _add_common(app, service)
    routes = [_load(name) for name in registry.names("routes")]
    fitting = [route for route in routes if route.fits(service.model)]
    if not fitting:
        raise ContractError(
            "no route can serve this model.",
            got=type(service.model).__name__,
            expected=f"one that fits: {', '.join(registry.names('routes'))}",
        )
    for route in fitting:
        route.mount(app, service)
    return app


def _load(name: str) -> Route:
    return registry.load("routes", name, Route)()  # type: ignore[type-abstract]


def _add_common(app: FastAPI, service: Service) -> None:
    card = {
        "id": service.name,
        "object": "model",
        "created": service.created,
        "owned_by": "luban",
    }

    @app.get("/health", responses={503: {"description": "Stopping."}})
    async def health() -> JSONResponse:
        """Say whether the server takes requests."""
        if service.draining:
            return JSONResponse({"status": "stopping"}, 503)
        return JSONResponse({"status": "ok", "model": service.name})

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        """Return the measurements in Prometheus' text format."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """List the one model."""
        return {"object": "list", "data": [card]}

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """Describe a model."""
        service.check_model(name)
        return card

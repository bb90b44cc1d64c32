"""The application: a function of its models and its settings.

(CORS, where it is set)
  -> ExchangeLayer (request id, clock, errors, security headers, observers)
    -> (preflights, with CORS), layers (keys, limits)
      -> Shortcut -> the prediction routes
                  -> HeadLayer -> FastAPI: everything else
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from threading import Lock
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from models import __version__
from service import headers, openapi
from service.exchange import ExchangeLayer, Observer, Template
from service.head import HeadLayer
from service.metrics import Metrics
from service.raw_routes import RawRoute, Shortcut
from service.registry import Registry
from service.routes import (
    batch,
    health,
    inference,
    missing,
    models,
    pages,
    predict,
    problems,
    web,
)
from service.routes import metrics as metrics_route
from service.settings import Settings

Layer = Callable[[ASGIApp], ASGIApp]


class Service(FastAPI):
    """FastAPI behind the layers that the module lists."""

    drain: Callable[[], None]
    """Called when the process is about to leave: from then on it is not ready, but still answers."""

    at_once: frozenset[str] = frozenset()
    """Paths whose requests are answered in microbatches, see `service.microbatch`."""

    _describing = Lock()
    _document: dict[str, Any] | None = None

    def enter_by(self, layers: Iterable[Layer]) -> None:
        """Wrap FastAPI in layers, the first one outermost."""
        entry: ASGIApp = HeadLayer(super().__call__)
        for layer in reversed(list(layers)):
            entry = layer(entry)
        self._entry = entry

    @override
    def build_middleware_stack(self) -> ASGIApp:
        """FastAPI without its middleware for errors: `service.exchange` answers them all."""
        return AsyncExitStackMiddleware(self.router)

    @override
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once; thread-safe."""
        with self._describing:
            if not self._document:
                self._document = openapi.document(super().openapi())
            return self._document

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, through the layers."""
        await self._entry(scope, receive, send)


def create_app(
    registry: Registry,
    settings: Settings,
    *,
    layers: Iterable[Layer] = (),
    observers: Iterable[Observer] = (),
    metrics: Metrics | None = None,
) -> Service:
    """The service of the models in `registry`.

    layers : ASGI layers between the exchange and the routes. observers : told of every exchange.
    metrics : shown at /metrics; without them there is no such route.
    """

    @asynccontextmanager
    async def follow_store(_: FastAPI) -> AsyncIterator[None]:
        registry.start()
        yield
        registry.stop()

    app = Service(
        lifespan=follow_store,
        title="Backprop service",
        version=__version__,
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        generate_unique_id_function=lambda route: route.name,
        openapi_url=None,  # see `service.routes.web`
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    hot: list[RawRoute] = []
    for name in registry.names():
        title = registry[name].model.task.title
        hot.append(predict.route(name, title, registry))
        hot.append(batch.route(name, title, registry, settings))
    app.router.routes.extend(hot)
    app.router.routes.extend(inference.infer_routes(registry, settings))
    included = [
        models.router(registry),
        inference.router(registry),
        health.router(registry),
        problems.router(),
        web.router(),
    ]
    if metrics is not None:
        included.append(metrics_route.router(metrics))
    for router in included:
        app.include_router(router)
    app.router.routes.extend(pages.routes(registry.names()))
    app.router.default = missing.missing
    app.drain = registry.drain
    templates = _templates([app.router, *included])
    app.at_once = frozenset(f"/predict/{name}" for name in registry.names())
    cors, preflights = headers.allow_origins(settings.origins)
    app.enter_by(
        [
            *cors,
            lambda inner: ExchangeLayer(inner, observers, templates),
            *preflights,
            *layers,
            lambda inner: Shortcut(inner, hot),
        ]
    )
    return app


def _templates(routers: Iterable[APIRouter]) -> list[Template]:
    """The templates of the routes of `routers`; a mount is known by that of its files."""
    routes = [route for router in routers for route in router.routes]
    files = [(r.path_regex, f"{r.path}/{{name}}") for r in routes if isinstance(r, Mount)]
    return [*((r.path_regex, r.path) for r in routes if isinstance(r, Route)), *files]

"""GET /models, /models/{name} and /models/{name}/versions: the model cards."""

import hashlib
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Path, Request
from starlette.responses import Response
from starlette.types import Scope

from service import headers
from service.card import card
from service.card_schema import Card, Models, Versions
from service.errors import NOT_FOUND, Problem
from service.exchange import Exchange
from service.fault_messages import instead_of
from service.registry import Registry
from service.routes import documented
from service.served import Served

Name = Annotated[str, Path(description="The model's name", examples=["bikes"])]
Known = Annotated[
    str | None,
    Header(alias="If-None-Match", description="The ETag of what the client has already"),
]


def router(registry: Registry) -> APIRouter:
    """The routes of this module."""
    routes = APIRouter(prefix="/models", tags=["models"])
    cached: dict[int | str, dict[str, Any]] = {
        200: {"headers": documented.headers("ETag")},
        304: {"description": "The client has it already", "headers": documented.headers("ETag")},
    }
    one = cached | documented.problems(404)

    @routes.get("", summary="The models that are served", response_model=Models, responses=cached)
    async def list_models(request: Request, _: Known = None) -> Response:
        content = {"models": [_listed(registry[name]) for name in registry.names()]}
        return _cached(request, content)

    @routes.get("/{name}", summary="A model's card", response_model=Card, responses=one)
    async def model_card(name: Name, request: Request, _: Known = None) -> Response:
        return _cached(request, card(find(registry, request.scope, name)))

    @routes.get(
        "/{name}/versions", summary="A model's versions", response_model=Versions, responses=one
    )
    async def model_versions(name: Name, request: Request, _: Known = None) -> Response:
        served = find(registry, request.scope, name)
        newest_first = registry.versions(name)[::-1]
        content = {"name": name, "current": served.version, "versions": newest_first}
        return _cached(request, content)

    return routes


def find(registry: Registry, scope: Scope, name: str) -> Served:
    """The version of the model `name` that answers, which the observers are told of. Raises Problem."""
    if name not in registry:
        words = f"There is no model {name[:50]}; {instead_of(name, registry.names())}"
        raise Problem(NOT_FOUND, words)
    exchange: Exchange = scope["exchange"]
    served = exchange.served = registry[name]
    return served


def _listed(served: Served) -> dict[str, str]:
    return {
        "name": served.name,
        "version": served.version,
        "title": served.model.task.title,
        "predict": f"/predict/{served.name}",
        "card": f"/models/{served.name}",
    }


def _cached(request: Request, content: Any) -> Response:
    """JSON with an ETag: a client that has it already gets 304 and no body."""
    body = orjson.dumps(content)
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    told = {"etag": tag, "cache-control": "no-cache"}
    if headers.is_held(tag, request.scope):
        return Response(status_code=304, headers=told)
    return Response(body, media_type="application/json", headers=told)

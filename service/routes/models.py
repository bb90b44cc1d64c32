"""GET /models, /models/{name} and /models/{name}/versions: the model cards."""

import hashlib
from typing import Any

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from service.card import card
from service.errors import NOT_FOUND, Problem
from service.exchange import Exchange
from service.registry import Registry
from service.routes import documented
from service.served import Served
from service.words import instead_of


class Listed(BaseModel):
    """A model, in short."""

    name: str
    version: str
    title: str
    predict: str
    card: str


class Models(BaseModel):
    """What is served."""

    models: list[Listed]


class Card(BaseModel):
    """A model card: see docs for its members."""

    model_config = ConfigDict(extra="allow")

    name: str
    version: str
    title: str
    answer: dict[str, Any]
    fields: list[dict[str, Any]]
    limits_of_use: list[str]


class Versions(BaseModel):
    """The versions of a model in the store, the newest first, and the one that answers."""

    name: str
    current: str
    versions: list[str]


def router(registry: Registry) -> APIRouter:
    """The routes of this module."""
    routes = APIRouter(prefix="/models", tags=["models"])
    unknown = documented.problems(404)

    @routes.get("", summary="The models that are served", response_model=Models)
    async def listing(request: Request) -> Response:
        return _cached(request, {"models": [_listed(registry[name]) for name in registry.names()]})

    @routes.get("/{name}", summary="A model's card", response_model=Card, responses=unknown)
    async def one(name: str, request: Request) -> Response:
        return _cached(request, card(_find(registry, name, request)))

    @routes.get(
        "/{name}/versions", summary="A model's versions", response_model=Versions, responses=unknown
    )
    async def versions(name: str, request: Request) -> Response:
        served = _find(registry, name, request)
        newest_first = registry.versions(name)[::-1]
        content = {"name": name, "current": served.version, "versions": newest_first}
        return _cached(request, content)

    return routes


def _find(registry: Registry, name: str, request: Request) -> Served:
    try:
        served = registry[name]
    except KeyError:
        words = f"There is no model {name[:50]}; {instead_of(name, registry.names())}"
        raise Problem(NOT_FOUND, words) from None
    exchange: Exchange = request.scope["exchange"]
    exchange.served = served
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
    headers = {"etag": tag, "cache-control": "no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)

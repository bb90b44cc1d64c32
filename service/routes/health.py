"""GET /health/live and /health/ready."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from service.errors import RETRY_AFTER, UNAVAILABLE, Problem
from service.registry import Registry
from service.routes import documented


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = Field(default="live", description="Always `live`")


class Ready(BaseModel):
    """Every model can answer."""

    status: Literal["ready"] = Field(default="ready", description="Always `ready`")
    models: dict[str, str] = Field(
        description="The version of each model that answers",
        examples=[{"bikes": "20261124T013000Z-1a2b3c4d"}],
    )


def router(registry: Registry) -> APIRouter:
    """The routes of this module."""
    routes = APIRouter(prefix="/health", tags=["health"])

    @routes.get("/live", summary="Whether the process answers")
    async def health_live() -> Live:
        return Live()

    @routes.get(
        "/ready",
        summary="Whether every model can answer",
        responses=documented.problems(503),
    )
    async def health_ready() -> Ready:
        if not registry.ready:
            why = "The service is about to stop." if registry.names() else "No model is loaded."
            raise Problem(UNAVAILABLE, why, headers=RETRY_AFTER)
        return Ready(models={name: registry[name].version for name in registry.names()})

    return routes

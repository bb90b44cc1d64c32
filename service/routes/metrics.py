"""GET /metrics: what Prometheus reads."""

from fastapi import APIRouter
from starlette.responses import Response

from service.metrics import CONTENT_TYPE, Metrics


def router(metrics: Metrics) -> APIRouter:
    """The routes of this module."""
    routes = APIRouter(tags=["health"])

    @routes.get(
        "/metrics",
        summary="Metrics of all workers, for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def read_metrics() -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    return routes

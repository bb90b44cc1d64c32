"""GET /health/live and /health/ready."""

import pytest

from models.tasks import TASKS
from service.app import create_app
from service.registry import Registry
from service.settings import Settings
from tests.serving import VERSION, connect, tiny_app, tiny_served

pytestmark = pytest.mark.anyio


async def test_ready_names_the_versions() -> None:
    """A service whose models answer is ready, and says which versions they are."""
    async with connect(tiny_app()) as client:
        answer = await client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "models": dict.fromkeys(TASKS, VERSION)}


async def test_service_without_models_lives_and_is_not_ready() -> None:
    """Without a model the process lives; it is not ready, and says when to ask again."""
    async with connect(create_app(Registry(), Settings())) as client:
        live = await client.get("/health/live")
        ready = await client.get("/health/ready")
    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert ready.status_code == 503
    assert ready.headers["Retry-After"] == "1"
    assert ready.headers["content-type"] == "application/problem+json"
    assert ready.json()["detail"] == "No model is loaded."


async def test_service_that_leaves_is_not_ready_and_answers() -> None:
    """A process about to leave says so, sends traffic elsewhere, and answers what comes nevertheless."""
    registry = Registry({name: tiny_served(name) for name in TASKS})
    app = create_app(registry, Settings())
    app.drain()
    async with connect(app) as client:
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["detail"]) == (503, "The service is about to stop.")
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/models/bikes")).status_code == 200

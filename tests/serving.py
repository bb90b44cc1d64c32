"""The service with small random models, in process: what the tests of the service share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from models.task import Task
from models.tasks import TASKS
from service import batches, tables
from service.app import create_app
from service.limits import Turns
from service.registry import Registry
from service.rows import Rows
from service.served import Served
from service.settings import Settings
from tests import tiny

VERSION = "20260102T030405Z-0a1b2c3d"


def tiny_served(name: str) -> Served:
    """A tiny model as it is served."""
    return Served(name, VERSION, tiny.model(name), {"recipe": {"name": "tiny"}})


def tiny_app(**settings: Any) -> FastAPI:
    """The service with tiny models of both tasks."""
    registry = Registry({name: tiny_served(name) for name in TASKS})
    return create_app(registry, Settings(**settings))


@asynccontextmanager
async def connect(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client that calls the application in process."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


def checked_csv(body: bytes, task: Task) -> Rows:
    """All rows of a CSV as the service checks them, in one piece. Raises Problem."""

    async def checked() -> Rows:
        turns = Turns({})
        table = await tables.read_csv(body, task, turns)
        return await batches.of_table(table, task, table.n_rows).piece(0, table.n_rows, turns)

    return asyncio.run(checked())


def example(task: Task, **changes: Any) -> dict[str, Any]:
    """The example row of a task, with changes."""
    return {field.name: field.example for field in task.fields} | changes

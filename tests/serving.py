"""The service with small random models, in process: what the tests of the service share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI

from models.admission import ADMISSION
from models.arrays import Columns
from models.bikes import BIKES
from models.features import Category, Column, Number, fit_encoder, segments
from models.interval import Interval
from models.model import Head, Model
from models.network import Layer, Network
from models.task import Task
from service.app import create_app
from service.registry import Registry
from service.served import Served
from service.settings import Settings

TASKS = {"bikes": BIKES, "admission": ADMISSION}
VERSION = "20260102T030405Z-0a1b2c3d"
_COLUMNS: dict[str, tuple[Column, ...]] = {
    "bikes": (
        *segments("day_index", 180, 360, 540),
        Number("temperature"),
        Number("feels_like"),
        Number("humidity"),
        Number("wind_speed"),
        Category(("working_day", "hour"), (2, 24)),
        Category(("weather",), (4,)),
    ),
    "admission": (Number("gre"), Number("gpa"), Category(("rank_code",), (4,))),
}


def random_columns(name: str, n_rows: int, rng: np.random.Generator) -> Columns:
    """Rows of a task inside what a tiny model was trained on."""
    if name == "admission":
        return {
            "gre": rng.integers(220, 801, n_rows),
            "gpa": rng.uniform(2.2, 4.0, n_rows),
            "rank": rng.integers(1, 5, n_rows),
        }
    return {
        "timestamp": np.datetime64("2011-01-01", "h") + rng.integers(0, 731 * 24, n_rows),
        "temperature": rng.uniform(0, 40, n_rows),
        "feels_like": rng.uniform(0, 45, n_rows),
        "humidity": rng.uniform(10, 100, n_rows),
        "wind_speed": rng.uniform(0, 57, n_rows),
        "weather": rng.integers(0, 4, n_rows).astype(np.int8),
        "holiday": np.full(n_rows, -1, np.int8),
    }


def tiny_model(name: str) -> Model:
    """A small random ensemble of a task, fitted to random rows."""
    rng = np.random.default_rng(7)
    task = TASKS[name]
    columns = random_columns(name, 400, rng)
    variables = task.derive(columns).astype(np.float64)
    encoder = fit_encoder(task.variables, _COLUMNS[name], variables)
    link, n_outputs, mean = ("sqrt", 2, 6.0) if name == "bikes" else ("logit", 1, -0.5)
    widths = (encoder.n_inputs, 12, n_outputs)
    layers = tuple(
        Layer(
            rng.normal(0, n_in**-0.5, (3, n_in, n_out)).astype(np.float32),
            rng.normal(0, 0.1, (3, 1, n_out)).astype(np.float32),
            activation,
        )
        for n_in, n_out, activation in zip(widths, widths[1:], ("silu", "identity"), strict=False)
    )
    shape = (3, 1, n_outputs)
    head = Head(Network(layers), (link,) * 3, np.full(shape, mean), np.ones(shape))
    levels = np.linspace(0.5, 0.99, 50)
    return Model(
        task=task,
        encoder=encoder,
        head=head,
        spread=None,
        interval=Interval(link, levels, levels * 2.0, levels * 2.5),
        ranges={
            field: (float(values.astype(float).min()), float(values.astype(float).max()))
            for field, values in columns.items()
            if field not in ("weather", "holiday")
        },
        threshold=None if name == "bikes" else 0.5,
        background={field: values[:64] for field, values in columns.items()},
    )


def tiny_served(name: str) -> Served:
    """A tiny model as it is served."""
    return Served(name, VERSION, tiny_model(name), {"recipe": {"name": "tiny"}})


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


def example(task: Task, **changes: Any) -> dict[str, Any]:
    """The example row of a task, with changes."""
    return {field.name: field.example for field in task.fields} | changes

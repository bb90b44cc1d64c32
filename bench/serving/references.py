"""What the service is compared with: the least that can be done, by ASGI and by FastAPI.

Each answers a fixed text, so all that it costs is its way from the socket to the endpoint and back.
"""

from datetime import datetime
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

ANSWER = {
    "rentals": 312.4,
    "interval": {"level": 0.9, "low": 247.0, "high": 391.8},
    "warnings": [],
    "model": {"name": "bikes", "version": "20261124T013000Z-1a2b3c4d"},
}
BYTES = (
    b'{"rentals":312.4,"interval":{"level":0.9,"low":247.0,"high":391.8},"warnings":[],'
    b'"model":{"name":"bikes","version":"20261124T013000Z-1a2b3c4d"}}'
)


class Row(BaseModel):
    """One row, as a pydantic body is usually written."""

    timestamp: datetime
    temperature: float = Field(ge=-30, le=50)
    feels_like: float | None = Field(default=None, ge=-40, le=60)
    humidity: float = Field(ge=0, le=100)
    wind_speed: float = Field(ge=0, le=120)
    weather: Literal["clear", "mist", "light_precipitation", "heavy_precipitation"]
    holiday: bool | None = None


class Batch(BaseModel):
    """Many rows."""

    instances: list[Row]


class Interval(BaseModel):
    """An interval."""

    level: float
    low: float
    high: float


class Name(BaseModel):
    """A model's name."""

    name: str
    version: str


class Answer(BaseModel):
    """One answer."""

    rentals: float
    interval: Interval
    warnings: list[str]
    model: Name


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, answer a fixed text."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(BYTES)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BYTES})


fastapi = FastAPI()


@fastapi.post("/predict/bikes")
async def predict(row: Row) -> Any:
    """One pydantic body, a fixed answer."""
    return ANSWER


@fastapi.post("/typed")
async def predict_typed(row: Row) -> Answer:
    """One pydantic body, a fixed answer through a response model."""
    return ANSWER  # type: ignore[return-value]


@fastapi.post("/predict/bikes/batch")
async def predict_batch(batch: Batch) -> Any:
    """A list of pydantic rows, a fixed answer."""
    return ANSWER

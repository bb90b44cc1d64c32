"""Where the processor time of one request for a single row goes, inside the process.

The server's own connections are fed with requests, eight at a time, and what they write is thrown away:
all of a request but the system calls. A part is what the whole costs less without it.

python -m bench.serving.profile
"""

import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
import uvloop
from uvicorn.server import ServerState

from bench.serving import bodies, references
from models.model import Answer, Model
from service.main import build
from service.server import Server
from service.settings import Settings

AT_ONCE = 8
ROUNDS = 60
TIMES = 50


class Wire(asyncio.Transport):
    """A transport that counts what is written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.writes = 0

    def write(self, _: Any) -> None:
        """Throw it away."""
        self.writes += 1

    def is_closing(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Nothing to close."""

    resume_reading = pause_reading = close


def request(name: str) -> bytes:
    """A request as wrk sends it."""
    body = json.dumps(bodies.ROW[name]).encode()
    head = f"POST /predict/{name} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: application/json\r\n"
    return f"{head}Accept: */*\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def cost(config: uvicorn.Config, data: bytes) -> tuple[float, float]:
    """Microseconds of processor time a request, and writes a request."""
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Tue, 24 Nov 2026 18:00:00 GMT"), *config.encoded_headers]
    make: Any = config.http_protocol_class
    connections = [make(config, state, {}) for _ in range(AT_ONCE)]
    wires = [Wire() for _ in connections]
    for connection, wire in zip(connections, wires, strict=True):
        connection.connection_made(wire)

    async def turns(times: int) -> None:
        for _ in range(times):
            for connection in connections:
                connection.data_received(data)
            await asyncio.sleep(0)
            while not all(c.cycle.response_complete for c in connections):  # noqa: ASYNC110 - turns
                await asyncio.sleep(0)

    await turns(500)
    gc.collect()
    gc.freeze()
    for wire in wires:
        wire.writes = 0
    took = []
    for _ in range(ROUNDS):
        start = time.process_time_ns()
        await turns(TIMES)
        took.append((time.process_time_ns() - start) / TIMES / AT_ONCE / 1e3)
    return float(np.median(took)), sum(w.writes for w in wires) / (ROUNDS * TIMES * AT_ONCE)


def ours(folder: Path, *, observed: bool = True) -> uvicorn.Config:
    """Our server as `serve` makes it; its log goes nowhere."""
    shown, sys.stdout = sys.stdout, Path(os.devnull).open("w")  # noqa: SIM115 - the log keeps it
    app = build(Settings(store=folder, log_format="json"))
    sys.stdout = shown
    if not observed:
        app._entry._observers = ()  # type: ignore[attr-defined]  # noqa: SLF001 - to tell it apart
    return Server(app, Settings()).config


def reference(app: Any) -> uvicorn.Config:
    """A reference under uvicorn."""
    return uvicorn.Config(app, http="httptools", access_log=False, log_level="error")


def main() -> None:
    """Print the costs."""
    answer, predict = Answer(312.4, 247.0, 391.8), Model.predict_few
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"

        def show(title: str, config: Callable[[], uvicorn.Config]) -> None:
            us, writes = uvloop.run(cost(config(), request("bikes")))
            print(f"{title:44} {us:6.1f} µs, {writes:.0f} writes")

        show("bare ASGI", lambda: reference(references.asgi))
        show("bare FastAPI", lambda: reference(references.fastapi))
        show("ours, bikes", lambda: ours(folder))
        show("ours without metrics and log", lambda: ours(folder, observed=False))
        Model.predict_few = lambda _, asked: [answer] * len(asked)  # type: ignore[method-assign]
        show("ours with a fixed answer of the model", lambda: ours(folder))
        show("ours with neither", lambda: ours(folder, observed=False))
        Model.predict_few = predict  # type: ignore[method-assign]


if __name__ == "__main__":
    main()

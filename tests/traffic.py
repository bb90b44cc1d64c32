"""A client that keeps a service busy, and notes what becomes of every request.

Raw HTTP/1.1 over asyncio streams: cheap beside the service on a machine of two cores, and it sees what a
pool of connections would hide, such as an answer that is cut off.
"""

import asyncio
import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np

LONG = os.environ.get("LONG") == "1"
"""Whether tests take their long form, which measures for minutes."""

_PATIENCE = 120.0

Check = Callable[["Answer"], str]
"""What is wrong with an answer, in words; "" if nothing is."""


@dataclass
class Answer:
    """One request and its answer; `error` says why there is none, or what is wrong with it."""

    started: float
    seconds: float = math.nan
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str = ""
    port: int = 0
    """Of the client's end of the connection."""

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


def request(path: str, body: Any = None, **headers: str) -> bytes:
    """The bytes of a request: POST with a body of JSON, or GET."""
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", "Host: service"]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + data


class Client:
    """One connection at a time, opened when it is needed and kept while the service keeps it."""

    def __init__(self, url: str, *, keep: bool = True) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname, parts.port
        self._keep = keep
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, data: bytes) -> Answer:
        """Send a request and read its answer. ConnectionRefusedError if nobody takes the connection."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        answer = Answer(time.perf_counter(), port=writer.get_extra_info("sockname")[1])
        try:
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            status, *lines = head.decode("latin-1").split("\r\n")
            answer.status = int(status[9:12])
            pairs = (line.split(": ", 1) for line in lines if line)
            answer.headers = {name.lower(): value for name, value in pairs}
            answer.body = await reader.readexactly(int(answer.headers["content-length"]))
        except (OSError, EOFError) as error:
            answer.error = f"no answer: {type(error).__name__}"
        answer.seconds = time.perf_counter() - answer.started
        if answer.error or not self._keep or answer.headers.get("connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Give the connection up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._streams is not None


class Load:
    """Requests over several connections; answers collects what became of them.

    make : the next request; check : what is wrong with its answer.
    """

    def __init__(self, url: str, make: Callable[[], bytes], check: Check = lambda _: "") -> None:
        self.url = url
        self.answers: list[Answer] = []
        self.refused = 0
        self._make, self._check = make, check
        self._stop = self._leaving = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, connections: int, rate: float = math.inf, *, keep: bool = True) -> "Load":
        """Begin: each connection asks again at once, or all together `rate` times a second."""
        due = _schedule(rate)
        self._tasks = [
            asyncio.create_task(self._run(Client(self.url, keep=keep), due))
            for _ in range(connections)
        ]
        return self

    async def leave(self) -> list[Answer]:
        """Use each connection until the service closes it, open no other; every answer."""
        self._leaving = True
        await asyncio.gather(*self._tasks)
        return self.answers

    async def stop(self) -> list[Answer]:
        """End after the requests that are on their way; every answer."""
        self._stop = True
        await asyncio.gather(*self._tasks)
        return self.answers

    async def _run(self, client: Client, due: Iterator[float]) -> None:
        while not self._stop and (client.is_open or not self._leaving):
            wait = next(due) - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            try:
                answer = await client.ask(self._make())
            except ConnectionRefusedError:  # the port is closed: no request was taken, none is lost
                self.refused += 1
                await asyncio.sleep(0.01)
                continue
            if not answer.error:
                answer.error = self._check(answer)
            answer.body = b""
            self.answers.append(answer)
        client.close()


def _schedule(rate: float) -> Iterator[float]:
    """When requests are due; a client that is late does not catch up with a burst."""
    due = time.perf_counter()
    while True:
        due = max(due + 1 / rate, time.perf_counter() - 0.05)
        yield due


async def load_for(load: Load, seconds: float, connections: int) -> list[Answer]:
    """The answers of some seconds."""
    load.start(connections)
    await asyncio.sleep(seconds)
    return await load.stop()


async def wait_for(holds: Callable[[], Awaitable[bool]], pause: float = 0.02) -> float:
    """Wait for a condition; how long it took."""
    started = time.perf_counter()
    while not await holds():
        assert time.perf_counter() - started < _PATIENCE, "waited in vain"
        await asyncio.sleep(pause)
    return time.perf_counter() - started


async def get(url: str, path: str) -> Answer:
    """The answer to one GET over a connection of its own."""
    client = Client(url, keep=False)
    with suppress(ConnectionRefusedError):
        return await client.ask(request(path))
    return Answer(time.perf_counter(), error="refused")


async def metric(url: str, name: str, **labels: str) -> float:
    """The sum of the samples of a metric that have these labels."""
    text = (await get(url, "/metrics")).body.decode()
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith(name + "{") and all(label in line for label in wanted)
    )


def faults(answers: list[Answer], *allowed: int) -> Counter[str]:
    """What went wrong, counted; `allowed` are the statuses that are no fault."""
    wrong = (a.error or f"status {a.status}" for a in answers if a.error or a.status not in allowed)
    return Counter(wrong)


def measured(*words: str) -> None:
    """Say what was measured: pytest shows it with -rP."""
    sys.stdout.write(f"measured: {' '.join(words)}\n")


def percentile(answers: list[Answer], q: float) -> float:
    """Of the time from request to answer, in milliseconds."""
    return float(np.percentile([a.seconds for a in answers], q)) * 1000

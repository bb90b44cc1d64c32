"""A steady load on a server: what was answered, by which process, and what was lost."""

import http.client
import json
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any, Self

from tests.engine import REQUESTS, process_of

ROW: tuple[str, dict[str, Any]] = ("/predict/bikes", REQUESTS["bikes"])
BATCH: tuple[str, dict[str, Any]] = (
    "/predict/bikes/batch",
    {"instances": [REQUESTS["bikes"]] * 1_000},
)
LARGE: tuple[str, str] = (
    "/predict/bikes/batch?explain=true",
    json.dumps({"instances": [REQUESTS["bikes"]] * 100}, indent=240),
)
"""As many bytes as the proxy can keep, nearly, on which a process works long for a short answer."""
PAUSE = 0.005
"""Seconds between an answer and the next request of a client."""


class Load:
    """Several clients, each of which asks again and again on one connection while in the `with` block.

    requests : the path and body of each client, as an object or as text.
    answers : how many answers each process gave; failures : what a client got in place of an answer.
    """

    def __init__(self, port: int, *requests: tuple[str, dict[str, Any] | str]) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._port = port
        self._ending = threading.Event()
        self._clients = [
            threading.Thread(target=self._ask, args=(path, text), daemon=True)
            for path, body in requests
            for text in [body if isinstance(body, str) else json.dumps(body)]
        ]

    def __enter__(self) -> Self:
        for client in self._clients:
            client.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        for client in self._clients:
            client.join()

    def _ask(self, path: str, body: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._ending.is_set():
            try:
                connection.request("POST", path, body, {"Content-Type": "application/json"})
                reply = connection.getresponse()
                content = reply.read()
                if reply.status == http.HTTPStatus.OK:
                    self.answers[process_of(reply.headers["X-Request-ID"])] += 1
                else:
                    self.failures.append(f"{path}: {reply.status} {content[:200]!r}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{path}: {error!r}")
                connection.close()
            time.sleep(PAUSE)  # a load, not a flood: the replicas share this machine with the test
        connection.close()

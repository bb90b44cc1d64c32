"""A request that is cancelled, wherever it waits: as when the service stops and waits no longer for it.

Each request is taken to its first point of waiting and cancelled there, then another one to its second
point, and so on, until one is answered before it comes to that point.
"""

from __future__ import annotations

import itertools
import json
from asyncio import CancelledError
from types import coroutine
from typing import TYPE_CHECKING, Any

import pytest

from models.tasks import TASKS
from service import limits
from service.app import create_app
from service.registry import Registry
from service.settings import Settings
from tests.asgi import Recorder, http_scope, receive_of
from tests.serving import example, tiny_served
from tests.test_inference import tensors

if TYPE_CHECKING:
    from collections.abc import Generator

    from starlette.types import Message, Receive

    from service.exchange import Exchange

TASK = TASKS["admission"]
ROW = example(TASK)
COLUMNS = {name: [value] * 1500 for name, value in ROW.items()}
TABLE = ",".join(ROW) + "\n" + (",".join(map(str, ROW.values())) + "\n") * 1500


@coroutine
def turn() -> Generator[None, None, None]:
    """Wait for the next iteration of the event loop."""
    yield


def slow(receive: Receive) -> Receive:
    """A `receive` whose every message takes a turn of the loop to arrive."""

    async def received() -> Message:
        await turn()
        return await receive()

    return received


def cancelled_at(n: int, running: Any) -> bool:
    """Drive a coroutine, and cancel it where it waits for the n-th time; whether it came so far."""
    try:
        for _ in range(n):
            running.send(None)
    except StopIteration:
        return False
    with pytest.raises(StopIteration):
        running.throw(CancelledError)
    return True


@pytest.mark.parametrize(
    ("path", "query", "body", "waits"),
    [
        pytest.param("/predict/admission", b"", ROW, 2, id="row"),
        pytest.param("/predict/admission", b"explain=true", ROW, 4, id="explained row"),
        pytest.param("/predict/admission/batch", b"", {"inputs": COLUMNS}, 8, id="columns"),
        pytest.param("/predict/admission/batch", b"", {"instances": [ROW, {}]}, 6, id="rows"),
        pytest.param(
            "/predict/admission/batch", b"explain=true", {"instances": [ROW]}, 6, id="explained"
        ),
        pytest.param("/predict/admission/batch", b"", TABLE, 8, id="table"),
        pytest.param(
            "/v2/models/admission/infer",
            b"",
            {"inputs": tensors(TASK.name, COLUMNS)},
            4,
            id="tensors",
        ),
    ],
)
def test_request_that_is_cancelled_is_refused_and_gives_back_its_place(
    path: str, query: bytes, body: Any, waits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is cancelled, its place is free again; it is answered with 503 and told of once."""
    monkeypatch.setattr(limits, "TURN_SECONDS", 0.0)  # it waits wherever it may
    held = limits.limits_of(Settings(), ["/predict/admission"])
    told: list[Exchange] = []
    app = create_app(
        Registry({TASK.name: tiny_served(TASK.name)}),
        Settings(),
        layers=[lambda inner: limits.LimitsLayer(inner, held)],
        observers=[lambda exchange, _: told.append(exchange)],
    )
    is_table = isinstance(body, str)
    content = body.encode() if is_table else json.dumps(body).encode()
    kind = b"text/csv" if is_table else b"application/json"
    parts = content[:20], content[20:]
    for n in itertools.count(1):
        scope = http_scope(path, query=query, headers=[(b"content-type", kind)])
        recorder = Recorder()
        came = cancelled_at(n, app(scope, slow(receive_of(*parts)), recorder))
        for gate in (held.rows, held.batches):
            assert (gate.taken, gate.answered, gate.gauge[0]) == (0, 0, 0.0), f"wait {n}"
        assert [exchange.status for exchange in told[n - 1 :]] == [recorder.status]
        if not came:
            break
        assert recorder.status == 503
        assert recorder.headers["retry-after"] == "1"
        assert b"The service stops" in recorder.body
    assert n > waits
    assert recorder.status == 200

"""The limits layer around an application of its own: places, sizes, deadlines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from service.exchange import ExchangeLayer
from service.limits import Gate, Limits, LimitsLayer, check_deadline
from tests.asgi import Recorder, http_scope, receive_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

pytestmark = pytest.mark.anyio


class Slow:
    """An application that answers with the length of the body when `go` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.running = 0
        self.most = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            message = await receive()
            await self.go.wait()
            check_deadline(scope)
            body = b"%d" % len(message.get("body", b""))
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})
        finally:
            self.running -= 1


def limits(**options: Any) -> Limits:
    """Two places for rows, one for batches, small bodies."""
    return Limits(
        Gate("single rows", 2, 100), Gate("batches", 1, 1000), frozenset({"/row"}), **options
    )


async def ask(
    slow: Slow, held: Limits, path: str = "/row", **how: Any
) -> tuple[int, dict[str, str], bytes]:
    """The answer to one request: status, headers, body."""
    recorder = Recorder()
    layer = ExchangeLayer(LimitsLayer(slow, held))
    scope = http_scope(path, **{k: v for k, v in how.items() if k != "parts"})
    await layer(scope, receive_of(*how.get("parts", [b"{}"])), recorder)
    return recorder.status, recorder.headers, recorder.body


async def test_requests_beyond_the_places_are_refused_at_once() -> None:
    """With every place taken the answer is 503 with Retry-After, while the others still work."""
    slow, held = Slow(), limits()
    shed: list[str] = []
    held.rows.on_shed = shed.append
    accepted = [asyncio.create_task(ask(slow, held)) for _ in range(2)]
    await asyncio.sleep(0.01)
    status, headers, body = await ask(slow, held)
    assert status == 503
    assert headers["retry-after"] == "1"
    assert headers["content-type"] == "application/problem+json"
    assert b"2 of 2 places for single rows are taken" in body
    slow.go.set()
    assert [(await task)[0] for task in accepted] == [200, 200]
    assert (await ask(slow, held))[0] == 200
    assert held.rows.taken == 0
    assert shed == ["single rows"]


async def test_request_that_finds_no_place_is_not_read() -> None:
    """It is refused before its body has come, which may be long in coming."""
    slow, held, recorder = Slow(), limits(), Recorder()
    batch = asyncio.create_task(ask(slow, held, "/batch"))
    await asyncio.sleep(0.01)

    async def unread() -> Any:
        pytest.fail("the body was read")

    await ExchangeLayer(LimitsLayer(slow, held))(http_scope("/batch"), unread, recorder)
    assert recorder.status == 503
    slow.go.set()
    await batch


async def test_body_that_comes_when_no_place_is_left_is_refused() -> None:
    """A place that was free when a request began may be another's when its body is there."""
    slow, held, recorder = Slow(), limits(), Recorder()
    come = asyncio.Event()

    async def late() -> Any:
        await come.wait()
        return {"type": "http.request", "body": b"{}"}

    layer = ExchangeLayer(LimitsLayer(slow, held))
    sender = asyncio.create_task(layer(http_scope("/batch"), late, recorder))
    await asyncio.sleep(0.01)
    quicker = asyncio.create_task(ask(slow, held, "/batch"))
    await asyncio.sleep(0.01)
    come.set()
    await sender
    assert (recorder.status, slow.most) == (503, 1)
    slow.go.set()
    assert (await quicker)[0] == 200


async def test_requests_of_one_turn_of_the_loop_are_counted_together() -> None:
    """Of a burst that arrives at once, no more are taken on than there are places."""
    slow, held = Slow(), limits()
    slow.go.set()
    statuses = [
        status for status, _, _ in await asyncio.gather(*(ask(slow, held) for _ in range(9)))
    ]
    assert sorted(statuses) == [200, 200, *[503] * 7]
    assert slow.most <= 2


async def test_batches_cannot_keep_single_rows_out() -> None:
    """Single rows and batches have places of their own."""
    slow, held = Slow(), limits()
    batch = asyncio.create_task(ask(slow, held, "/batch"))
    await asyncio.sleep(0.01)
    assert (await ask(slow, held, "/batch"))[0] == 503
    slow.go.set()
    assert (await ask(slow, held))[0] == 200
    assert (await batch)[0] == 200


async def test_explained_row_takes_the_place_of_a_batch() -> None:
    """An explanation is the work of a batch, and is admitted as one."""
    slow, held = Slow(), limits()
    task = asyncio.create_task(ask(slow, held, "/row", query=b"explain=true"))
    await asyncio.sleep(0.01)
    assert held.batches.taken == 1
    slow.go.set()
    await task


async def test_slow_sender_takes_no_place() -> None:
    """A request that waits for its own body does not count against the others."""
    slow, held = Slow(), limits()
    slow.go.set()
    never = asyncio.Event()

    async def stuck() -> Any:
        await never.wait()

    layer = LimitsLayer(slow, held)
    senders = [asyncio.create_task(layer(http_scope("/row"), stuck, Recorder())) for _ in range(50)]
    await asyncio.sleep(0.01)
    assert held.rows.taken == 0
    assert (await ask(slow, held))[0] == 200
    for sender in senders:
        sender.cancel()
    await asyncio.gather(*senders, return_exceptions=True)
    assert held.rows.taken == 0


@pytest.mark.parametrize(
    ("path", "headers", "parts"),
    [
        pytest.param("/row", [(b"content-length", b"101")], [b""], id="announced"),
        pytest.param("/row", [], [b"x" * 101], id="in one part"),
        pytest.param("/batch", [], [b"x" * 600, b"x" * 600], id="in parts"),
    ],
)
async def test_too_large_body_is_refused(
    path: str, headers: list[tuple[bytes, bytes]], parts: list[bytes]
) -> None:
    """A body beyond the limit is 413, with the limit in the words, and nothing is worked on."""
    slow, held = Slow(), limits()
    status, _, body = await ask(slow, held, path, headers=headers, parts=parts)
    assert status == 413
    assert (b"100 bytes" if path == "/row" else b"1000 bytes") in body
    assert slow.most == 0


async def test_announced_size_is_refused_before_the_body_is_read() -> None:
    """A body that says it is too large is not read at all."""

    async def unread() -> Any:
        pytest.fail("the body was read")

    recorder = Recorder()
    scope = http_scope("/batch", headers=[(b"content-length", b"99999999")])
    await ExchangeLayer(LimitsLayer(Slow(), limits()))(scope, unread, recorder)
    assert recorder.status == 413


async def test_endless_body_is_read_no_further_than_the_limit() -> None:
    """A chunked body without end is cut at the limit: memory stays bounded."""
    parts_read = 0

    async def endless() -> Any:
        nonlocal parts_read
        parts_read += 1
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    recorder, held = Recorder(), limits()
    layer = LimitsLayer(Slow(), held)
    await ExchangeLayer(layer)(http_scope("/batch"), endless, recorder)
    assert recorder.status == 413
    assert parts_read == 11
    assert layer._buffered == 0


async def test_unfinished_bodies_share_one_buffer() -> None:
    """Of what is on its way twice as much is kept as finds a place; who sends more gets 503."""
    held = limits()
    layer = ExchangeLayer(LimitsLayer(Slow(), held))
    assert held.buffer == 2 * (2 * 100 + 1000)

    def stalled() -> Receive:
        parts = iter([b"x" * 900])

        async def receive() -> Any:
            body = next(parts, None)
            if body is None:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": body, "more_body": True}

        return receive

    waiting = []
    for _ in range(2):
        waiting.append(asyncio.create_task(layer(http_scope("/batch"), stalled(), Recorder())))
        await asyncio.sleep(0.01)
    recorder = Recorder()
    await asyncio.wait_for(layer(http_scope("/batch"), stalled(), recorder), 10)
    assert recorder.status == 503
    assert "retry-after" in recorder.headers
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()


async def test_body_in_parts_arrives_whole() -> None:
    """The application gets the whole body in one message, however it came."""
    slow, held = Slow(), limits()
    slow.go.set()
    _, _, body = await ask(slow, held, "/batch", parts=[b"a" * 10, b"b" * 20, b""])
    assert body == b"30"


async def test_client_that_leaves_is_not_answered() -> None:
    """A connection that is closed before the body is complete costs no work and no answer."""
    slow, held, recorder = Slow(), limits(), Recorder()

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    await LimitsLayer(slow, held)(http_scope("/row"), gone, recorder)
    assert recorder.messages == []
    assert slow.most == 0


async def test_work_past_its_deadline_is_not_started() -> None:
    """When the time that the caller allows is over, the answer is 504 instead of late work."""
    slow, held = Slow(), limits()
    headers = [(b"x-request-timeout", b"0.02")]
    task = asyncio.create_task(ask(slow, held, headers=headers))
    await asyncio.sleep(0.05)
    slow.go.set()
    status, _, body = await task
    assert status == 504
    assert b"X-Request-Timeout" in body


async def test_default_deadline_holds_without_the_header() -> None:
    """The setting is the deadline of a request that names none."""
    slow, held = Slow(), limits(deadline=1e-9)
    assert (await ask(slow, held))[0] == 504
    assert slow.most == 0


@pytest.mark.parametrize("value", [b"", b"soon", b"-1", b"0", b"1_0", b"nan", b"inf", b"1e9"])
async def test_senseless_deadline_is_refused(value: bytes) -> None:
    """A deadline that is no number of seconds is the caller's fault, and said so."""
    status, _, body = await ask(Slow(), limits(), headers=[(b"x-request-timeout", value)])
    assert status == 422
    assert b"X-Request-Timeout must be a number of seconds" in body
    assert b'"errors":[{"header":"X-Request-Timeout","detail"' in body


async def test_reading_requests_need_no_place() -> None:
    """Health checks and pages are answered whatever the load."""
    slow, held = Slow(), limits()
    slow.go.set()
    held.rows.taken = held.rows.places
    held.batches.taken = held.batches.places
    assert (await ask(slow, held, "/health/live", method="GET"))[0] == 200


async def test_place_is_given_back_when_the_application_fails() -> None:
    """A fault in a route does not cost a place for ever."""
    held = limits()

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await LimitsLayer(fails, held)(http_scope("/row"), receive_of(b""), Recorder())
    assert held.rows.taken == 0


async def test_streams_through_httpx_too() -> None:
    """A real client that sends its body in chunks is read to the end."""
    slow, held = Slow(), limits()
    slow.go.set()

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * 10

    transport = httpx.ASGITransport(app=ExchangeLayer(LimitsLayer(slow, held)))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        answer = await client.post("/batch", content=parts())
    assert answer.text == "50"

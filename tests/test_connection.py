"""Microbatches: the answers of a task, each in one write; whatever has to wait becomes a task."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import json
import re
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from models.tasks import TASKS
from service.app import Service, create_app
from service.connection import Connection, Flow, connections, refuse
from service.errors import TIMEOUT
from service.headers import ALWAYS
from service.limits import LimitsLayer, limits_of
from service.microbatch import shared
from service.registry import Registry
from service.server import Server as Worker
from service.server import Watch, waiting_for
from service.settings import Settings
from service.tensors import inputs_of
from tests.asgi import receive_of
from tests.serving import example, tiny_served

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

pytestmark = pytest.mark.anyio

PATHS = frozenset(f"/predict/{name}" for name in TASKS)
DATE = (b"date", b"Tue, 24 Nov 2026 18:00:00 GMT")
ROW = json.dumps(example(TASKS["bikes"])).encode()
WARM = json.dumps(example(TASKS["bikes"], temperature=49.0)).encode()
BATCH = b'{"instances":[%b,{}]}' % ROW


class Wire:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = self.ended = False
        self.write = self.written.append

    def get_extra_info(self, name: str) -> Any:
        """Where it leads from and to."""
        return ("127.0.0.1", 1) if name in {"peername", "sockname"} else None

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def close(self) -> None:
        """Close it."""
        self.closed = True

    def write_eof(self) -> None:
        """Say that no more is written."""
        self.ended = True

    def pause_reading(self) -> None:
        """It reads nothing by itself."""

    resume_reading = pause_reading


class Server:
    """One server's connections, made as uvicorn makes them; at_once: with the short way, or without."""

    def __init__(self, app: ASGIApp, *, at_once: bool = True, **headers: bytes) -> None:
        protocol = connections(PATHS if at_once else frozenset())
        self.config = uvicorn.Config(app, http=protocol, lifespan="off", log_config=None)
        self.config.access_log = False
        self.config.load()
        self.protocol = protocol
        self.state = ServerState()
        more = [(name.encode(), value) for name, value in headers.items()]
        self.state.default_headers = [DATE, *more]

    def connect(self) -> tuple[Any, Wire]:
        """A new connection, and its wire."""
        connection, wire = self.protocol(self.config, self.state, {}), Wire()
        connection.access_log = False
        connection.connection_made(wire)  # type: ignore[arg-type]  # all of a transport that is used
        return connection, wire

    async def ask(self, *parts: bytes) -> Wire:
        """What comes on the wire of a new connection on which these parts arrive."""
        connection, wire = self.connect()
        for part in parts:
            connection.data_received(part)
        await settled(connection)
        return wire


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until a condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the turns are what is tested
            await asyncio.sleep(0)


async def settled(connection: Any) -> None:
    """Wait until a connection has answered."""
    await until(lambda: connection.cycle.response_complete or connection.transport.is_closing())


def service(**settings: Any) -> ASGIApp:
    """The service with tiny models behind its limits."""
    made = Settings(**settings)
    limits = limits_of(made, PATHS)
    registry = Registry({name: tiny_served(name) for name in TASKS})
    return create_app(registry, made, layers=[lambda app: LimitsLayer(app, limits)])


def request(
    body: bytes = ROW, target: str = "/predict/bikes", first: str = "POST", **headers: str
) -> bytes:
    """A request as it comes over the wire."""
    lines = [f"{first} {target} HTTP/1.1", "Host: service", "X-Request-ID: mine"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        pytest.param(request(), 200, id="a row"),
        pytest.param(request(WARM, "/predict/bikes?level=0.8"), 200, id="warnings and a level"),
        pytest.param(request(target="/predict/bikes?explain=true"), 200, id="explained"),
        pytest.param(request(b"{}"), 422, id="a fault"),
        pytest.param(request(b"{"), 400, id="no JSON"),
        pytest.param(request(content_type="text/plain"), 415, id="another type"),
        pytest.param(request(b" " * 70_000), 413, id="too large"),
        pytest.param(request(first="PUT"), 405, id="another method"),
        pytest.param(request(first="HEAD"), 405, id="no body wanted"),
        pytest.param(request(connection="close"), 200, id="the last of its connection"),
    ],
)
async def test_answer_is_that_of_a_task(asked: bytes, status: int) -> None:
    """The answer equals a task's byte for byte, and the connection is closed or kept alike."""
    app = service()
    quick = await Server(app).ask(asked)
    slow = await Server(app, at_once=False).ask(asked)
    assert quick.written[0].startswith(b"HTTP/1.1 %d " % status)
    assert b"".join(quick.written) == b"".join(slow.written)
    assert quick.closed == slow.closed


async def test_answer_is_written_in_one_piece_when_all_is_read() -> None:
    """The requests of one iteration of the event loop are all read, then answered, then sent."""
    server = Server(service())
    both = [server.connect() for _ in range(2)]
    for connection, _ in both:
        connection.data_received(request())
    assert [wire.written for _, wire in both] == [[], []]
    await settled(both[1][0])
    assert [len(wire.written) for _, wire in both] == [1, 1]


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request(), id="a row"),
        pytest.param(request(target="/predict/bikes?explain=true"), id="explained"),
        pytest.param(request(b"{}"), id="a fault"),
        pytest.param(request(b"{"), id="no JSON"),
        pytest.param(request(first="PUT"), id="another method"),
        pytest.param(request(BATCH, "/predict/bikes/batch"), id="a batch"),
        pytest.param(request(b"{}", "/v2/models/bikes/infer"), id="a fault under /v2"),
        pytest.param(request(b"", "/models/bikes", "GET"), id="a card"),
    ],
)
async def test_requests_leave_nothing_to_the_garbage_collector(asked: bytes) -> None:
    """What a request needed is freed when it is over: it is in no reference cycle."""
    connection, wire = Server(service()).connect()

    async def ask() -> None:
        connection.data_received(asked)
        await settled(connection)
        for _ in range(3):
            await asyncio.sleep(0)  # the end of its task, if it has one
        assert wire.written
        wire.written.clear()

    async def left_by(requests: int) -> int:
        for _ in range(requests):
            await ask()
        return gc.collect()

    await ask()  # what is made once
    gc.collect()
    gc.disable()
    try:
        # the fewest of three: what another test left behind may be found in between, but only once
        assert min([await left_by(20) for _ in range(3)]) < 20  # fewer objects than requests
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("lines", "version", "status"),
    [
        pytest.param(b"Host: a\r\n", b"1.1", 200, id="one"),
        pytest.param(b"", b"1.1", 400, id="none"),
        pytest.param(b"Host: a\r\nHost: b\r\n", b"1.1", 400, id="two"),
        pytest.param(b"", b"1.0", 200, id="none in HTTP/1.0"),
    ],
)
async def test_request_has_one_host(lines: bytes, version: bytes, status: int) -> None:
    """Another number is refused, as RFC 9112, section 3.2, demands: a proxy may have read another one."""
    asked = request().replace(b"Host: service\r\n", lines).replace(b"1.1", version)
    connection, wire = Server(service()).connect()
    connection.data_received(asked)
    await until(lambda: bool(wire.written))
    said = b"".join(wire.written)
    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert said.count(b"HTTP/1.1 ") == 1
    assert (b"one Host header" in said) == (status == 400)


@pytest.mark.parametrize("cuts", [(-len(ROW),), (60, -len(ROW)), (-len(ROW), -20)])
async def test_request_that_comes_in_parts_is_answered_at_once(cuts: tuple[int, ...]) -> None:
    """A request whose head and body arrive separately is answered like one in one piece."""
    asked, server = request(), Server(service())
    connection, wire = server.connect()
    for start, end in itertools.pairwise((0, *cuts, None)):
        connection.data_received(asked[start:end])
        await asyncio.sleep(0)
        assert not server.state.tasks
    await settled(connection)
    whole = await Server(service()).ask(asked)
    assert wire.written == whole.written


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"Content-Length: %d" % 10**12, id="refused for its size"),
        pytest.param(b"Content-Length: 65537", id="larger than what is read unasked"),
        pytest.param(b"Transfer-Encoding: chunked", id="of unknown length"),
        pytest.param(b"Content-Length: 300\r\nExpect: 100-continue", id="asks first"),
    ],
)
async def test_head_of_another_body_is_a_task_s_to_judge(head: bytes) -> None:
    """A request whose body is large or not announced goes to a task before its body arrives."""
    server = Server(service())
    connection, _ = server.connect()
    connection.data_received(
        b"POST /predict/bikes HTTP/1.1\r\nHost: service\r\n" + head + b"\r\n\r\n"
    )
    assert len(server.state.tasks) == 1
    connection.connection_lost(None)
    await until(lambda: not server.state.tasks)


async def test_who_leaves_in_the_middle_of_a_body_is_noticed() -> None:
    """When a client leaves in the middle of a body, the application is told, so that it is logged."""
    heard: list[str] = []

    async def hears(_: Scope, receive: Receive, __: Send) -> None:
        heard.append((await receive())["type"])

    connection, _ = Server(hears).connect()
    connection.data_received(request()[:-20])
    await asyncio.sleep(0)
    assert heard == []
    connection.connection_lost(None)
    await until(lambda: heard == ["http.disconnect"])


TENSORS = {
    "inputs": [
        {
            "name": name,
            "datatype": kind,
            "shape": [1500],
            "data": [example(TASKS["bikes"])[name]] * 1500,
        }
        for name, kind in inputs_of(TASKS["bikes"])
    ]
}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request(target="/predict/bikes?explain=true"), id="explanation"),
        pytest.param(request(BATCH, "/predict/bikes/batch?explain=true"), id="batch explained"),
        pytest.param(request(BATCH, "/predict/bikes/batch"), id="batch"),
        pytest.param(request(json.dumps(TENSORS).encode(), "/v2/models/bikes/infer"), id="v2"),
    ],
)
@pytest.mark.parametrize("next_one", [b"", request()], ids=["alone", "one waits"])
async def test_work_for_a_caller_who_left_is_ended(
    monkeypatch: pytest.MonkeyPatch, asked: bytes, next_one: bytes
) -> None:
    """Long work ends at its next pause when its caller leaves: it has no status, and its place is free."""
    monkeypatch.setattr("service.limits.TURN_SECONDS", 0.0)
    ended: list[int] = []
    held = limits_of(Settings(), PATHS)
    app = create_app(
        Registry({name: tiny_served(name) for name in TASKS}),
        Settings(),
        layers=[lambda inner: LimitsLayer(inner, held)],
        observers=[lambda exchange, _: ended.append(exchange.status)],
    )
    connection, wire = Server(app).connect()
    connection.data_received(asked)
    scope = connection.cycle.scope
    connection.data_received(next_one)
    await until(lambda: "exchange" in scope and scope["exchange"].served is not None)  # at work
    assert (ended, held.batches.taken) == ([], 1)
    connection.connection_lost(None)
    await until(lambda: bool(ended))
    assert ended == [0]
    assert held.batches.taken == 0
    assert not wire.written


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_lost_connection_is_not_kept(error: Exception | None) -> None:
    """Nothing holds a connection whose client is gone, not even the timer for idle ones."""
    connection, _ = Server(service()).connect()
    connection.data_received(request())
    await settled(connection)
    connection.connection_lost(error)
    alive = weakref.ref(connection)
    del connection
    await asyncio.sleep(0)  # the microbatch ends
    gc.collect()
    assert alive() is None


async def test_requests_that_wait_do_not_keep_a_lost_connection() -> None:
    """It is freed when the request at work has ended, without the garbage collector."""
    server = Server(service())
    connection, _ = server.connect()
    alive = weakref.ref(connection)
    gc.disable()
    try:
        connection.data_received(request(target="/predict/bikes?explain=true") * 3)
        connection.connection_lost(None)
        del connection
        await asyncio.sleep(0)  # the microbatch ends
        await until(lambda: not server.state.tasks)
        await asyncio.sleep(0)  # the loop lets go of the task
        assert alive() is None
    finally:
        gc.enable()


async def test_idle_connection_does_not_keep_what_it_received() -> None:
    """Clients keep connections open; the last data of each, of a batch a quarter of a megabyte, add up."""
    connection, _ = Server(service()).connect()
    received = request()
    used = sys.getrefcount(received)
    connection.data_received(received)
    await settled(connection)
    assert sys.getrefcount(received) == used


async def test_idle_connection_does_not_keep_a_body_that_was_refused_unread() -> None:
    """Nobody reads a body that is too large."""
    connection, wire = Server(service(row_bytes=1000)).connect()
    connection.data_received(request(b" " * 100_000)[:-1])
    await until(lambda: bool(wire.written))
    assert connection.cycle.body == b""


@pytest.mark.parametrize("ours", [Connection, Flow, Worker, Service])
def test_methods_that_a_library_calls_are_there_to_be_replaced(ours: type) -> None:
    """uvicorn and FastAPI call them by name; under a name that they no longer call ours would never run."""
    methods = {name: made for name, made in vars(ours).items() if inspect.isfunction(made)}
    marked = {name for name, made in methods.items() if hasattr(made, "__override__")}
    theirs = {name for base in ours.__bases__ for name in dir(base) if not name.endswith("__")}
    assert marked == methods.keys() & theirs
    assert marked


@pytest.mark.parametrize("size", [10, 66_000])
async def test_path_in_a_refusal_is_as_it_was_sent(size: int) -> None:
    """Whether the application refuses or the connection, `instance` is percent-encoded."""
    wire = await Server(service()).ask(request(target="/a%20b", first="GET", X_More="x" * size))
    said = json.loads(b"".join(wire.written).split(b"\r\n\r\n", 1)[1])
    assert said["status"] == (404 if size < 65_536 else 431)
    assert said["instance"] == "/a%20b"


class Cycle:
    """A request whose body has begun to arrive."""

    response_complete = False
    more_body = True


async def test_short_waits_of_many_requests_are_not_one_long_wait() -> None:
    """The time limit is on the body of one request, however many follow each other on a connection."""
    connection, wire = Server(service()).connect()
    watch = Watch({"body": 2.0})
    for second in range(10):  # every second another request, which may lie where the last one lay
        connection.cycle = None
        connection.cycle = Cycle()
        watch.look({connection}, float(second))
    assert wire.written == []
    connection.scope = connection.cycle.scope = {"path": "/predict/bikes", "headers": []}
    watch.look({connection}, 12.0)
    assert wire.written[0].startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("target", ["/predict/bikes", "/predict/bikes/batch"])
@pytest.mark.parametrize("given", ["mine", "not sane", ""])
@pytest.mark.parametrize("length", [50, 5000])
async def test_slow_body_has_the_same_id_and_status_in_the_answer_and_for_the_observers(
    length: int, given: str, target: str
) -> None:
    """Whoever got 408 can be found in the log, also if the body would have been too large."""
    seen: list[tuple[bytes, int]] = []
    registry = Registry({name: tiny_served(name) for name in TASKS})
    limits = limits_of(Settings(row_bytes=1000), PATHS)
    app = create_app(
        registry,
        Settings(),
        layers=[lambda inner: LimitsLayer(inner, limits)],
        observers=[lambda exchange, _: seen.append((exchange.request_id, exchange.status))],
    )
    connection, wire = Server(app).connect()
    begun = request(b" " * length, target).replace(b"mine", given.encode())
    connection.data_received(begun[: -length + 1])
    await asyncio.sleep(0)
    refuse(connection, TIMEOUT, "It is too slow.")
    connection.connection_lost(None)
    await until(lambda: bool(seen))
    ((found, status),) = seen
    assert (status, wire.written[0][9:12]) == (408, b"408")
    assert b"\r\nx-request-id: %b\r\n" % found in wire.written[0]
    assert (found == b"mine") == (given == "mine")


async def test_refused_connection_lingers() -> None:
    """After a refusal our side is closed at once; what still arrives is read and discarded."""
    connection, wire = Server(service()).connect()
    many = b"X-More: " + b"x" * 8000 + b"\r\n"
    for part in (b"POST / HTTP/1.1\r\n", *[many] * 12, b"\r\n", request()):
        connection.data_received(part)
    refuse(connection, TIMEOUT, "It is refused already.")
    assert [part[9:12] for part in wire.written] == [b"431"]
    assert (wire.ended, wire.closed) == (True, False)
    assert waiting_for(connection) == ""
    await until(lambda: wire.closed)


@pytest.mark.parametrize("given", [{"connection": "close"}, {"expect": "100-continue"}])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_closing_in_the_middle_of_a_body_lingers(
    given: dict[str, str], version: bytes
) -> None:
    """Who closes after each answer, as urllib and nginx do, reads the refusal of what he still sends."""
    connection, wire = Server(service(row_bytes=1000)).connect()
    asked = request(b" " * 70_000, first="POST", **given).replace(b"HTTP/1.1", b"HTTP/" + version)
    connection.data_received(asked[:-1])
    await until(lambda: wire.ended or wire.closed)
    assert b"".join(wire.written).startswith(b"HTTP/1.1 413 ")
    assert not wire.closed
    connection.data_received(b" " + request())  # is discarded
    await until(lambda: wire.closed)
    assert b"".join(wire.written).count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("size", [65_000, 66_000])
@pytest.mark.parametrize("first", ["GET", "POST"])
@pytest.mark.parametrize("cut", [None, 10, 40_000, -300])
async def test_limit_of_headers_is_the_same_in_one_packet_and_in_two(
    cut: int | None, first: str, size: int
) -> None:
    """Whether headers are too large does not depend on how they arrive; the refusal names the path."""
    path = "/health/live" if first == "GET" else "/predict/bikes"
    asked = request(target=path, first=first, X_More="x" * size)
    connection, wire = Server(service()).connect()
    for part in (asked,) if cut is None else (asked[:cut], asked[cut:]):
        connection.data_received(part)
    await until(lambda: bool(wire.written))
    assert wire.written[0].startswith(b"HTTP/1.1 200 " if size < 65_536 else b"HTTP/1.1 431 ")
    assert wire.ended == (size > 65_536)


@pytest.mark.parametrize(
    "before", [request(), request(b"", "/health/live", "GET")], ids=["row", "page"]
)
@pytest.mark.parametrize("size", [65_000, 66_000])
async def test_limit_of_headers_is_the_same_if_they_begin_in_the_packet_of_a_request_before(
    size: int, before: bytes
) -> None:
    """Also if that has been answered, in either way, when the rest of them arrives."""
    connection, wire = Server(service()).connect()
    asked = before + request(b"", "/health/live", "GET", X_More="x" * size)
    connection.data_received(asked[:60_000])
    await settled(connection)
    connection.data_received(asked[60_000:])
    await until(lambda: b"".join(wire.written).count(b"HTTP/1.1 ") == 2)
    statuses = re.findall(rb"HTTP/1.1 (\d{3}) ", b"".join(wire.written))
    assert statuses == [b"200", b"200" if size < 65_536 else b"431"]


@pytest.mark.parametrize(
    "before", [b"", request(), request(b"", "/health/live", "GET")], ids=["none", "row", "page"]
)
async def test_endless_headers_are_refused_at_the_limit(before: bytes) -> None:
    """However much of them comes at once, and whatever was answered before them."""
    connection, wire = Server(service()).connect()
    if before:
        connection.data_received(before)
        await settled(connection)
        wire.written.clear()
    head = b"GET /health/live HTTP/1.1\r\nHost: service\r\nX-More: "
    connection.data_received(head + b"x" * 40_000)
    assert not wire.written
    connection.data_received(b"x" * 40_000)
    assert [part[9:12] for part in wire.written] == [b"431"]


async def test_headers_in_two_packets_are_counted_for_each_request_anew() -> None:
    """A connection that is kept for thousands of requests is not refused for the sum of their headers."""
    connection, wire = Server(service()).connect()
    asked = request(X_More="x" * 8000)
    for number in range(1, 21):
        connection.data_received(asked[:4000])
        connection.data_received(asked[4000:])
        await until(lambda number=number: len(wire.written) == number)  # type: ignore[misc]
    assert {part[9:12] for part in wire.written} == {b"200"}


@pytest.mark.parametrize("size", [1448, 70_001])
async def test_headers_that_follow_each_other_unasked_are_counted_for_each_request_anew(
    size: int,
) -> None:
    """What precedes a request in its packet, or in those before, is no part of its headers."""
    connection, wire = Server(service()).connect()
    asked = request(b"", "/health/live", "GET", X_More="x" * 500) * 250
    for start in range(0, len(asked), size):
        connection.data_received(asked[start : start + size])
    await until(lambda: b"".join(wire.written).count(b"HTTP/1.1 ") == 250)
    assert set(re.findall(rb"HTTP/1.1 (\d{3}) ", b"".join(wire.written))) == {b"200"}


async def test_requests_that_follow_each_other_unasked_are_answered_in_order() -> None:
    """A client may send the next request before it has the first answer (pipelining)."""
    server = Server(service())
    connection, wire = server.connect()
    connection.data_received(
        request() + request(b"{}") + request(target="/health/live", first="GET")
    )
    await until(lambda: b"".join(wire.written).count(b"HTTP/1.1 ") == 3)
    statuses = [part[:3] for part in b"".join(wire.written).split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"422", b"200"]


async def test_no_more_is_read_while_requests_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends unasked faster than it is answered waits, and is not kept in memory."""
    connection, wire = Server(service()).connect()
    answered: list[int] = []

    def resumed() -> None:
        answered.append(b"".join(wire.written).count(b"HTTP/1.1 "))

    monkeypatch.setattr(wire, "resume_reading", resumed)
    connection.data_received(request() * 5 + request()[:-1])
    assert connection.flow.read_paused
    assert not waiting_for(connection)  # the server, not the peer, is the one to go on
    await until(lambda: bool(answered))
    assert answered == [5]
    assert waiting_for(connection) == "body"
    connection.data_received(ROW[-1:])
    await settled(connection)


NO_REQUEST = b"nonsense\r\n\r\n"
NO_HOST = b"GET / HTTP/1.1\r\n\r\n"
LARGE = request(target="/health/live", first="GET", X_More="x" * 70_000)
BAD_BODY = request().replace(b"Content-Length: %d" % len(ROW), b"Transfer-Encoding: chunked")
"""Its first line is the length of no chunk."""


@pytest.mark.parametrize(
    ("wrong", "status"),
    [(NO_REQUEST, b"400"), (NO_HOST, b"400"), (LARGE, b"431"), (BAD_BODY, b"400")],
    ids=["no request", "no host", "large", "bad body"],
)
@pytest.mark.parametrize("target", ["", "?explain=true"])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("before", [1, 2])
async def test_refusal_comes_after_the_answers_to_the_requests_before_it(
    wrong: bytes, status: bytes, target: str, parts: int, before: int
) -> None:
    """Who sends on unasked would else take the refusal for the answer to a request that was right."""
    connection, wire = Server(service()).connect()
    good = request(target=f"/predict/bikes{target}") * before
    for part in (good + wrong,) if parts == 1 else (good, wrong):
        connection.data_received(part)
    await until(lambda: wire.ended)
    connection.data_received(request())  # is discarded
    statuses = re.findall(rb"HTTP/1.1 (\d{3}) ", b"".join(wire.written))
    assert statuses == [*[b"200"] * before, status]
    assert not connection.flow.read_paused  # else closing would reset the connection


async def test_large_headers_of_a_request_that_waits_are_refused_whatever_comes_next() -> None:
    """Their size counts, not that of the packet which came last before their turn."""
    connection, wire = Server(service()).connect()
    connection.data_received(request(target="/predict/bikes?explain=true") + LARGE)
    connection.data_received(request())
    await until(lambda: wire.ended)
    statuses = re.findall(rb"HTTP/1.1 (\d{3}) ", b"".join(wire.written))
    assert statuses == [b"200", b"431"]


@pytest.mark.parametrize("after", [NO_REQUEST, NO_HOST, BAD_BODY])
@pytest.mark.parametrize("target", ["", "?explain=true"])
async def test_of_two_refusals_the_first_is_sent(after: bytes, target: str) -> None:
    """What comes after a request whose headers are too large may be none either."""
    connection, wire = Server(service()).connect()
    connection.data_received(request(target=f"/predict/bikes{target}") + LARGE + after)
    await until(lambda: wire.ended)
    statuses = re.findall(rb"HTTP/1.1 (\d{3}) ", b"".join(wire.written))
    assert statuses == [b"200", b"431"]


async def test_refused_body_of_a_request_that_waits_is_known_to_the_observers() -> None:
    """The id of every answer to a request whose headers were read is in the log."""
    seen: list[tuple[bytes, int]] = []
    app = create_app(
        Registry({name: tiny_served(name) for name in TASKS}),
        Settings(),
        observers=[lambda exchange, _: seen.append((exchange.request_id, exchange.status))],
    )
    connection, wire = Server(app).connect()
    second = BAD_BODY.replace(b"mine", b"second")
    connection.data_received(request(target="/predict/bikes?explain=true") + second)
    await until(lambda: len(seen) > 1)
    assert seen == [(b"mine", 200), (b"second", 400)]
    assert re.findall(rb"x-request-id: (\S+)\r", b"".join(wire.written)) == [b"mine", b"second"]


async def test_who_is_refused_must_still_read_the_answers_before() -> None:
    """A connection that waits to be refused is cut off like any other when nobody reads."""
    connection, _ = Server(service()).connect()
    connection.data_received(request(target="/predict/bikes?explain=true") + NO_REQUEST)
    connection.pause_writing()
    assert waiting_for(connection) == "reader"
    connection.resume_writing()
    await settled(connection)
    assert not waiting_for(connection)


def upgrading(body: bytes = ROW, target: str = "/predict/bikes") -> bytes:
    """A request that asks for HTTP/2 beside."""
    asks = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAMAAABk"}
    return request(body, target, "POST", **asks)


@pytest.mark.parametrize("target", ["/predict/bikes", "/predict/bikes?explain=true"])
@pytest.mark.parametrize("cut", [None, 10, 80, -len(ROW) - 2, -len(ROW), -20])
async def test_another_protocol_that_is_asked_for_is_not_taken(
    target: str, cut: int | None
) -> None:
    """With `Upgrade: h2c` (Java's client, `curl --http2`) body and answer are as without it."""
    asked, server = upgrading(target=target), Server(service())
    connection, wire = server.connect()
    for part in (asked,) if cut is None else (asked[:cut], asked[cut:]):
        connection.data_received(part)
        await asyncio.sleep(0)
    await until(lambda: b"".join(wire.written).count(b"}}") > 0)
    plain = await Server(service()).ask(request(target=target))
    assert b"".join(wire.written) == b"".join(plain.written)
    assert plain.written[0].startswith(b"HTTP/1.1 200 ")


async def test_many_requests_that_ask_for_another_protocol_follow_each_other() -> None:
    """Several requests with `Upgrade` in one packet are each answered, with their own bodies."""
    connection, wire = Server(service()).connect()
    connection.data_received((upgrading() + upgrading(b"{}")) * 100)
    await until(lambda: b"".join(wire.written).count(b"HTTP/1.1 ") == 200)
    statuses = [part[:3] for part in b"".join(wire.written).split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"422"] * 100


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01", 400, id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="HTTP/2"),
        pytest.param(b"FETCH / HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="no method"),
        pytest.param(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="a tunnel"),
        pytest.param(request(content_length="3"), 400, id="two lengths"),
        pytest.param(request(target="/" + "a" * 65_536), 431, id="a long URL"),
    ],
)
async def test_what_is_no_request_is_answered_with_a_problem(sent: bytes, status: int) -> None:
    """Bytes that are no HTTP request are answered with a problem document, and the connection is closed."""
    connection, wire = Server(service(), connection=b"close").connect()
    connection.data_received(sent)
    head, body = b"".join(wire.written).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(body)["status"] == status
    kind = "malformed-request" if status == 400 else "headers-too-large"
    assert json.loads(body)["type"] == f"/problems/{kind}"
    lines = head.split(b"\r\n")[1:]
    for name, value in (DATE, *ALWAYS, (b"connection", b"close")):
        assert lines.count(b"%b: %b" % (name, value)) == 1
    assert wire.ended
    await until(lambda: wire.closed)


async def test_of_a_burst_no_more_are_taken_on_than_there_are_places() -> None:
    """One iteration of the loop answers as many as there are places; the next has all of them again."""
    server = Server(service(row_places=3))
    for _ in range(2):
        many = [server.connect() for _ in range(8)]
        for connection, _ in many:
            connection.data_received(request())
        for connection, _ in many:
            await settled(connection)
        statuses = [wire.written[0][9:12] for _, wire in many]
        assert statuses == [b"200"] * 3 + [b"503"] * 5
        await asyncio.sleep(0)


class Counted:
    """An application of rows that share their work; it says how many were worked on together.

    fault : what the work raises if one of the rows is "faulty".
    """

    def __init__(self, fault: type[BaseException] = ValueError) -> None:
        self._fault = fault
        self.together: list[list[bytes]] = []

    def work(self, asked: list[bytes]) -> list[bytes]:
        """Each text reversed; it fails if one is "faulty"."""
        self.together.append(asked)
        if b"faulty" in asked:
            raise self._fault
        return [text[::-1] for text in asked]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a body by what the work makes of it: in a second round, if it says so."""
        body = (await receive())["body"]
        if body == b"later":
            await asyncio.sleep(0)
        given = await shared(scope, self.work, body)
        if body == b"twice":
            given = await shared(scope, self.work, given)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": given})


async def ask_together(server: Server, bodies: list[bytes]) -> list[bytes]:
    """The answers to requests that come in one turn of the loop, each on a connection of its own."""
    connected = [server.connect() for _ in bodies]
    for (connection, _), body in zip(connected, bodies, strict=True):
        connection.data_received(request(body))
    for connection, _ in connected:
        await settled(connection)
    return [b"".join(wire.written) for _, wire in connected]


async def test_work_of_one_turn_is_done_for_all_at_once() -> None:
    """Shared work is done once for all requests that wait for it, in order, round after round."""
    app = Counted()
    answers = await ask_together(Server(app), [b"one", b"twice", b"later", b"four"])
    assert app.together == [[b"one", b"twice", b"four"], [b"eciwt"], [b"later"]]
    for answer, wanted in zip(answers, (b"eno", b"twice", b"retal", b"ruof"), strict=True):
        assert wanted in answer


class PanicError(BaseException):
    """As an extension written in Rust raises when it finds a fault of its own."""


@pytest.mark.parametrize("fault", [ValueError, PanicError])
async def test_failing_work_fails_no_other_request_of_the_turn(fault: type[BaseException]) -> None:
    """If shared work fails, it is repeated for each request alone, and only the faulty one gets a 500."""
    app = Counted(fault)
    answers = await ask_together(Server(app), [b"one", b"faulty", b"three"])
    assert app.together == [[b"one", b"faulty", b"three"], [b"one"], [b"faulty"], [b"three"]]
    assert [answer[9:12] for answer in answers] == [b"200", b"500", b"200"]


async def test_panic_fails_no_other_request_of_the_turn() -> None:
    """What is no Exception ends its request alone, too: the others of the microbatch are answered."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        if body == b"panic":
            raise PanicError
        await Counted()(scope, receive_of(body), send)

    answers = await ask_together(Server(app), [b"one", b"panic", b"three"])
    assert [answer[9:12] for answer in answers] == [b"200", b"500", b"200"]


async def test_rows_of_a_turn_are_answered_as_each_alone() -> None:
    """Rows of both models, with levels, explanations and faults, are answered byte for byte as if alone."""
    asked = [
        request(),
        request(WARM, "/predict/bikes?level=0.8"),
        request(b"{}"),
        request(json.dumps(example(TASKS["admission"])).encode(), "/predict/admission"),
        request(target="/predict/bikes?explain=true"),
        request(),
    ]
    server = Server(service())
    connected = [server.connect() for _ in asked]
    for (connection, _), one in zip(connected, asked, strict=True):
        connection.data_received(one)
    for connection, _ in connected:
        await settled(connection)
    alone = [await Server(service()).ask(one) for one in asked]
    assert [wire.written for _, wire in connected] == [wire.written for wire in alone]


async def test_more_answers_than_are_sent_together() -> None:
    """The answers of a large burst are sent in several groups, each exactly once."""
    server = Server(service(row_places=100))
    many = [server.connect() for _ in range(40)]
    for connection, _ in many:
        connection.data_received(request())
    for connection, _ in many:
        await settled(connection)
    assert {(len(wire.written), wire.written[0][9:12]) for _, wire in many} == {(1, b"200")}


async def test_pages_of_other_origins_may_read_what_is_answered_at_once() -> None:
    """A layer that wraps `send`, as CORS does, is not bypassed."""
    wire = await Server(service(cors_origins="https://example.org")).ask(
        request(origin="https://example.org")
    )
    assert b"access-control-allow-origin: https://example.org" in b"".join(wire.written)


async def test_connection_is_closed_while_the_server_drains() -> None:
    """While the server drains, answers carry `connection: close` and are the last of their connection."""
    wire = await Server(service(), connection=b"close").ask(request())
    assert b"HTTP/1.1 200 OK" in wire.written[0]
    assert wire.closed


async def test_client_that_left_is_not_answered() -> None:
    """A connection that is lost before it is answered costs no prediction and leaves no task."""
    server = Server(service())
    connection, wire = server.connect()
    connection.data_received(request())
    connection.connection_lost(None)
    for _ in range(5):
        await asyncio.sleep(0)
    assert wire.written == []
    assert not server.state.tasks


class Fails:
    """An application that waits for `go`, fails in a way of its own, or does not answer at all."""

    def __init__(self, how: str) -> None:
        self.how, self.go = how, asyncio.Event()

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        """Answer, or not."""
        if self.how == "raises":
            raise ZeroDivisionError
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.how = "cancelled"
            raise
        if self.how == "waits":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})


async def test_what_waits_goes_on_as_a_task() -> None:
    """An application that has to wait continues as a task, which can be cancelled and ends."""
    for cancelled in (False, True):
        app = Fails("waits")
        server = Server(app)
        connection, wire = server.connect()
        connection.data_received(request())
        for _ in range(3):
            await asyncio.sleep(0)
        (task,) = server.state.tasks
        assert wire.written == []
        if cancelled:
            task.cancel()
        app.go.set()
        await settled(connection)
        assert wire.written[0][9:12] == (b"500" if cancelled else b"204")
        assert app.how == ("cancelled" if cancelled else "waits")


@pytest.mark.parametrize("how", ["raises", "says nothing"])
async def test_application_that_fails_is_answered_by_uvicorn(how: str) -> None:
    """An application that fails or does not answer gives a 500 and a line in the log, as in uvicorn."""
    app = Fails(how)
    app.go.set()
    wire = await Server(app).ask(request())
    assert wire.written[0].startswith(b"HTTP/1.1 500 ")

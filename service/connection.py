"""One connection: uvicorn's, with a limit on headers and a shorter way to what is answered at once.

uvicorn makes a task of every request, and writes the head of an answer and its body apart, each by a
system call that wakes the reader. Both cost more than a prediction, and after a system call the
processor's caches are cold. So what requests for single rows become complete in one turn of the event
loop are answered in one go (`Turn`): the application is run for one after the other, and then their
answers are sent, each in one piece. Many clients send head and body apart: a small body is waited for
before the application is asked.

It is the same application, called as uvicorn calls it. Should it wait for something (an explanation
gives way to others, a reader does not read), the rest of it becomes a task like any other, and so
does whatever does not end as it should. What is answered in this way may not ask for the current
task, for there may be none: a `Turn` is told which paths are fit for it.

A request that asks for another protocol as well (`Upgrade: h2c`, as Java's client and `curl --http2`
send with everything) is answered in this one, which RFC 9110, section 7.8, leaves to the server. The
parser would take its body for the other protocol's.
"""

from __future__ import annotations

import sys
from types import coroutine
from typing import TYPE_CHECKING, Any

from httptools import HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service import headers
from service.errors import HEADERS_TOO_LARGE, MALFORMED, Kind, Problem, answer_of

if TYPE_CHECKING:
    from asyncio import Transport
    from collections.abc import Coroutine, Generator

    from starlette.types import Receive, Scope, Send
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

HEADER_LIMIT = 65_536
"""Bytes of a request's line and headers together."""

Application = Any
"""uvicorn and Starlette have each a type of their own for an ASGI application."""

_SHORT_BODY = 65_536
"""Bytes of a body up to which uvicorn goes on reading by itself."""

_LINGER_SECONDS = 1.0
"""What a peer that is still sending has to find its refusal, before the connection is closed."""

_OK = b"HTTP/1.1 200 OK\r\n"
_MOST_ANSWERS = 16
"""So many answers wait for each other; with more there is nothing to be gained."""


class Connection(HttpToolsProtocol):
    """uvicorn's connection; see the module. `connections` makes its class."""

    turn: Turn
    is_refused = False
    """Whether its answer is said already; what else comes is read, and thrown away."""
    _unparsed = 0
    _reading = False
    _data = b""
    _without_upgrade: list[bytes] | None = None
    _begun: tuple[RequestResponseCycle, Application] | None = None

    def data_received(self, data: bytes) -> None:
        """Parse `data`; the connection is refused when its headers come to no end."""
        if self.is_refused:
            return
        self._reading = True
        self._data = data
        super().data_received(data)
        while self._without_upgrade is not None:
            self._data, self._without_upgrade = b"".join(self._without_upgrade), None
            super().data_received(self._data)
        self._reading = False
        if self._begun is not None:
            cycle, app = self._begun
            if self.transport.is_closing():
                self._start_begun()
            elif not cycle.more_body:
                self._begun = None
                self.turn.add(self, cycle, app)
            elif not _is_short(cycle):
                self._start_begun()
        elif self.scope is not None and "path" not in self.scope:  # headers begun, not complete
            self._unparsed += len(data)
            if self._unparsed > HEADER_LIMIT:
                refuse(
                    self, HEADERS_TOO_LARGE, f"The headers are larger than {HEADER_LIMIT} bytes."
                )
        else:
            self._unparsed = 0

    def _should_upgrade(self) -> bool:
        """Asked by uvicorn of what the parser takes for an upgrade; it leaves that to the next method."""
        return any(name == b"upgrade" for name, _ in self.headers)

    def handle_websocket_upgrade(self) -> None:
        """Called by uvicorn when the headers of a request that asks for another protocol are complete.

        They are read once more, without the one that asks, and what has come behind them.
        """
        stopped: Any = (
            sys.exception()
        )  # uvicorn handles HttpParserUpgrade, whose argument says where
        version = self.parser.get_http_version().encode()
        self._without_upgrade = [
            b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version),
            *(b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"),
            b"\r\n",
            self._data[stopped.args[0] :],
        ]
        self.parser = HttpRequestParser(self)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words for all of them
        """Called by uvicorn where the parser cannot go on."""
        if self.scope is not None and len(self.url) >= HEADER_LIMIT:
            refuse(self, HEADERS_TOO_LARGE, f"The URL is longer than {HEADER_LIMIT - 1} bytes.")
        else:
            refuse(self, MALFORMED, "This is no request of HTTP/1.1 that can be read.")

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone: also from a request whose body is not complete, which is told so."""
        super().connection_lost(exc)
        self._start_begun()

    def _start_begun(self) -> None:
        """Leave what is begun to a task, as uvicorn does."""
        if self._begun is not None:
            (cycle, app), self._begun = self._begun, None
            super()._start_asgi_task(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Application) -> None:
        """Called by uvicorn when the headers are complete: the body follows, in the same data or soon."""
        if self._reading and cycle.scope["path"] in self.turn.paths:
            self._begun = (cycle, app)
        else:
            super()._start_asgi_task(cycle, app)

    def answer(self, cycle: RequestResponseCycle, app: Application) -> None:
        """Run the application as far as it goes without waiting; a task does what is left."""
        whole = cycle.scope["at_once"] = Whole(self, cycle)  # type: ignore[typeddict-unknown-key]
        rest = _begin(app(cycle.scope, cycle.receive, whole.send))
        if rest is None and cycle.response_complete:
            cycle.on_response = _nothing  # which held the connection, and so itself
        else:
            left: Application = rest or _end
            super()._start_asgi_task(cycle, left)


def _is_short(cycle: RequestResponseCycle) -> bool:
    """Whether the rest of a body can be waited for before anybody is asked: it says that it is small.

    A client that asks whether it may send it at all (Expect) waits for a word of the application.
    """
    length = headers.of(cycle.scope).get(b"content-length")  # type: ignore[arg-type]  # uvicorn's type
    announced = length is not None and int(length) <= _SHORT_BODY
    return announced and not cycle.waiting_for_100_continue


def connections(paths: frozenset[str]) -> type[Connection]:
    """The class of the connections of one server; `paths` as in Turn."""
    return type("Connection", (Connection,), {"turn": Turn(paths)})


class Turn:
    """The requests that came in this turn of the event loop and are answered at once.

    paths : of the requests that are.
    """

    def __init__(self, paths: frozenset[str]) -> None:
        self.paths = paths
        self._requests: list[tuple[Connection, RequestResponseCycle, Application]] = []
        self._answers: list[tuple[Transport, bytes]] = []
        self._answering = False
        self._headers: list[tuple[bytes, bytes]] | None = None
        self._lines = b""

    def add(self, connection: Connection, cycle: RequestResponseCycle, app: Application) -> None:
        """Answer a request when all that there is to be read is read."""
        if not self._requests:
            connection.loop.call_soon(self._answer)
        self._requests.append((connection, cycle, app))

    def _answer(self) -> None:
        requests, self._requests = self._requests, []
        self._answering = True
        try:
            for connection, cycle, app in requests:
                connection.answer(cycle, app)
                if len(self._answers) >= _MOST_ANSWERS:
                    self._send()
        finally:
            self._answering = False
            self._send()

    def _send(self) -> None:
        for transport, answer in self._answers:
            transport.write(answer)
        self._answers.clear()

    def send(self, transport: Transport, answer: bytes) -> None:
        """Send a whole answer, together with the others of this turn."""
        if self._answering:
            self._answers.append((transport, answer))
        else:
            transport.write(answer)

    def first_lines(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The status line 200 and uvicorn's own headers; nothing while these close connections."""
        if headers is not self._headers:  # uvicorn makes a new list once a second, for the date
            lines = (b"%b: %b\r\n" % header for header in headers)
            closes = any(name == b"connection" for name, _ in headers)
            self._headers, self._lines = headers, b"" if closes else b"".join((_OK, *lines))
        return self._lines


class Whole:
    """Sends the whole answer to one request; the application finds it in the scope as "at_once".

    send : what it stands beside. Who was handed another `send` must use that one.
    """

    __slots__ = ("_connection", "_cycle", "send")

    def __init__(self, connection: Connection, cycle: RequestResponseCycle) -> None:
        self._connection = connection
        self._cycle = cycle
        self.send = cycle.send

    def __call__(self, headers: bytes, body: bytes) -> bool:
        """Send an answer of status 200; False, and nothing is sent, where there is more to it.

        headers : as they go over the wire, with the empty line after them.
        """
        connection, cycle = self._connection, self._cycle
        first = connection.turn.first_lines(cycle.default_headers)
        if (
            not first
            or cycle.response_started
            or cycle.disconnected
            or not cycle.keep_alive
            or connection.flow.write_paused
        ):
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        connection.turn.send(connection.transport, b"".join((first, headers, body)))
        cycle.on_response()
        return True


def _begin(running: Coroutine[Any, Any, None]) -> Application | None:
    """Run a coroutine until it waits; what is left of it, as an application, or None."""
    try:
        waits_for = running.send(None)
    except StopIteration:
        return None
    except Exception as error:  # noqa: BLE001 - uvicorn's task answers it
        return _raising(error)

    async def rest(_: Scope, __: Receive, ___: Send) -> None:
        await _go_on(running, waits_for)

    return rest


@coroutine
def _go_on(running: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """A coroutine that was begun elsewhere and waits for something, to be awaited to its end."""
    while True:
        try:
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001 - the coroutine's to handle
                waits_for = running.throw(error)
            else:
                waits_for = running.send(sent)
        except StopIteration:
            return


def _raising(error: Exception) -> Application:
    async def fail(_: Scope, __: Receive, ___: Send) -> None:
        raise error

    return fail


async def _end(_: Scope, __: Receive, ___: Send) -> None:
    """What is left of an application that came to its end: uvicorn sees whether it has answered."""


def _nothing() -> None:
    pass


def refuse(connection: Connection, kind: Kind, detail: str) -> None:
    """Answer a request that has not come to the application, and close its connection.

    Who closes while there is something unread resets the connection, and the peer may lose the answer
    with it. So, as RFC 9112 section 9.6 has it, first only our side is closed, and for a moment what
    still comes is read.
    """
    transport = connection.transport
    if transport.is_closing() or connection.is_refused:
        return
    connection.is_refused = True
    path = (connection.scope or {}).get("path", "about:blank")
    status, media_type, body = answer_of(Problem(kind, detail), path)
    transport.write(
        b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
        % (status, kind.title.encode(), media_type.encode(), len(body), body)
    )
    if connection.cycle is None or connection.cycle.response_complete:
        transport.write_eof()
        connection.loop.call_later(_LINGER_SECONDS, transport.close)
    else:  # an application is at work, and might go on writing
        transport.close()

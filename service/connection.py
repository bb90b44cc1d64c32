"""One connection: uvicorn's, with a limit on the size of headers and a fast path for single rows.

Requests for single rows go to the `Microbatch` of the server. Many clients send head and body in two
packets; for those the fast path waits for a small body before it calls the application.

A request that also offers another protocol (`Upgrade: h2c`, which Java's client and `curl --http2` send
with every request) is answered in HTTP/1.1, as RFC 9110, section 7.8, allows. Left to itself the parser
would take the body for data of the other protocol.

What is marked with `override` is called by uvicorn, by names that are private in part: should a new version
rename one, the marked method would never be called, and mypy and a test say so.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from httptools import HttpRequestParser
from typing_extensions import override
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service import headers
from service.errors import HEADERS_TOO_LARGE, NO_REQUEST, Kind, Problem, answer_of, instance_of
from service.exchange import id_for
from service.microbatch import Microbatch

if TYPE_CHECKING:
    from asyncio import Transport
    from collections.abc import Collection

    from starlette.types import Message, Receive, Scope, Send
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from service.microbatch import Application

HEADER_LIMIT = 65_536
"""Bytes of a request's line and headers together."""

_SHORT_BODY = 65_536
"""Bytes of a body up to which uvicorn goes on reading without being asked."""

_LINGER_SECONDS = 1.0
"""Seconds for which a refused connection stays open, so that a peer still sending reads the refusal."""


class Connection(HttpToolsProtocol):
    """uvicorn's connection; see the module. `connections` makes its class."""

    microbatch: Microbatch
    is_refused = False
    """Whether it was refused, or is about to be closed; whatever else arrives is read and discarded."""
    _first = 0
    """Bytes of the data in which the headers begin, if it begins with another request or its end."""
    _unparsed = 0
    """Bytes of headers beside those."""
    _reading = False
    _data = b""
    _without_upgrade: list[bytes] | None = None
    _begun: tuple[RequestResponseCycle, Application] | None = None
    _at_work: RequestResponseCycle = None  # type: ignore[assignment]  # as uvicorn
    """The request whose turn it is. uvicorn's `cycle` is the last that came, which may have to wait."""

    @override
    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Called when the peer has connected."""
        super().connection_made(transport)
        self.flow = Flow(transport)
        self.flow.pipeline = self.pipeline

    @override
    def data_received(self, data: bytes) -> None:
        """Parse `data`; refuse the connection when its headers exceed HEADER_LIMIT."""
        if self.is_refused:
            return
        self._reading = True
        self._data = data
        scope, cycle = self.scope, self.cycle
        held = 0 if cycle is None else len(cycle.body)
        is_between = cycle is None or not cycle.more_body
        super().data_received(data)
        while self._without_upgrade is not None:
            self._data, self._without_upgrade = b"".join(self._without_upgrade), None
            super().data_received(self._data)
        self._reading, self._data = False, b""
        if self.scope is None or not (
            "path" not in self.scope  # headers begun, not complete
            or (cycle is self.cycle and _has_no_more(cycle, held))
        ):
            self._first = self._unparsed = 0
        else:
            if self.scope is scope or (is_between and cycle is self.cycle):
                self._unparsed += len(data)
            else:
                self._first, self._unparsed = len(data), 0
            if self._unparsed > HEADER_LIMIT:
                self._refuse_headers()
        if self._begun is not None:
            cycle, app = self._begun
            if self.transport.is_closing():
                self._start_begun()
            elif not cycle.more_body:
                self._begun = None
                self.microbatch.add(self, cycle, app)
            elif not _is_short(cycle):
                self._start_begun()

    @override
    def _should_upgrade(self) -> bool:
        """Called by uvicorn for what the parser takes for an upgrade; true leads to the next method."""
        return any(name == b"upgrade" for name, _ in self.headers)

    @override
    def handle_websocket_upgrade(self) -> None:
        """Called by uvicorn when the headers of a request that offers another protocol are complete.

        The request is parsed again without its Upgrade header, with the data that followed the headers.
        """
        # HttpParserUpgrade, which uvicorn handles; its argument says where the headers end
        stopped: Any = sys.exception()
        version = self.parser.get_http_version().encode()
        self._without_upgrade = [
            b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version),
            *(b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"),
            b"\r\n",
            self._data[stopped.args[0] :],
        ]
        self.parser = HttpRequestParser(self)

    @override
    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn when the parser gives up; `msg`, which never differs, is not told."""
        if self.scope is not None and len(self.url) >= HEADER_LIMIT:
            refuse(self, HEADERS_TOO_LARGE, f"The URL is longer than {HEADER_LIMIT - 1} bytes.")
        else:
            refuse(self, NO_REQUEST, "This is no request of HTTP/1.1 that can be read.")

    @override
    def on_response_complete(self) -> None:
        """Called when an answer is complete; what nobody has read of the body is not kept."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self.cycle.body.clear()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone; a request that is at work, or still waits for its body, is told so."""
        self.cycle = self._at_work  # whom uvicorn tells
        self.pipeline.clear()  # those that wait refer to the connection, and so to themselves
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # else the timer keeps a connection that was reset in memory
        self._start_begun()

    @override
    def shutdown(self) -> None:
        """Called by uvicorn when the server ends, which waits for tasks, and cancels them at last."""
        super().shutdown()
        self._start_begun()

    def _start_begun(self) -> None:
        """Hand the request that has begun to a task, as uvicorn does."""
        if self._begun is not None:
            (cycle, app), self._begun = self._begun, None
            self.leave_to_task(cycle, app)

    @override
    def on_headers_complete(self) -> None:
        """Called by the parser; what it adds to the headers of a request from now on are trailers."""
        hosts = [name for name, _ in self.headers].count(b"host")
        if hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            refuse(self, NO_REQUEST, "A request must have one Host header.")
            raise ValueError("RFC 9112, section 3.2")  # ends the parser's work
        super().on_headers_complete()
        # without a path another protocol was offered, and the request is parsed again
        if "path" in self.scope:
            self.headers = _TRAILERS

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Application) -> None:
        """Called by uvicorn when the headers are complete; the body may be in the same data, or follow."""
        self._at_work = cycle
        most = self._first + self._unparsed + len(self._data)
        if (most > HEADER_LIMIT or not self._reading) and _size(cycle.scope) > HEADER_LIMIT:
            # They were complete before they were found to be too large: it depends on the packets.
            cycle.response_complete = True  # no application answers
            self.cycle = cycle  # nor what came after it,
            self.is_refused = False  # be it refused already: this refusal is the one to send
            if self._reading:
                self._refuse_headers()
            else:  # it waited for the answer before it, which may have to be sent yet
                self.loop.call_soon(self._refuse_headers)
            return
        if cycle.scope["http_version"] == "1.0":
            # it has no such expectation (RFC 9110, section 10.1.1)
            cycle.waiting_for_100_continue = False
        if cycle.waiting_for_100_continue or not cycle.keep_alive:
            app = _closing(self, cycle, app)
        if self._reading and cycle.scope["path"] in self.microbatch.paths:
            self._begun = (cycle, app)
        else:
            self.leave_to_task(cycle, app)

    def _refuse_headers(self) -> None:
        refuse(self, HEADERS_TOO_LARGE, f"The headers are larger than {HEADER_LIMIT} bytes.")

    def leave_to_task(self, cycle: RequestResponseCycle, app: Application) -> None:
        """Run an application as uvicorn does."""
        super()._start_asgi_task(cycle, app)


class Flow(FlowControl):
    """Reads no more while requests wait; uvicorn reads on at each answer, and keeps ever more of them."""

    pipeline: Collection[Any]

    @override
    def resume_reading(self) -> None:
        if self.read_paused and not self.pipeline:
            super().resume_reading()


class _Trailers(list[Any]):
    """Takes what the parser adds to the headers after a chunked body, which nobody reads."""

    @override
    def append(self, _: Any, /) -> None:
        pass


_TRAILERS = _Trailers()


def _has_no_more(cycle: RequestResponseCycle | None, held: int) -> bool:
    """Whether data brought neither the end of a body nor more than its `held` bytes, as trailers do."""
    return (
        cycle is not None
        and cycle.more_body
        and not cycle.response_complete
        and len(cycle.body) == held
    )


def _size(scope: Any) -> int:
    """Bytes of a request's line and headers, as clients write them: `GET /path HTTP/1.1`, `name: value`."""
    line = (
        len(f"{scope['method']}  HTTP/1.1\r\n")
        + len(scope["raw_path"])
        + len(scope["query_string"])
    )
    return line + sum(len(name) + len(value) + len(b": \r\n") for name, value in scope["headers"])


def _closing(connection: Connection, cycle: RequestResponseCycle, app: Application) -> Application:
    """An application that closes the connection so that its answer is not lost, see `_linger`.

    That of a body that was not asked for (`100 Continue`) is closed, too: the client may still send it, or
    not, and nobody could tell it from the next request.
    """

    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if cycle.waiting_for_100_continue and cycle.more_body:
                cycle.keep_alive = False
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            lingers = is_last and cycle.more_body and not cycle.keep_alive
            if lingers:
                cycle.keep_alive = True  # else uvicorn would close it at once
            await send(message)
            if lingers and not connection.transport.is_closing():
                connection.is_refused = True
                _linger(connection)

        await app(scope, receive, answer)

    return closing


def _is_short(cycle: RequestResponseCycle) -> bool:
    """Whether to wait for the rest of a body: it is announced, and small.

    A client that sent `Expect: 100-continue` waits for the application, so that must be called first.
    """
    length = headers.of(cycle.scope).get(b"content-length")  # type: ignore[arg-type]  # uvicorn's type
    announced = length is not None and int(length) <= _SHORT_BODY
    return announced and not cycle.waiting_for_100_continue


def connections(paths: frozenset[str]) -> type[Connection]:
    """The connection class of one server; `paths` as in `Microbatch`."""
    return type("Connection", (Connection,), {"microbatch": Microbatch(paths)})


def refuse(connection: Connection, kind: Kind, detail: str) -> None:
    """Answer a request before it reaches the application, and close its connection.

    The requests before it, which may still be at work, are answered first.
    """
    transport, cycle, waiting = connection.transport, connection.cycle, connection.pipeline
    if transport.is_closing() or connection.is_refused:
        return
    connection.is_refused = True
    at_work = cycle is not None and cycle.more_body and not cycle.response_complete
    begun: Any = cycle.scope if at_work else None  # the request that is refused, if it has begun
    status, answer = _answer(connection, kind, detail, begun)
    if cycle is None or cycle.response_complete:
        _end(connection, answer)
    elif not cycle.more_body:  # the last one before it
        complete = cycle.on_response

        def completed() -> None:
            complete()
            # not at once: a microbatch may have to send the answer yet
            connection.loop.call_soon(_end, connection, answer)

        cycle.on_response = completed
    elif waiting and waiting[0][0] is cycle:  # it waits for those before it
        app: Any = waiting[0][1]
        begun["refused"] = status

        async def refused(scope: Any, receive: Any, _: Any) -> None:
            cycle.response_started = cycle.response_complete = True
            cycle.waiting_for_100_continue = False
            _end(connection, answer)
            # for metrics and log; it is told that the caller left
            await app(scope, receive, _nowhere)

        waiting[0] = (cycle, refused)
    else:  # an application is at work, and might go on writing; metrics and log are to know the status
        begun["refused"] = status
        transport.write(answer)
        transport.close()


async def _nowhere(_: Message) -> None:
    """The `send` of an application whose answer nobody gets."""


def _answer(
    connection: Connection, kind: Kind, detail: str, begun: Scope | None
) -> tuple[int, bytes]:
    """The status of a refusal, and all bytes of its answer.

    begun : the request that is refused, if its headers have been read: its answer has the log's id.
    """
    scope: Any = connection.scope or {}
    path = instance_of(scope) if "path" in scope else "about:blank"
    status, media_type, body = answer_of(Problem(kind, detail), path)
    given = {
        **dict(connection.server_state.default_headers),  # the date
        b"content-type": media_type.encode(),
        b"content-length": b"%d" % len(body),
        **dict(headers.ALWAYS),
        b"connection": b"close",
    }
    if begun is not None:
        given[b"x-request-id"] = id_for(begun)
    lines = b"".join(b"%b: %b\r\n" % header for header in given.items())
    return status, b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (status, kind.title.encode(), lines, body)


def _end(connection: Connection, answer: bytes) -> None:
    """Send the last answer of a connection, and close it."""
    if not connection.transport.is_closing():
        connection.pipeline.clear()
        connection.transport.write(answer)
        _linger(connection)


def _linger(connection: Connection) -> None:
    """Close a connection whose peer may still be sending.

    Closing with unread data would reset the connection, and the peer might lose the answer. So, as in
    RFC 9112, section 9.6, only our side is closed at first, and for a moment more data is read.
    """
    connection.flow.resume_reading()
    connection.transport.write_eof()
    connection.loop.call_later(_LINGER_SECONDS, connection.transport.close)

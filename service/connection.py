"""One connection: uvicorn's, with a limit on headers and a shorter way to what is answered at once.

What requests for single rows become complete in one turn of the event loop are answered in one go, see
`service.turn`. Many clients send head and body apart: a small body is waited for before the application
is asked.

A request that asks for another protocol as well (`Upgrade: h2c`, as Java's client and `curl --http2`
send with everything) is answered in this one, which RFC 9110, section 7.8, leaves to the server. The
parser would take its body for the other protocol's.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from httptools import HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service import headers
from service.errors import HEADERS_TOO_LARGE, MALFORMED, Kind, Problem, answer_of
from service.turn import Turn

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from service.turn import Application

HEADER_LIMIT = 65_536
"""Bytes of a request's line and headers together."""

_SHORT_BODY = 65_536
"""Bytes of a body up to which uvicorn goes on reading by itself."""

_LINGER_SECONDS = 1.0
"""What a peer that is still sending has to find its refusal, before the connection is closed."""


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
            self.leave_to_task(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Application) -> None:
        """Called by uvicorn when the headers are complete: the body follows, in the same data or soon."""
        if self._reading and cycle.scope["path"] in self.turn.paths:
            self._begun = (cycle, app)
        else:
            self.leave_to_task(cycle, app)

    def leave_to_task(self, cycle: RequestResponseCycle, app: Application) -> None:
        """Run an application as uvicorn does."""
        super()._start_asgi_task(cycle, app)


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

"""One worker: uvicorn's server, with graceful shutdown and time limits for slow clients.

Graceful shutdown. On SIGTERM the worker *drains*: for `drain_seconds` readiness answers 503, so that a
proxy looks elsewhere, and every answer asks its connection to close, while requests are still accepted.
Then nobody can begin to connect any more. A tick later, when handshakes that were under way have ended, the
connections that wait are taken, since closing the port would reset them, and it is closed.
Connections that are open by then have a moment to send a request, and those that have asked nothing yet a
longer one; requests in flight finish (within `shutdown_seconds`), and the exit status is 0. SIGINT (Ctrl-C)
or a second SIGTERM skips the draining.

A worker of a group shares its port with siblings, so it only stops accepting, and they take the connections
that wait. The supervisor sends it SIGUSR1, to leave without draining when it has been replaced, or SIGUSR2
when the whole group ends: then nobody may be left to take them, and it closes the port as above.

A signal handler can run between any two steps of the program, even while a connection is being accepted,
and closing the port there would lose that connection. So handlers only record what is to be done, and the
event loop does it.

Slow clients. uvicorn does not limit how long a request may take to arrive, or an answer to be read. So once
a second all connections are checked, at no cost to requests: one that has been sending for too long is
answered with 408 and closed; one that does not read its answer is cut off.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import uvicorn
from typing_extensions import override

from service.acceptor import Acceptor, hold_off, take_waiting, warn_of_want
from service.connection import connections, refuse
from service.errors import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from socket import socket
    from types import FrameType

    from service.acceptor import ConnectionCounts
    from service.app import Service
    from service.connection import Connection
    from service.settings import Settings

_SWITCH_SECONDS = 0.0005
"""How long the thread that loads a version may delay the one that answers; Python's default is 5 ms."""

_LINGER_TICKS = 5
"""For how long a connection may still send a request after the port was closed, half a second."""
_PATIENCE_TICKS = 30
"""The same, three seconds, for those who have connected, but asked nothing yet, and for all connections of
a worker that is replaced, which has not drained: none of them may have been told that it leaves."""

_TICKS_A_SECOND = 10  # of uvicorn's main loop


def waiting_for(connection: Connection) -> str:
    """What the server waits for: "headers" or "body" to arrive, a "reader" to take an answer, or ""."""
    cycle = connection.cycle
    if connection.transport.is_closing():
        return "reader"  # closing waits until the peer has taken what is written
    if connection.is_refused and (cycle is None or cycle.response_complete):
        return ""  # it is closed in a moment
    if cycle is None:
        return "headers"
    if cycle.response_complete:
        # Between requests uvicorn's own timer runs. Without it the next request has begun; and so it has
        # without a path, if its first bytes came with the request before.
        idle = connection.timeout_keep_alive_task is not None and "path" in connection.scope
        return "" if idle else "headers"
    if connection.flow.write_paused:
        return "reader"
    # a request that waits for those before it is not read on
    return "body" if cycle.more_body and not connection.pipeline else ""


class Watch:
    """Closes connections whose peer keeps the server waiting for too long.

    limits : seconds for each result of `waiting_for`.
    """

    def __init__(self, limits: dict[str, float]) -> None:
        self._limits = limits
        self._since: WeakKeyDictionary[Connection, tuple[object, float]] = WeakKeyDictionary()

    def look(self, connections: set[Any], now: float) -> None:
        """Check every connection once; `now` is monotonic time in seconds."""
        for connection in list(connections):
            what = waiting_for(connection)
            if not what:
                self._since.pop(connection, None)
                continue
            # The same wait as at the last check? Each request has its own cycle object; its id might be
            # that of one before, which is gone.
            wait = (what, connection.cycle and ref(connection.cycle))
            known, since = self._since.get(connection, (None, now))
            if known != wait:
                self._since[connection] = (wait, now)
            elif now - since > self._limits[what]:
                self._cut(connection, what)

    def _cut(self, connection: Connection, what: str) -> None:
        self._since.pop(connection, None)
        if what == "reader":
            connection.transport.abort()
        elif connection.scope is None or (
            connection.cycle is not None and connection.cycle.response_complete
        ):
            # opened in advance or kept alive: nobody waits for an answer
            connection.transport.close()
        else:
            seconds = self._limits[what]
            refuse(
                connection,
                TIMEOUT,
                f"The {what} of the request did not arrive within {seconds:g} seconds.",
            )


class Server(uvicorn.Server):
    """uvicorn's server, see the module.

    app : its `drain` is called once, when the worker begins to leave.
    on_beat : called once a second from the event loop; false means that the worker's supervisor is
        gone, and it leaves.
    counts : for a worker with siblings, how many connections each of them holds.
    """

    _listeners: Sequence[socket] = ()

    def __init__(
        self,
        app: Service,
        settings: Settings,
        on_beat: Callable[[], bool] = lambda: True,
        counts: ConnectionCounts | None = None,
    ) -> None:
        super().__init__(_config(app, settings))
        self._acceptors: list[Acceptor] = []
        self._watch = Watch(
            {
                "headers": settings.header_seconds,
                "body": settings.body_seconds,
                "reader": settings.body_seconds,
            }
        )
        self._drain_seconds = settings.drain_seconds
        self._on_drain = app.drain
        self._on_beat = on_beat
        self._counts = counts
        self._close_at: float | None = None
        # Ticks since the port was closed. However long the machine pauses, that is one.
        self._lingered: int | None = None
        self._is_told = False  # by SIGTERM; the supervisor's signal is not the first of two
        self._is_replaced = False
        self._group_ends = False
        self._holds_off = False
        self._taken: list[asyncio.Task[Any]] = []  # the event loop keeps no tasks in memory

    @override
    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Open the port; a worker with siblings accepts through `Acceptor`s, not asyncio servers."""
        self._listeners = sockets or ()
        if self._counts is None or sockets is None:
            await super().startup(sockets)
            return
        await super().startup([])
        self._acceptors = [Acceptor(s, self._counts, self._connect, self._held) for s in sockets]
        self.servers = self._acceptors  # type: ignore[assignment]  # has what uvicorn uses of a server

    def _connect(self) -> Any:
        """The protocol of a new connection, made as uvicorn does."""
        make: Any = self.config.http_protocol_class
        return make(self.config, self.server_state, self.lifespan.state)

    def _held(self) -> int:
        return len(self.server_state.connections)

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to leave; on Ctrl-C, or on a second signal, without draining."""
        if self._is_told or sig == signal.SIGINT:
            super().handle_exit(sig, frame)
        self._is_told = True
        self._begin_to_leave(self._drain_seconds)

    def retire(self, *_: object) -> None:
        """Stop accepting without draining; siblings take the connections from now on."""
        self._is_replaced = True
        self._begin_to_leave(0.0)

    def end_with_group(self, *_: object) -> None:
        """Begin to leave, as all siblings do."""
        self._group_ends = True
        self._begin_to_leave(self._drain_seconds)

    def _begin_to_leave(self, drain_seconds: float) -> None:
        if self._close_at is None:
            self._close_at = time.monotonic() + drain_seconds
            self._on_drain()

    @override
    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second; True ends the server."""
        ends = await super().on_tick(counter)
        now = time.monotonic()
        for acceptor in self._acceptors:
            acceptor.count()
        if counter % _TICKS_A_SECOND == 0:
            self._watch.look(self.server_state.connections, now)
            if self._counts is None:  # an `Acceptor` would say so
                warn_of_want()
            if not self._on_beat():
                self.end_with_group()
        return self._has_left(now) or ends

    def _has_left(self, now: float) -> bool:
        """Go on to leave, if that has begun; whether it is done."""
        if self._close_at is None:
            return False
        close = (b"connection", b"close")
        if close not in self.server_state.default_headers:
            self.server_state.default_headers = [*self.server_state.default_headers, close]
        if self._lingered is not None:
            self._lingered += 1
            return self._is_over(self._lingered)
        if now >= self._close_at:
            if self._is_last and not self._holds_off:  # the port is closed at the next tick
                self._holds_off = True
                for listener in self._listeners:
                    hold_off(listener)
            else:
                self._close_port()
                self._lingered = 0
        return False

    def _is_over(self, lingered: int) -> bool:
        """Whether connections have had their moment, since the port was closed `lingered` ticks ago."""
        connections: set[Any] = self.server_state.connections
        awaited = [c for c in connections if self._is_replaced or waiting_for(c) == "headers"]
        return lingered >= (_PATIENCE_TICKS if awaited else _LINGER_TICKS)

    @override
    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Called by uvicorn at the end; on a second Ctrl-C it would leave the lifespan to be cancelled."""
        loop, seconds = asyncio.get_running_loop(), self.config.timeout_graceful_shutdown or 0
        loop.call_later(seconds, self._cut_readers)  # a moment before uvicorn cancels the tasks
        await super().shutdown(sockets)
        if self.force_exit:
            self._cut_readers()
            await self.lifespan.shutdown()

    def _cut_readers(self) -> None:
        """Cut off who keeps a request waiting by not reading, to whom no answer could be sent."""
        connections: set[Any] = self.server_state.connections
        for connection in list(connections):
            cycle = connection.cycle
            if connection.flow.write_paused and cycle is not None and not cycle.response_complete:
                connection.transport.abort()

    @property
    def _is_last(self) -> bool:
        """Whether no siblings go on to accept from the same sockets, which may so be held off."""
        return self._counts is None or self._group_ends

    def _close_port(self) -> None:
        for listener in self._listeners if self._is_last else ():
            for accepted in take_waiting(listener):
                loop = asyncio.get_running_loop()
                self._taken.append(
                    loop.create_task(loop.connect_accepted_socket(self._connect, accepted))
                )
        for server in self.servers:
            server.close()


def _config(app: Service, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=connections(app.at_once),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,  # longer than the usual proxies keep idle connections
        # in whole seconds, as uvicorn types it, half a second would be none
        timeout_graceful_shutdown=settings.shutdown_seconds,  # type: ignore[arg-type]
    )


def serve(server: Server, sockets: list[socket]) -> int:
    """Answer requests until a signal; returns the exit status."""
    # uvicorn handles signals only while it runs, and raises them again after it has shut down. Our own
    # handlers obey a signal that comes earlier, and keep a raised one from killing the process.
    signal.signal(signal.SIGTERM, server.handle_exit)
    signal.signal(signal.SIGINT, server.handle_exit)
    # a group blocks it in its workers
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGUSR1, server.retire)
    signal.signal(signal.SIGUSR2, server.end_with_group)
    sys.setswitchinterval(_SWITCH_SECONDS)
    # All objects of the start-up stay for good. Without this the collector would traverse them, for tens
    # of milliseconds, in the middle of large batches.
    gc.collect()
    gc.freeze()
    server.run(sockets)
    return 0 if server.started else 1

"""Dynamic batching of single-row requests: those that arrive together are answered together.

uvicorn starts a task for every request and sends the head and the body of an answer with two system
calls. Each of these costs more than a prediction, and leaves the processor's caches cold. So the requests
that become complete within one iteration of the event loop form a `Microbatch`: the application is called
for one after the other, and then all answers are sent, each with a single write. What the requests have
in common, above all the forward pass of a model, is done once for all of them (`shared`). Nothing waits
for a batch to fill: a request that arrives alone is answered alone.

The application is called exactly as uvicorn calls it, but outside a task: it must not ask for the current
task, so the server names the paths for which this is fine. If it has to wait for anything but shared work
(an explanation yields to other requests, a client does not read), or fails, the rest of the request is
handed to an ordinary task.
"""

from __future__ import annotations

from collections import defaultdict
from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

if TYPE_CHECKING:
    from asyncio import Transport
    from collections.abc import Callable, Coroutine, Generator

    from starlette.types import Receive, Scope, Send
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from service.connection import Connection

Application = Any
"""An ASGI application; uvicorn and Starlette each have a type of their own for it."""

Asked = TypeVar("Asked")
Given = TypeVar("Given")

_MOST_REQUESTS = 16
"""The most requests that are answered together; more gain nothing, and the first would wait longer."""


async def shared(scope: Scope, work: Callable[[list[Asked]], list[Given]], asked: Asked) -> Given:
    """The result of `work` for `asked`; `work` is called once for all requests of the microbatch.

    work : maps a list of what was asked to a list of results, in the same order.
    """
    if "at_once" in scope and scope["at_once"].in_company:
        given: Given = await _Shared(work, asked)
        return given
    (given,) = work([asked])
    return given


class _Shared:
    """Awaited by a request that wants shared work; suspends it until its `Microbatch` has the result."""

    __slots__ = ("asked", "work")

    def __init__(self, work: Callable[[list[Any]], list[Any]], asked: Any) -> None:
        self.work = work
        self.asked = asked

    def __await__(self) -> Generator[_Shared, Any, Any]:
        return (yield self)


class Microbatch:
    """Collects the requests of one iteration of the event loop and answers them together.

    paths : of the requests that may be answered in this way.
    """

    def __init__(self, paths: frozenset[str]) -> None:
        self.paths = paths
        self._requests: list[_Request] = []
        self._answers: list[tuple[Transport, bytes]] = []
        self._answering = False
        self._headers: list[tuple[bytes, bytes]] | None = None
        self._lines = b""

    def add(self, connection: Connection, cycle: RequestResponseCycle, app: Application) -> None:
        """Answer a request at the end of this iteration of the event loop, when all sockets are read."""
        if not self._requests:
            connection.loop.call_soon(self._answer)
        self._requests.append(_Request(connection, cycle, app))

    def _answer(self) -> None:
        requests, self._requests = self._requests, []
        self._answering = True
        try:
            for start in range(0, len(requests), _MOST_REQUESTS):
                self._answer_some(requests[start : start + _MOST_REQUESTS])
                self._send()
        finally:
            self._answering = False
            self._send()

    def _answer_some(self, requests: list[_Request]) -> None:
        """Run the application for each request, until it is answered or waits for more than shared work."""
        in_company = len(requests) > 1
        begun = [(request, request.begin(in_company=in_company)) for request in requests]
        waiting = [(request, wanted) for request, wanted in begun if wanted is not None]
        while waiting:
            groups: dict[Any, list[tuple[_Request, _Shared]]] = defaultdict(list)
            for request, wanted in waiting:
                groups[wanted.work].append((request, wanted))
            waiting = []
            for work, group in groups.items():
                given = _done(work, [wanted.asked for _, wanted in group])
                for (request, _), part in zip(group, given, strict=True):
                    then = request.go_on(part)
                    if then is not None:
                        waiting.append((request, then))

    def _send(self) -> None:
        for transport, answer in self._answers:
            transport.write(answer)
        self._answers.clear()

    def send(self, transport: Transport, answer: bytes) -> None:
        """Send a whole answer, after the applications of the whole microbatch have run."""
        if self._answering:
            self._answers.append((transport, answer))
        else:
            transport.write(answer)

    def default_lines(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """uvicorn's default headers as lines; empty while these ask connections to close."""
        if headers is not self._headers:  # uvicorn makes a new list once a second, for the date
            lines = (b"%b: %b\r\n" % header for header in headers)
            closes = any(name == b"connection" for name, _ in headers)
            self._headers, self._lines = headers, b"" if closes else b"".join(lines)
        return self._lines


class WholeAnswer:
    """Sends the head and body of one answer at once; the application finds it as scope["at_once"].

    send : the ASGI `send` that it replaces. A layer that was handed another one, because a layer outside
        it wraps `send`, must use that.
    in_company : whether the microbatch has other requests, too.
    """

    __slots__ = ("_connection", "_cycle", "in_company", "send")

    def __init__(
        self, connection: Connection, cycle: RequestResponseCycle, *, in_company: bool
    ) -> None:
        self.in_company = in_company
        self._connection = connection
        self._cycle = cycle
        self.send = cycle.send

    def __call__(self, status: int, headers: bytes, body: bytes) -> bool:
        """Send an answer; False if nothing was sent, because it needs uvicorn's own way.

        headers : as they go over the wire, with the empty line after them.
        """
        connection, cycle = self._connection, self._cycle
        default = connection.microbatch.default_lines(cycle.default_headers)
        if (
            not default
            or cycle.response_started
            or cycle.disconnected
            or not cycle.keep_alive
            or connection.flow.write_paused
        ):
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        answer = b"".join((STATUS_LINE[status], default, headers, body))
        connection.microbatch.send(connection.transport, answer)
        cycle.on_response()
        return True

    def release(self) -> None:
        """Forget the request, which is over, so that its memory is freed at once.

        Its scope refers to this object. If this referred to the request for good, that would be a
        reference cycle, and the memory of thousands of requests would wait for the garbage collector: a
        sixth of all processor time.
        """
        del self._connection, self._cycle, self.send


class _Request:
    """A request and the coroutine that answers it."""

    __slots__ = ("_app", "_connection", "_cycle", "_running", "_whole")

    def __init__(
        self, connection: Connection, cycle: RequestResponseCycle, app: Application
    ) -> None:
        self._connection = connection
        self._cycle = cycle
        self._app = app
        self._running: Coroutine[Any, Any, None]

    def begin(self, *, in_company: bool) -> _Shared | None:
        """Start the application; returns the shared work that it waits for, or None."""
        cycle = self._cycle
        self._whole = whole = WholeAnswer(self._connection, cycle, in_company=in_company)
        cycle.scope["at_once"] = whole  # type: ignore[typeddict-unknown-key]
        self._running = self._app(cycle.scope, cycle.receive, whole.send)
        return self.go_on(None)

    def go_on(self, given: Any) -> _Shared | None:
        """Resume the application with its result of shared work, or the exception that was raised there."""
        running = self._running
        rest: Application
        try:
            failed = isinstance(given, BaseException)
            waits_for = running.throw(given) if failed else running.send(given)
        except StopIteration:
            self._whole.release()
            if self._cycle.response_complete:
                self._cycle.on_response = _nothing  # which held the connection, and so itself
                return None
            rest = _end
        except BaseException as error:  # noqa: BLE001 - uvicorn's task answers it
            self._whole.release()
            rest = _raising(error)
        else:
            if isinstance(waits_for, _Shared):
                return waits_for
            rest = _rest(running, waits_for, self._whole)
        self._connection.leave_to_task(self._cycle, rest)
        return None


def _done(work: Callable[[list[Any]], list[Any]], asked: list[Any]) -> list[Any]:
    """The results of `work`; if it fails, of a call for each alone, whose error is then its result."""
    try:
        return work(asked)
    except BaseException as error:  # noqa: BLE001 - raised in the request that asked
        return (
            [error] if len(asked) == 1 else [part for one in asked for part in _done(work, [one])]
        )


def _rest(running: Coroutine[Any, Any, None], waits_for: Any, whole: WholeAnswer) -> Application:
    """The rest of an application that has started and waits for something."""

    async def rest(_: Scope, __: Receive, ___: Send) -> None:
        try:
            await _go_on(running, waits_for)
        finally:
            whole.release()

    return rest


@coroutine
def _go_on(running: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """Drive a coroutine that was started outside a task to its end, now that there is a task."""
    while True:
        try:
            try:
                if isinstance(waits_for, _Shared):  # a task shares with nobody
                    (sent,) = waits_for.work([waits_for.asked])
                else:
                    sent = yield waits_for
            except BaseException as error:  # noqa: BLE001 - the coroutine's to handle
                waits_for = running.throw(error)
            else:
                waits_for = running.send(sent)
        except StopIteration:
            return


def _raising(error: BaseException) -> Application:
    async def fail(_: Scope, __: Receive, ___: Send) -> None:
        raise error

    return fail


async def _end(_: Scope, __: Receive, ___: Send) -> None:
    """The rest of an application that has ended without an answer: uvicorn reports it."""


def _nothing() -> None:
    pass

"""The requests of one turn of the event loop, answered in one go.

uvicorn makes a task of every request, and writes the head of an answer and its body apart, each by a
system call that wakes the reader. Both cost more than a prediction, and after a system call the
processor's caches are cold. So what requests for single rows become complete in one turn of the event
loop are answered together (`Turn`): the application is run for one after the other, and then their
answers are sent, each in one piece. Where all of them want the same work done, each says so and stops
(`shared`); it is done for all at once, and they go on with their parts of it. For a model's networks
that is the dynamic batching of larger servers, with nothing to wait for: what came together is answered
together, and a request that comes alone is answered alone.

It is the same application, called as uvicorn calls it. Should it wait for something else (an
explanation gives way to others, a reader does not read), the rest of it becomes a task like any other,
and so does whatever does not end as it should. What is answered in this way may not ask for the current
task, for there may be none: a `Turn` is told which paths are fit for it.
"""

from __future__ import annotations

from collections import defaultdict
from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from asyncio import Transport
    from collections.abc import Callable, Coroutine, Generator

    from starlette.types import Receive, Scope, Send
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from service.connection import Connection

Application = Any
"""uvicorn and Starlette have each a type of their own for an ASGI application."""

Asked = TypeVar("Asked")
Given = TypeVar("Given")

_OK = b"HTTP/1.1 200 OK\r\n"
_MOST_ANSWERS = 16
"""So many answers wait for each other; with more there is nothing to be gained."""


async def shared(scope: Scope, work: Callable[[list[Asked]], list[Given]], asked: Asked) -> Given:
    """What `work` gives for `asked`: it is done once for all requests of the turn that want it.

    work : gives one thing for each that is asked, in their order.
    """
    if "at_once" in scope and scope["at_once"].in_company:
        given: Given = await _Shared(work, asked)
        return given
    (given,) = work([asked])
    return given


class _Shared:
    """What a request waits for when it waits for shared work; its `Turn` knows what to do."""

    __slots__ = ("asked", "work")

    def __init__(self, work: Callable[[list[Any]], list[Any]], asked: Any) -> None:
        self.work = work
        self.asked = asked

    def __await__(self) -> Generator[_Shared, Any, Any]:
        return (yield self)


class Turn:
    """The requests that came in this turn of the event loop and are answered at once.

    paths : of the requests that are.
    """

    def __init__(self, paths: frozenset[str]) -> None:
        self.paths = paths
        self._requests: list[_Request] = []
        self._answers: list[tuple[Transport, bytes]] = []
        self._answering = False
        self._headers: list[tuple[bytes, bytes]] | None = None
        self._lines = b""

    def add(self, connection: Connection, cycle: RequestResponseCycle, app: Application) -> None:
        """Answer a request when all that there is to be read is read."""
        if not self._requests:
            connection.loop.call_soon(self._answer)
        self._requests.append(_Request(connection, cycle, app))

    def _answer(self) -> None:
        requests, self._requests = self._requests, []
        self._answering = True
        try:
            for start in range(0, len(requests), _MOST_ANSWERS):
                self._answer_some(requests[start : start + _MOST_ANSWERS])
                self._send()
        finally:
            self._answering = False
            self._send()

    def _answer_some(self, requests: list[_Request]) -> None:
        """Run the application for each as far as it goes without waiting, but for shared work."""
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
    in_company : whether others are answered in the same turn.
    """

    __slots__ = ("_connection", "_cycle", "in_company", "send")

    def __init__(
        self, connection: Connection, cycle: RequestResponseCycle, *, in_company: bool
    ) -> None:
        self.in_company = in_company
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


class _Request:
    """One request on its way, and the coroutine that answers it."""

    __slots__ = ("_app", "_connection", "_cycle", "_running")

    def __init__(
        self, connection: Connection, cycle: RequestResponseCycle, app: Application
    ) -> None:
        self._connection = connection
        self._cycle = cycle
        self._app = app
        self._running: Coroutine[Any, Any, None]

    def begin(self, *, in_company: bool) -> _Shared | None:
        """Run the application; what is returned is what it waits for, None when it is over."""
        cycle = self._cycle
        whole = Whole(self._connection, cycle, in_company=in_company)
        cycle.scope["at_once"] = whole  # type: ignore[typeddict-unknown-key]
        self._running = self._app(cycle.scope, cycle.receive, whole.send)
        return self.go_on(None)

    def go_on(self, given: Any) -> _Shared | None:
        """`begin` after shared work, of which this part is given: an exception where it failed."""
        running = self._running
        rest: Application
        try:
            failed = isinstance(given, Exception)
            waits_for = running.throw(given) if failed else running.send(given)
        except StopIteration:
            if self._cycle.response_complete:
                self._cycle.on_response = _nothing  # which held the connection, and so itself
                return None
            rest = _end
        except Exception as error:  # noqa: BLE001 - uvicorn's task answers it
            rest = _raising(error)
        else:
            if isinstance(waits_for, _Shared):
                return waits_for
            rest = _rest(running, waits_for)
        self._connection.leave_to_task(self._cycle, rest)
        return None


def _done(work: Callable[[list[Any]], list[Any]], asked: list[Any]) -> list[Any]:
    """What `work` gives; where it fails, it is done for each alone, and its error is what one gets."""
    try:
        return work(asked)
    except Exception as error:  # noqa: BLE001 - raised in the request that asked
        return (
            [error] if len(asked) == 1 else [part for one in asked for part in _done(work, [one])]
        )


def _rest(running: Coroutine[Any, Any, None], waits_for: Any) -> Application:
    """What is left of an application that waits for something."""

    async def rest(_: Scope, __: Receive, ___: Send) -> None:
        await _go_on(running, waits_for)

    return rest


@coroutine
def _go_on(running: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """A coroutine that was begun elsewhere and waits for something, to be awaited to its end."""
    while True:
        try:
            try:
                if isinstance(waits_for, _Shared):  # in a task there is nobody to share it with
                    (sent,) = waits_for.work([waits_for.asked])
                else:
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

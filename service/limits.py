"""Load shedding, body sizes and deadlines, in one plain ASGI layer.

The layer reads the whole body of a request and passes on a `receive` whose first message is that body, so a
route never sees a slow or an endless one. (How long a body may take is checked by `service.server`, which
cuts off a slow sender at any stage of a request.)

Admission is limited by concurrency. A request occupies a place from its start to its answer, except while
it waits for its own body, so that slow senders take no place from others. A request that finds every place
taken is refused at once with 503 and Retry-After, before its body is read. Single rows and batches have
separate places, so that batches cannot keep single rows out; health checks, metrics and pages need none.
Long work that yields to others ends as soon as its caller has left, and gives its place back.

A burst must not get more places than there are, even if its requests are so short that each has left when
the next one starts. So the requests of one iteration of the event loop are counted together: those that
run as tasks enter before any of them is worked on, and those that the server answers in a microbatch
(`service.microbatch`) keep their places until the iteration ends.
"""

from __future__ import annotations

import math
from asyncio import get_running_loop, sleep
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING
from weakref import ref

from service import headers
from service.errors import (
    DEADLINE,
    INVALID,
    RETRY_AFTER,
    TOO_LARGE,
    UNAVAILABLE,
    CallerGoneError,
    Fault,
    Problem,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableSequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from service.settings import Settings

LONGEST_DEADLINE = 3600.0
TURN_SECONDS = 0.004
"""How long interruptible work keeps the event loop before it yields, which costs microseconds."""
WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods of requests that no place is needed for, and whose body nobody reads."""


@dataclass(slots=True)
class Gate:
    """The places for one kind of request in one worker.

    places : the most requests that are worked on at once.
    body_limit : the largest body, in bytes.
    taken : how many requests are being worked on.
    answered : how many were answered in this iteration of the event loop, and keep their places to its end.
    gauge : a memory cell of the metrics, kept at the sum of both.
    on_shed : called with `kind` for each request that finds no place.
    """

    kind: str
    places: int
    body_limit: int
    taken: int = 0
    answered: int = 0
    gauge: MutableSequence[float] | memoryview[float] = field(default_factory=lambda: [0.0])
    on_shed: Callable[[str], None] = lambda _: None

    def check(self) -> None:
        """Raise Problem if every place is taken."""
        if self.taken + self.answered >= self.places:
            self.on_shed(self.kind)
            raise Problem(
                UNAVAILABLE,
                f"{self.places} of {self.places} places for {self.kind} are taken; try again after "
                "the time in Retry-After.",
                headers=RETRY_AFTER,
            )

    def enter(self) -> None:
        """Take a place."""
        self.taken += 1
        self.gauge[0] += 1.0

    def leave(self, *, in_microbatch: bool) -> None:
        """Give it back: at once, or of a request in a microbatch in the next iteration of the loop."""
        self.taken -= 1
        if not in_microbatch:
            self.gauge[0] -= 1.0
            return
        if not self.answered:
            get_running_loop().call_soon(self._next_iteration)
        self.answered += 1

    def _next_iteration(self) -> None:
        self.answered = 0
        self.gauge[0] = float(self.taken)


@dataclass(frozen=True)
class Limits:
    """The limits of one worker.

    rows, batches : the places for single rows, and for everything else that has a body.
    row_paths : the paths of requests for a single row. With `explain` in the query they count as batches
        (and with a percent sign, which might encode it).
    deadline : seconds for a request that does not set its own, or None for no limit.
    """

    rows: Gate
    batches: Gate
    row_paths: frozenset[str]
    deadline: float | None = None

    @property
    def buffer(self) -> int:
        """The most bytes of incomplete bodies, over all requests: twice what finds a place."""
        return 2 * sum(gate.places * gate.body_limit for gate in (self.rows, self.batches))

    def gate_of(self, scope: Scope) -> Gate:
        """The gate of a request that has a body."""
        query = scope["query_string"]
        if scope["path"] in self.row_paths and b"explain" not in query and b"%" not in query:
            return self.rows
        return self.batches


def limits_of(settings: Settings, row_paths: Iterable[str]) -> Limits:
    """The limits of the settings; `row_paths` as in `Limits`."""
    return Limits(
        Gate("single rows", settings.row_places, settings.row_bytes),
        Gate("batches", settings.batch_places, settings.batch_bytes),
        frozenset(row_paths),
        settings.deadline or None,
    )


class LimitsLayer:
    """Wraps an ASGI application; see the module."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._buffered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request that is within the limits; raise Problem for one that is not."""
        if scope["type"] != "http" or scope["method"] in WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        gate = self._limits.gate_of(scope)
        self._read_headers(scope, gate.body_limit)
        gate.check()
        at_once = "at_once" in scope
        if not at_once:
            gate.enter()
            try:
                await sleep(0)
            finally:
                gate.leave(in_microbatch=False)
        message = await receive()
        if message.get("more_body"):
            message = await self._read_rest(message, receive, gate.body_limit)
        if message["type"] == "http.disconnect":
            return  # nobody waits for an answer
        if len(message.get("body", b"")) > gate.body_limit:
            raise too_large(gate.body_limit)
        gate.check()
        check_deadline(scope)
        if gate is self._limits.batches:  # the work for a single row has no pause
            _note_caller(scope, receive)
        gate.enter()
        try:
            await self._app(scope, _replay(message, receive), send)
        finally:
            gate.leave(in_microbatch=at_once)

    def _read_headers(self, scope: Scope, body_limit: int) -> None:
        """Refuse a body that announces too many bytes, and put the deadline into the scope."""
        seconds = self._limits.deadline
        fields = headers.of(scope)
        length = fields.get(b"content-length")
        if length is not None and int(length) > body_limit:
            raise too_large(body_limit)
        if b"x-request-timeout" in fields:
            seconds = _seconds(fields[b"x-request-timeout"])
        scope["deadline"] = None if seconds is None else perf_counter() + seconds

    async def _read_rest(self, message: Message, receive: Receive, body_limit: int) -> Message:
        """A message with the whole body, whose first part is in `message`."""
        body = bytearray()
        try:
            while True:
                part: bytes = message.get("body", b"")
                body += part
                self._buffered += len(part)
                if len(body) > body_limit:
                    raise too_large(body_limit)
                if self._buffered > self._limits.buffer:
                    raise Problem(
                        UNAVAILABLE,
                        "Too many bodies are on their way; try again after the time in "
                        "Retry-After.",
                        headers=RETRY_AFTER,
                    )
                if not message.get("more_body"):
                    return {"type": "http.request", "body": bytes(body), "more_body": False}
                message = await receive()
                if message["type"] == "http.disconnect":
                    return message
        finally:
            self._buffered -= len(body)


def check_deadline(scope: Scope) -> None:
    """Raise Problem if the deadline of a request has passed; to be called before more work is started."""
    deadline = scope.get("deadline")
    if deadline is not None and perf_counter() >= deadline:
        raise Problem(
            DEADLINE,
            "The time that the request allows (X-Request-Timeout, or the service's own limit) was "
            "over before the work was done; what was left of it is not started.",
        )


def _note_caller(scope: Scope, receive: Receive) -> None:
    """Let `give_way` know the server's object of a request, which knows whether the caller has left.

    By a weak reference, because the object refers to the scope.
    """
    cycle = getattr(receive, "__self__", None)
    if hasattr(cycle, "disconnected"):
        scope["cycle"] = ref(cycle)


async def give_way(scope: Scope) -> None:
    """Yield to other requests in the middle of long work.

    Raises Problem past the deadline, and CallerGoneError where nobody waits for the answer any more.
    """
    await sleep(0)
    if "cycle" in scope and getattr(scope["cycle"](), "disconnected", True):
        raise CallerGoneError
    check_deadline(scope)


class Turns:
    """Cooperative scheduling of long work: yields to other requests every TURN_SECONDS.

    By the clock and not by the row, so that others wait no longer on a slow machine or for costly rows.
    """

    def __init__(self, scope: Scope, clock: Callable[[], float] = perf_counter) -> None:
        self.scope = scope
        self._clock = clock
        self._end = clock() + TURN_SECONDS

    async def pause(self) -> None:
        """Yield if TURN_SECONDS have passed since the last time. Raises as `give_way`."""
        if self._clock() >= self._end:
            await give_way(self.scope)
            self._end = self._clock() + TURN_SECONDS


def too_large(limit: int) -> Problem:
    """The problem of a body that is larger than `limit` bytes."""
    return Problem(TOO_LARGE, f"The body is larger than {limit} bytes, the most this route takes.")


def _seconds(value: bytes) -> float:
    try:
        seconds = math.nan if b"_" in value else float(value)  # Python reads 1_0 as 10
    except ValueError:
        seconds = math.nan
    if not 0.0 < seconds <= LONGEST_DEADLINE:
        detail = (
            "X-Request-Timeout must be a number of seconds above 0 and at most "
            f"{LONGEST_DEADLINE:.0f}, such as 2.5."
        )
        raise Problem(INVALID, detail, [Fault(detail, header="X-Request-Timeout")])
    return seconds


def _replay(message: Message, receive: Receive) -> Receive:
    """A `receive` that returns `message` first, and then the connection's messages."""
    first = True

    async def replayed() -> Message:
        nonlocal first
        if first:
            first = False
            return message
        return await receive()

    return replayed

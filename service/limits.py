"""What the service takes on: admission, the size of bodies, deadlines.

One plain ASGI layer. It reads the body of a request and hands on a `receive` whose first message is
the whole body, so that a route never sees a slow or an endless one. (How long a body may take is
the server's to say, see `service.server`: there a sender that is too slow is cut off, wherever in a
request it is.)

Admission is by concurrency. A request counts from its start to its answer, but not while it waits
for its own body: a slow sender takes no place from others. What comes when every place is taken is
refused at once with 503 and Retry-After, before its body is read. Single rows and batches have
places of their own, so that batches cannot keep single rows out; health checks, metrics and pages
need none.

Of a burst no more are taken on than there are places. Requests that came in the same turn of the
event loop are therefore counted together: those that run as tasks before the first is worked on;
those that the server answers at once (`service.microbatch`), one after the other while the next ones
wait in the kernel, by holding their places to the end of the turn.
"""

from __future__ import annotations

import math
from asyncio import get_running_loop, sleep
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from service import headers
from service.errors import DEADLINE, INVALID, TOO_LARGE, UNAVAILABLE, Fault, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableSequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from service.settings import Settings

RETRY_AFTER = ((b"retry-after", b"1"),)
LONGEST_DEADLINE = 3600.0
TURN_SECONDS = 0.004
"""How long work that can be interrupted keeps the event loop. A turn of it costs microseconds."""
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(slots=True)
class Gate:
    """The places for one kind of request in one worker.

    places : so many requests are worked on at once.
    body_limit : the largest body, in bytes.
    taken : how many requests are worked on now.
    answered : how many were answered in this turn of the event loop and hold their places to its end.
    gauge : one number that shows the sum of both, where the metrics want it.
    on_shed : called with `kind` for each request that finds no place.
    """

    kind: str
    places: int
    body_limit: int
    taken: int = 0
    answered: int = 0
    gauge: MutableSequence[float] | memoryview[float] = field(default_factory=lambda: [0.0])
    on_shed: Callable[[str], None] | None = None

    def check(self) -> None:
        """Raise Problem if every place is taken."""
        if self.taken + self.answered >= self.places:
            if self.on_shed is not None:
                self.on_shed(self.kind)
            raise Problem(
                UNAVAILABLE,
                f"All {self.places} places for {self.kind} are taken; try again after the time "
                "in Retry-After.",
                headers=RETRY_AFTER,
            )

    def enter(self) -> None:
        """Take a place."""
        self.taken += 1
        self.gauge[0] += 1.0

    def leave(self, *, at_once: bool) -> None:
        """Give it back; one that was answered at once, in the next turn of the loop."""
        self.taken -= 1
        if not at_once:
            self.gauge[0] -= 1.0
            return
        if not self.answered:
            get_running_loop().call_soon(self._next_turn)
        self.answered += 1

    def _next_turn(self) -> None:
        self.answered = 0
        self.gauge[0] = float(self.taken)


@dataclass(frozen=True)
class Limits:
    """What the layer holds requests to.

    rows, batches : the places for single rows and for everything else that has a body.
    row_paths : the paths of requests for a single row. With `explain` they are the work of a batch
        (and with a percent sign in the query, which may spell it).
    deadline : seconds for a request that names no time itself, or None for as long as it takes.
    buffer : bytes of unfinished bodies that one worker holds at once.
    """

    rows: Gate
    batches: Gate
    row_paths: frozenset[str]
    deadline: float | None = None
    buffer: int = 256_000_000

    def gate_of(self, scope: Scope) -> Gate:
        """The gate of a request that has a body."""
        query = scope["query_string"]
        if scope["path"] in self.row_paths and b"explain" not in query and b"%" not in query:
            return self.rows
        return self.batches


def limits_of(settings: Settings, row_paths: Iterable[str]) -> Limits:
    """The limits that the settings ask for; `row_paths` as in Limits."""
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
        if scope["type"] != "http" or scope["method"] in _WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        gate = self._limits.gate_of(scope)
        self._read_headers(scope, gate.body_limit)
        gate.check()
        at_once = "at_once" in scope
        if not at_once:
            gate.enter()
            await sleep(0)
            gate.leave(at_once=False)
        message = await receive()
        if message.get("more_body"):
            message = await self._read_rest(message, receive, gate.body_limit)
        if message["type"] == "http.disconnect":
            return  # nobody waits for an answer
        if len(message.get("body", b"")) > gate.body_limit:
            raise too_large(gate.body_limit)
        gate.check()
        check_deadline(scope)
        gate.enter()
        try:
            await self._app(scope, _replay(message, receive), send)
        finally:
            gate.leave(at_once=at_once)

    def _read_headers(self, scope: Scope, body_limit: int) -> None:
        """Refuse a body that says it is too large, and note the deadline in the scope."""
        seconds = self._limits.deadline
        fields = headers.of(scope)
        length = fields.get(b"content-length")
        if length is not None and int(length) > body_limit:
            raise too_large(body_limit)
        if b"x-request-timeout" in fields:
            seconds = _seconds(fields[b"x-request-timeout"])
        scope["deadline"] = None if seconds is None else perf_counter() + seconds

    async def _read_rest(self, message: Message, receive: Receive, body_limit: int) -> Message:
        """The message with the whole body, of one whose first part is `message`."""
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
    """Raise Problem when the time of a request is over: for work that is not started yet."""
    deadline = scope.get("deadline")
    if deadline is not None and perf_counter() >= deadline:
        raise Problem(
            DEADLINE,
            "The time that the request allows (X-Request-Timeout, or the service's own limit) was "
            "over before the work was done; what was left of it is not started.",
        )


async def give_way(scope: Scope) -> None:
    """Let other requests have their turn in the middle of long work; raise Problem past the deadline."""
    await sleep(0)
    check_deadline(scope)


class Turns:
    """The turns of long work: others have theirs whenever one has taken TURN_SECONDS.

    So what a row costs, and how fast the machine is, does not decide how long others wait.
    """

    def __init__(self, scope: Scope, clock: Callable[[], float] = perf_counter) -> None:
        self.scope = scope
        self._clock = clock
        self._end = clock() + TURN_SECONDS

    async def pause(self) -> None:
        """Give way if this turn has taken its time. Raises Problem past the deadline."""
        if self._clock() >= self._end:
            await give_way(self.scope)
            self._end = self._clock() + TURN_SECONDS


def too_large(limit: int) -> Problem:
    """A body is larger than `limit` bytes."""
    return Problem(TOO_LARGE, f"The body is larger than {limit} bytes, the most this route takes.")


def _seconds(value: bytes) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0.0 < seconds <= LONGEST_DEADLINE:
        detail = (
            "X-Request-Timeout must be a number of seconds above 0 and at most "
            f"{LONGEST_DEADLINE:.0f}, such as 2.5."
        )
        raise Problem(INVALID, detail, [Fault(detail)])
    return seconds


def _replay(message: Message, receive: Receive) -> Receive:
    """A `receive` that gives `message` first, and then what the connection says."""
    first = True

    async def replayed() -> Message:
        nonlocal first
        if first:
            first = False
            return message
        return await receive()

    return replayed

"""One request and its answer: the outermost layer of the service.

It gives the request its id (X-Request-ID), finds its route, times it, turns what the layers below raise
into answers, adds the security headers (`service.headers`), and tells the observers (metrics, logs) when it
is over.
"""

import itertools
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.arrays import Columns, FloatArray, Row
from service import errors, headers
from service.headers import Header
from service.served import Served

_OK = 200
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}\Z").match
_ID = b"x-request-id"
_log = logging.getLogger("service")


class Exchange:
    """What is known about one request; filled in on its way through the layers.

    request_id : as it is sent back.
    started : when it began, by `perf_counter`. seconds : how long it took, once it is over.
    route : the path template of its route, or "none".
    served : the model version that answers, if a model is asked.
    row, value : for a single row, the row and its answer.
    columns, values : for a batch, the answered rows and their answers.
    rows : how many rows there were. outside : how many of the answered ones have a warning.
    status : of the answer; 0 until it starts.
    whole : sends head and body of an answer at once, see `service.microbatch`; or None.
    """

    # Defaults on the class, because a request for a single row sets only half of them.
    seconds = 0.0
    route = "none"
    served: Served | None = None
    rows = 0
    row: Row | None = None
    value = 0.0
    columns: Columns | None = None
    values: FloatArray | None = None
    outside = 0
    status = 0
    whole: Callable[[int, bytes, bytes], bool] | None = None

    def __init__(self, request_id: bytes) -> None:
        self.request_id = request_id
        self.started = perf_counter()

    def answer_whole(self, served: Served, body: bytes) -> bool:
        """Send a JSON answer of status 200 at once; False if it has to be sent by ASGI messages."""
        whole = self.whole
        if whole is None or not whole(_OK, served.head % (len(body), self.request_id), body):
            return False
        self.status = _OK
        return True

    def refuse_whole(self, status: int, given: Iterable[Header], body: bytes) -> bool:
        """Send any other answer at once; False if it has to be sent by ASGI messages."""
        whole = self.whole
        if whole is None:
            return False
        lines = [b"%b: %b\r\n" % header for header in self.all_headers(given)]
        if not whole(status, b"".join((*lines, b"\r\n")), body):
            return False
        self.status = status
        return True

    def all_headers(self, given: Iterable[Header]) -> list[Header]:
        """Headers that an answer was given, with those that every answer has."""
        served = self.served
        return [
            *given,
            (_ID, self.request_id),
            *headers.ALWAYS,
            *(served.headers if served else headers.of_page(given)),
        ]


def id_for(scope: Scope) -> bytes:
    """The id of a request that `service.connection` refuses: its exchange has it, or will take it."""
    if "exchange" in scope:
        exchange: Exchange = scope["exchange"]
        return exchange.request_id
    given = headers.of(scope)
    if not _SANE_ID(given.get(_ID, b"")):
        given[_ID] = secrets.token_hex(8).encode()
    return given[_ID]


Observer = Callable[[Exchange, Scope], None]
"""Called once for every exchange, when the last byte of the answer has been handed to the server."""

Template = tuple[re.Pattern[str], str]
"""The paths that a route takes, and its path template."""


class ExchangeLayer:
    """Wraps an ASGI application; see the module.

    templates : of all routes. A request that is refused before it is routed is known by its route, too.
    """

    def __init__(
        self,
        app: ASGIApp,
        observers: Iterable[Observer] = (),
        templates: Iterable[Template] = (),
    ) -> None:
        self._app = app
        self._observers = tuple(observers)
        self._templates = tuple(templates)
        self._without_parameters = frozenset(t for _, t in self._templates if "{" not in t)
        self._prefix = secrets.token_hex(8).encode()
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer with what it raises."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = scope["exchange"] = self._begun(scope, send)

        def answer(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = exchange.all_headers(message["headers"])
            return send(message)

        try:
            await self._app(scope, receive, answer)
        except errors.CallerGoneError:
            pass  # which is seen by its having no status
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            # of which being cancelled, and a panic of an extension, are no Exception
            if exchange.status:
                raise  # the answer has begun: all that can be done is to close the connection
            await self._refuse(exchange, scope, error, answer)
        finally:
            exchange.seconds = perf_counter() - exchange.started
            # What `service.connection` has refused got that answer, whatever the layers say of it.
            exchange.status = scope.get("refused", exchange.status)
            for observer in self._observers:
                observer(exchange, scope)

    async def _refuse(
        self, exchange: Exchange, scope: Scope, error: BaseException, send: Send
    ) -> None:
        """Answer with what was raised."""
        problem = errors.problem_of(error, scope["path"])
        if problem.kind is errors.INTERNAL:
            _log.error("request %s failed", exchange.request_id.decode(), exc_info=error)
        status, given, body = errors.response_to(scope, problem)
        if not exchange.refuse_whole(status, given, body):
            await send({"type": "http.response.start", "status": status, "headers": given})
            await send({"type": "http.response.body", "body": body})

    def _begun(self, scope: Scope, send: Send) -> Exchange:
        exchange = Exchange(self._request_id(scope))
        exchange.route = self._route_of(scope["path"])
        if "at_once" in scope and scope["at_once"].send is send:  # no layer outside wraps `send`
            exchange.whole = scope["at_once"]
        return exchange

    def _route_of(self, path: str) -> str:
        """The template of the route that takes a path, or "none"."""
        if path in self._without_parameters:
            return path
        return next((template for taken, template in self._templates if taken.match(path)), "none")

    def _request_id(self, scope: Scope) -> bytes:
        """The caller's X-Request-ID if it is well-formed, else a new one, unique among all processes."""
        given = headers.of(scope).get(_ID)
        if given is not None and _SANE_ID(given):
            return given
        return b"%b-%x" % (self._prefix, next(self._numbers))

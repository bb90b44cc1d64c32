"""One request and its answer: the outermost layer of the service.

It names the request (X-Request-ID), times it, answers what the layers below raise, gives every answer
its security headers (`service.headers`), and tells the observers (metrics, logs) when it is over.
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
from service.served import Served

_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}\Z").match
_log = logging.getLogger("service")


class Exchange:
    """What is known of one request, filled on its way.

    route : the path template of the route that took it, or "" for none.
    served : the model version that answers, if a model is asked.
    row, value : of a request for a single row, the row and its answer.
    columns, values : of a batch, the rows that were answered and their answers.
    outside : how many of the answered rows have a warning.
    status : of the answer; 0 until it starts.
    """

    __slots__ = (
        "columns",
        "outside",
        "request_id",
        "route",
        "row",
        "rows",
        "served",
        "started",
        "status",
        "value",
        "values",
    )

    def __init__(self, request_id: bytes) -> None:
        self.request_id = request_id
        self.started = perf_counter()
        self.route = ""
        self.served: Served | None = None
        self.rows = 0
        self.row: Row | None = None
        self.value = 0.0
        self.columns: Columns | None = None
        self.values: FloatArray | None = None
        self.outside = 0
        self.status = 0


Observer = Callable[[Exchange, Scope], None]
"""Called once when the last byte of an answer has been handed on."""


class ExchangeLayer:
    """Wraps an ASGI application; see the module."""

    def __init__(self, app: ASGIApp, observers: Iterable[Observer] = ()) -> None:
        self._app = app
        self._observers = tuple(observers)
        self._prefix = secrets.token_hex(8).encode()
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer what it raises."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = scope["exchange"] = Exchange(self._request_id(scope))

        def answer(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                served = exchange.served
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", exchange.request_id),
                    *headers.ALWAYS,
                    *(served.headers if served else headers.of_page(message["headers"])),
                ]
            return send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            if exchange.status:  # the answer has begun: the connection can only be cut
                raise
            problem = errors.problem_of(error, scope["path"])
            if problem.kind is errors.INTERNAL:
                _log.exception("request %s failed", exchange.request_id.decode())
            await errors.respond(problem, scope, answer)
        finally:
            for observer in self._observers:
                observer(exchange, scope)

    def _request_id(self, scope: Scope) -> bytes:
        """The caller's X-Request-ID if it is sane, else a new one that no other process makes."""
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _SANE_ID(value):
                return bytes(value)
        return b"%b-%x" % (self._prefix, next(self._numbers))

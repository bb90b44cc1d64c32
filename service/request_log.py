"""The line of each request in the log: JSON in a container, text in a terminal.

It reads as structlog would write it (a test holds them equal), but that of a request for a single row is
put together by hand, in about a microsecond. Lines are handed to the log (`service.logs`) ten times a
second. A process that is killed loses the lines of its last tenth of a second.

Never in a line: the values of inputs (unless the setting `log_inputs` asks for them), query
strings, header values other than the request id and the trace id, secrets.
"""

from __future__ import annotations

import asyncio
import re
import time
from time import perf_counter
from typing import TYPE_CHECKING, Any

import orjson

from models import rows
from service import headers
from service.metrics import CLIENT_GONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Scope

    from service.exchange import Exchange

_TRACE = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
_TRACE_HEADER = b"traceparent"
_FLUSH_SECONDS = 0.1
_MOST_LINES = 256
_MOST_INPUT_ROWS = 20


class RequestLog:
    """An observer of exchanges that writes a line for each.

    write : takes whole lines. console : text for a terminal instead of JSON. inputs : write the values of
        the rows, too.
    """

    def __init__(
        self, write: Callable[[str], None], *, console: bool = False, inputs: bool = False
    ) -> None:
        self._write = write
        self._form = console_line if console else json_line
        self._inputs = inputs
        self._by_hand = not console and not inputs
        self._waiting: list[str | Exchange] = []
        self._millisecond = 0
        self._second = 0
        self._stamp = self._whole_second = ""

    def __call__(self, exchange: Exchange, scope: Scope) -> None:
        """Add the line of a request that is over. That of a single row is mostly made when handed over."""
        waiting = self._waiting
        if (
            self._by_hand
            and exchange.columns is None  # they would be kept in memory
            and scope["method"] == "POST"
            and "caller" not in scope
            and _TRACE_HEADER not in headers.of(scope)
        ):
            waiting.append(exchange)
        else:
            waiting.append(self._form(exchange, scope, self._at(time.time()), inputs=self._inputs))
        if len(waiting) == 1:
            asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)
        elif len(waiting) >= _MOST_LINES:
            self.flush()

    def flush(self) -> None:
        """Hand over the lines that wait."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            shift = time.time() - perf_counter()
            lines = [w if isinstance(w, str) else self._late_line(w, shift) for w in waiting]
            self._write("".join(lines))

    def _late_line(self, exchange: Exchange, shift: float) -> str:
        """The line of a request; shift : Unix time less `perf_counter`."""
        ended = exchange.started + exchange.seconds + shift
        return line_by_hand(exchange, self._at(ended))

    def _at(self, unix: float) -> str:
        """ISO 8601, UTC, milliseconds; the text of a second is made once, and that of a millisecond."""
        millisecond = int(unix * 1000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            second, rest = divmod(millisecond, 1000)
            if second != self._second:
                self._second = second
                self._whole_second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._stamp = f"{self._whole_second}.{rest:03d}Z"
        return self._stamp


def fields_of(exchange: Exchange, scope: Scope, *, inputs: bool) -> dict[str, Any]:
    """The fields of a request's line, except its time."""
    said: dict[str, Any] = {
        "request_id": exchange.request_id.decode(),
        "method": scope["method"][:20],
        "route": exchange.route,
        "status": exchange.status or CLIENT_GONE,
        "ms": round(exchange.seconds * 1000, 3),
    }
    if exchange.served is not None:
        said |= {"model": exchange.served.name, "version": exchange.served.version}
    if exchange.rows:
        said["rows"] = exchange.rows
    trace = trace_id(scope)
    if trace:
        said["trace_id"] = trace
    if "caller" in scope:
        said["caller"] = scope["caller"]
    if inputs and exchange.served is not None:
        task = exchange.served.model.task
        answered = (
            exchange.columns if exchange.row is None else rows.columns_of([exchange.row], task)
        )
        if answered:
            first = {name: values[:_MOST_INPUT_ROWS] for name, values in answered.items()}
            said["inputs"] = rows.to_json(task, first)
    return said


def json_line(exchange: Exchange, scope: Scope, now: str, *, inputs: bool) -> str:
    """The line of a request as JSON, as structlog would write `fields_of`."""
    said = {"timestamp": now, "level": "info", "event": "request"}
    return orjson.dumps(said | fields_of(exchange, scope, inputs=inputs)).decode() + "\n"


def line_by_hand(exchange: Exchange, now: str) -> str:
    """`json_line` for a POST without inputs, trace and caller.

    Nothing in it needs escaping: the id was checked, and the rest is our own.
    """
    served = exchange.served
    model = "" if served is None else f',"model":"{served.name}","version":"{served.version}"'
    rows = f',"rows":{exchange.rows}' if exchange.rows else ""
    return (
        f'{{"timestamp":"{now}","level":"info","event":"request",'
        f'"request_id":"{exchange.request_id.decode()}","method":"POST",'
        f'"route":"{exchange.route}","status":{exchange.status or CLIENT_GONE},'
        f'"ms":{exchange.seconds * 1000:.3f}{model}{rows}}}\n'
    )


def console_line(exchange: Exchange, scope: Scope, now: str, *, inputs: bool) -> str:
    """The line of a request for a terminal: time, status, request, milliseconds, the rest."""
    said = fields_of(exchange, scope, inputs=inputs)
    request = f"{said.pop('method')} {said.pop('route')}"
    ms = f"{said.pop('ms'):.2f} ms"
    status = said.pop("status")
    rest = " ".join(f"{key}={value}" for key, value in said.items())
    return f"{now[11:23]} {status} {request:<24} {ms:>10}  {rest}\n"


def trace_id(scope: Scope) -> str:
    """The trace id of a W3C `traceparent` header; "" without a valid one."""
    match = _TRACE(headers.of(scope).get(_TRACE_HEADER, b""))
    return match.group(1).decode() if match else ""

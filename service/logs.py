"""Logs: one line for each request and each event; JSON in a container, text in a terminal.

Everything is written through structlog, including the log records of the libraries. The only exception is
the line of a request for a single row, which is put together by hand, in the same format (a test holds
them equal), in about a microsecond. Lines are handed to a thread ten times a second, so a slow reader of
the log delays no request; lines that it does not take are dropped and counted. A process that is killed
loses the lines of its last tenth of a second.

Never in a line: the values of inputs (unless the setting `log_inputs` asks for them), query
strings, header values other than the request id and the trace id, secrets.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import re
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any, TextIO

import orjson
import structlog

from service import headers
from service.metrics import CLIENT_GONE, route_of

if TYPE_CHECKING:
    from starlette.types import Scope
    from structlog.typing import EventDict, Processor, WrappedLogger

    from service.exchange import Exchange
    from service.registry import Event

_TRACE = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
_TRACE_HEADER = b"traceparent"
_FLUSH_SECONDS = 0.1
_MOST_LINES = 256
_MOST_WAITING = (
    200  # chunks of lines: at ten a second, twenty seconds of a reader that stands still
)
_MOST_INPUT_ROWS = 20


Write = Callable[[str], None]
"""Takes whole lines."""


class LineWriter:
    """Writes lines to a stream from a separate thread; the caller never waits for the stream.

    on_drop : called with the number of lines that were lost because the stream did not take them.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._queue: queue.Queue[str | threading.Event] = queue.Queue(_MOST_WAITING)
        self.on_drop: Callable[[int], None] = lambda _: None
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def write(self, text: str) -> None:
        """Hand over whole lines."""
        try:
            self._queue.put_nowait(text)
        except queue.Full:
            self.on_drop(text.count("\n"))

    def flush(self) -> None:
        """Wait (a second at most) until everything that was handed over is written."""
        done = threading.Event()
        try:
            self._queue.put(done, timeout=1.0)
        except queue.Full:
            return
        done.wait(1.0)

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                self._stream.write(item)
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads any more
                self.on_drop(item.count("\n"))


class RequestLog:
    """An observer of exchanges that writes a line for each.

    console : text for a terminal instead of JSON; inputs : write the values of the rows, too.
    """

    def __init__(self, write: Write, *, console: bool = False, inputs: bool = False) -> None:
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
            and exchange.route
            and exchange.columns is None  # they would be kept in memory
            and scope["method"] == "POST"
            and "caller" not in scope
            and _TRACE_HEADER not in headers.of(scope)
        ):
            waiting.append(exchange)
        else:
            waiting.append(self._form(exchange, scope, self._at(time.time()), self._inputs))
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
        "route": route_of(exchange, scope),
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
    if inputs and exchange.row is not None:
        said["inputs"] = {name: [str(value)] for name, value in exchange.row.items()}
    elif inputs and exchange.columns is not None:
        said["inputs"] = {
            name: values[:_MOST_INPUT_ROWS].astype(str).tolist()
            for name, values in exchange.columns.items()
        }
    return said


def json_line(exchange: Exchange, scope: Scope, now: str, inputs: bool) -> str:  # noqa: FBT001
    """The line of a request as JSON, as structlog would write `fields_of`."""
    said = {"timestamp": now, "level": "info", "event": "request"}
    return orjson.dumps(said | fields_of(exchange, scope, inputs=inputs)).decode() + "\n"


def line_by_hand(exchange: Exchange, now: str) -> str:
    """`json_line` for a POST to a route of ours, without inputs, trace and caller.

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


def console_line(exchange: Exchange, scope: Scope, now: str, inputs: bool) -> str:  # noqa: FBT001
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


class EventLog:
    """A listener of the registry that writes a line for each event."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("service.registry")

    def __call__(self, event: Event) -> None:
        """Write a line."""
        said = {"model": event.model, "version": event.version, "previous": event.previous}
        if event.kind == "swapped":
            self._log.info(
                "model swapped" if event.previous else "model loaded",
                **said,
                seconds=round(event.seconds, 4),
            )
        elif event.kind == "refused":
            self._log.error("model version refused", **said, reason=event.reason)
        else:
            self._log.error("store unreadable", model=event.model, reason=event.reason)


def configure(stream: TextIO, *, console: bool) -> LineWriter:
    """Send structlog and the libraries' log records to `stream`; returns what writes to it."""
    writer = LineWriter(stream)
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        _add_time,
        structlog.processors.format_exc_info,
    ]
    render: Processor = (
        structlog.dev.ConsoleRenderer(colors=False)
        if console
        else structlog.processors.JSONRenderer(serializer=_dumps)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = _Handler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _order, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return writer


class _Handler(logging.Handler):
    """Hands formatted records to a LineWriter."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.write(self.format(record) + "\n")

    def flush(self) -> None:
        self._writer.flush()  # called by logging.shutdown at the end of the process


def _add_time(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    event["timestamp"] = now.replace("+00:00", "Z")
    return event


def _order(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Time, level and event first, as in a request's line."""
    first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return {**first, **event}


def _dumps(event: EventDict, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def is_console(form: str, stream: TextIO = sys.stdout) -> bool:
    """Whether the setting `log_format` means text for a terminal; "auto" depends on the stream."""
    return form == "console" or (form == "auto" and stream.isatty())

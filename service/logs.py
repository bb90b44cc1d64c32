"""The log: one line for each event, by structlog; JSON in a container, text in a terminal.

The log records of the libraries are written in the same way. The lines of requests come from
`service.request_log`. A thread writes to the stream, so a slow reader of the log delays nothing; lines that
it does not take are dropped and counted.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import orjson
import structlog

from models.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, Processor, WrappedLogger

    from service.registry import Event
    from service.settings import Settings

_MOST_WAITING = 200
"""Chunks of lines: at ten a second, twenty seconds of a reader that stands still."""


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


def configure_by(settings: Settings) -> LineWriter:
    """Send the log of this process to standard output as the settings say. Raises SettingsError."""
    if settings.log_format not in {"auto", "json", "console"}:
        raise SettingsError(
            f"SERVICE_LOG_FORMAT must be auto, json or console, and is {settings.log_format!r}"
        )
    return configure(sys.stdout, console=is_console(settings.log_format))


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
        try:
            self._writer.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - what a library logs must not fail the code that logs it
            self.handleError(record)

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


def is_console(form: str) -> bool:
    """Whether the setting `log_format` means text for a terminal; "auto" if standard output is one."""
    return form == "console" or (form == "auto" and sys.stdout.isatty())

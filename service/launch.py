"""The command `serve`: one process that answers, or several and their supervisor.

What answers is imported by the processes that answer. So the supervisor is up in a moment, and small.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
from contextlib import suppress
from typing import TYPE_CHECKING

from models.errors import SettingsError
from service import logs
from service.acceptor import ConnectionCounts
from service.workers import open_port, run_group

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from service.settings import Settings

_log = logging.getLogger("service")


def run(settings: Settings) -> int:
    """Serve until a signal; returns the exit status. Raises ProjectError."""
    _allow_connections()
    listener = _listen(settings)
    up = _Announcement(listener)
    if settings.workers == 1:
        return answer(settings, listener, up)
    logs.configure_by(settings)
    environment = {**os.environ, **settings.to_environment()}
    # 8: three for connections that have asked nothing yet, two for the registry, and some to spare
    patience = settings.drain_seconds + settings.shutdown_seconds + 8.0
    with listener:
        return run_group(listener, environment, settings.workers, patience, up)


def answer(
    settings: Settings,
    listener: socket.socket,
    on_beat: Callable[[], bool],
    *,
    in_group: bool = False,
) -> int:
    """Answer, in this process, what comes to `listener`, until a signal; returns the exit status.

    on_beat : as in `service.server.Server`.
    in_group : whether other processes accept from `listener`, too.
    Raises ProjectError.
    """
    with listener:
        # What is imported stays. Searching it for garbage would take a tenth of the time until ready.
        gc.disable()
        from service.main import build  # noqa: PLC0415
        from service.server import Server, serve  # noqa: PLC0415

        gc.freeze()
        gc.enable()
        app = build(settings)
        folder = settings.metrics_folder if in_group else None
        counts = None if folder is None else ConnectionCounts(folder)
        return serve(Server(app, settings, on_beat, counts), [listener])


def _allow_connections() -> None:
    """Raise the soft limit of open files, usually 1,024, to the hard one: what is beyond is dropped."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # where the system has a lower limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _listen(settings: Settings) -> socket.socket:
    try:
        return open_port(settings.host, settings.port)
    except (OSError, UnicodeError) as error:  # UnicodeError: not a host name
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"cannot listen on {settings.host} port {settings.port}: {reason}; "
            "SERVICE_HOST and SERVICE_PORT say where"
        ) from None


def url_of(host: str, port: int) -> str:
    """The URL at which a browser on this machine reaches a server that listens on `host` and `port`."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound here
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


class _Announcement:
    """Logs once where the service answers. Stands in for the beat of a worker; always true."""

    def __init__(self, listener: socket.socket) -> None:
        self._url = url_of(*listener.getsockname()[:2])
        self._made = False

    def __call__(self) -> bool:
        if not self._made:
            self._made = True
            _log.info("ready on %s (API reference: %s/docs)", self._url, self._url)
        return True

"""Putting the service together: settings -> models -> application -> server.

`from_environment` is the factory for any ASGI server. `run` is the command `serve`, with our server
(`service.server`) and, for several workers, our supervisor (`service.workers`).
"""

from __future__ import annotations

import atexit
import logging
import os
import resource
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from models import bundle
from models.bundle import ARTIFACTS
from models.errors import ProjectError, SettingsError
from models.store import Store
from models.tasks import TASKS
from service import logs
from service.app import Service, create_app
from service.keys import Keyring, KeysLayer
from service.limits import LimitsLayer, limits_of
from service.metrics import Metrics
from service.registry import Registry
from service.served import Served
from service.server import make_server, serve
from service.settings import Settings
from service.shipped import Shipped
from service.workers import open_port, run_group

if TYPE_CHECKING:
    import socket

    from service.app import Layer

_log = logging.getLogger("service")


def from_environment() -> Service:
    """The application with the settings of the environment. Raises ProjectError."""
    return build(Settings.from_environment(os.environ))


def build(settings: Settings) -> Service:
    """The application with the models of the store. Raises ProjectError for a bad model or setting."""
    writer = _configure_logs(settings)
    registry = load_registry(settings)
    limits = limits_of(settings, (f"/predict/{name}" for name in registry.names()))
    try:
        metrics = Metrics(registry, (limits.rows, limits.batches), settings.metrics_folder)
    except OSError as error:
        words = f"SERVICE_METRICS_FOLDER: {error.filename}: {error.strerror}"
        raise SettingsError(words) from None
    for gate in (limits.rows, limits.batches):
        gate.on_shed = metrics.on_shed
    registry.listeners.append(metrics.on_event)
    writer.on_drop = metrics.on_drop
    console = logs.is_console(settings.log_format)
    requests = logs.RequestLog(writer.write, console=console, inputs=settings.log_inputs)
    atexit.register(requests.flush)
    return create_app(
        registry,
        settings,
        layers=[*_keys(settings), lambda app: LimitsLayer(app, limits)],
        observers=[metrics, requests],
        metrics=metrics,
    )


def load_registry(settings: Settings) -> Registry:
    """A registry with a version of every model. Raises StoreError if a model has none that loads."""
    key = bundle.read_key(settings.signing_key_file)
    store = Store(settings.store)
    try:
        filled = store.fill_from(ARTIFACTS, key)
    except ProjectError as error:
        _log.warning("the store is not filled with what comes with the code: %s", error)
    else:
        for name in filled:
            _log.info("the store has no %s: filled with what comes with the code", name)
    registry = Registry(
        store=store,
        fallback=Shipped(ARTIFACTS),
        prepare=Served.of,
        key=key,
        period=settings.poll_seconds,
    )
    registry.listeners.append(logs.EventLog())
    registry.fill(TASKS)
    return registry


def run(settings: Settings) -> int:
    """Serve until a signal; returns the exit status."""
    _allow_connections()
    listener = _listen(settings)
    if settings.workers == 1:
        app = build(settings)
        server = make_server(app, settings, app.drain, _Announcement(listener))
        with listener:
            return serve(server, [listener])
    _configure_logs(settings)
    environment = {**os.environ, **settings.to_environment()}
    patience = settings.drain_seconds + settings.shutdown_seconds + 5.0
    up = _Announcement(listener)
    with listener:
        return run_group(listener, environment, settings.workers, patience, up)


def _configure_logs(settings: Settings) -> logs.LineWriter:
    if settings.log_format not in {"auto", "json", "console"}:
        raise SettingsError(
            f"SERVICE_LOG_FORMAT must be auto, json or console, and is {settings.log_format!r}"
        )
    return logs.configure(sys.stdout, console=logs.is_console(settings.log_format))


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


def _keys(settings: Settings) -> list[Layer]:
    """The layer that checks API keys, if any are set."""
    keyring = Keyring(settings.key_file, settings.keys)
    if settings.require_keys and not len(keyring):
        raise SettingsError(
            "SERVICE_REQUIRE_KEYS is set and there is no key: make one with "
            "`python -m service.keys NAME` and name its file in SERVICE_KEY_FILE"
        )
    asked = settings.require_keys or settings.key_file is not None or settings.keys
    return [partial(KeysLayer, keyring=keyring)] if asked else []

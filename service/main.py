"""Putting the application together: settings -> models -> application.

`from_environment` is the factory for any ASGI server. The command `serve` is in `service.launch`.
"""

from __future__ import annotations

import atexit
import logging
import os
from functools import partial
from typing import TYPE_CHECKING

from models import bundle
from models.bundle import ARTIFACTS
from models.errors import ProjectError, SettingsError
from models.store import Store
from models.tasks import TASKS
from service import logs, rehearsal
from service.app import Service, create_app
from service.keys import Keyring, KeysLayer
from service.limits import LimitsLayer, limits_of
from service.metrics import Metrics
from service.registry import Registry
from service.request_log import RequestLog
from service.settings import Settings
from service.shipped import Shipped

if TYPE_CHECKING:
    from service.app import Layer

_log = logging.getLogger("service")


def from_environment() -> Service:
    """The application with the settings of the environment. Raises ProjectError."""
    return build(Settings.from_environment(os.environ))


def build(settings: Settings) -> Service:
    """The application with the models of the store. Raises ProjectError for a bad model or setting."""
    writer = logs.configure_by(settings)
    layers = _keys(settings)
    registry = load_registry(settings)
    limits = limits_of(settings, (f"/predict/{name}" for name in registry.names()))
    try:
        metrics = Metrics(registry, (limits.rows, limits.batches), settings.metrics_folder)
    except OSError as error:
        where = error.filename or settings.metrics_folder
        words = f"SERVICE_METRICS_FOLDER: {where}: {error.strerror}"
        raise SettingsError(words) from None
    registry.listeners.append(metrics.on_event)
    writer.on_drop = metrics.on_drop
    console = logs.is_console(settings.log_format)
    requests = RequestLog(writer.write, console=console, inputs=settings.log_inputs)
    atexit.register(requests.flush)
    return create_app(
        registry,
        settings,
        layers=[*layers, lambda app: LimitsLayer(app, limits)],
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
        prepare=rehearsal.prepare,
        key=key,
        period=settings.poll_seconds,
    )
    registry.listeners.append(logs.EventLog())
    registry.fill(TASKS)
    return registry


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

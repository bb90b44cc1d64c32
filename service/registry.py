"""The loaded models, and hot swapping: new versions replace old ones while requests are answered.

A thread checks the `current` pointer of each model in the store twice a second. When one has changed, the
version that it names is loaded, checked and rehearsed in that thread, off the event loop, and then swapped
in by a single assignment: a request that has asked the registry before goes on with the old version, one
that asks later gets the new one. A version for which that fails is refused: the reason is kept and reported
to the listeners, and the old version stays until the pointer is written again. One whose files the system
does not let be read is tried again at each look.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from models.errors import BundleError, ProjectError, StoreError, UnreadableError

if TYPE_CHECKING:
    from pathlib import Path

    from models.bundle import Bundle
    from service.served import Served

Stamp = tuple[int, int, int] | None
"""Modification time, inode and size of a pointer, which change when it is written; None if missing."""

_log = logging.getLogger("service.registry")

MOST_REFUSALS = 100
"""How many refusals are remembered, the latest ones."""
STOP_SECONDS = 2.0
"""How long the end waits for a look at the pointers, which a network's file system may keep for ever."""


class VersionStore(Protocol):
    """What the registry asks of `models.store.Store`."""

    @property
    def folder(self) -> Path:
        """Where the store is."""

    def current(self, name: str) -> str | None:
        """The version that the pointer of a model names."""

    def versions(self, name: str) -> list[str]:
        """The versions of a model, the oldest first."""

    def load(self, name: str, version: str | None = None, key: bytes | None = None) -> Bundle:
        """A version, checked; raises BundleError for one that is refused."""


Prepare = Callable[[str, str, "Bundle"], "Served"]
"""Makes what answers requests from (name, version, bundle); `service.rehearsal.prepare` in the product."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a model; "unreadable" is about the store, not about a version.

    previous : the version that answered before ("" for none).
    seconds : how long loading and checking took.
    """

    kind: Literal["swapped", "refused", "unreadable"]
    model: str
    version: str
    previous: str = ""
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Refusal:
    """A version that was refused."""

    model: str
    version: str
    reason: str


class Registry:
    """The version of each model that answers requests.

    served : what answers from the start, by name (all that a registry without a store needs).
    store : where versions come from. fallback : where `fill` looks if the store has none that loads.
    key : if given, bundles must be signed with it.
    period : seconds between two checks of the pointers.
    """

    def __init__(  # noqa: PLR0913 - collaborators, by keyword
        self,
        served: Mapping[str, Served] | None = None,
        *,
        store: VersionStore | None = None,
        fallback: VersionStore | None = None,
        prepare: Prepare | None = None,
        key: bytes | None = None,
        period: float = 0.5,
    ) -> None:
        self._served: dict[str, Served] = dict(served or {})
        self._store, self._fallback = store, fallback
        self._prepare = prepare
        self._key = key
        self._period = period
        self._stamps: dict[str, Stamp] = {}
        self._troubles: dict[str, str] = {}
        self._draining = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._refusals: dict[tuple[str, str], Refusal] = {}
        self.listeners: list[Callable[[Event], None]] = []

    def __getitem__(self, name: str) -> Served:
        """The version of `name` that answers now; ask once per request. Raises KeyError."""
        return self._served[name]

    def __contains__(self, name: object) -> bool:
        return name in self._served

    def names(self) -> tuple[str, ...]:
        """The models that answer."""
        return tuple(self._served)

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here: models answer, and the process is not leaving."""
        return bool(self._served) and not self._draining

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """The versions that were refused, the latest last, until a pointer names one that is not."""
        return tuple(self._refusals.values())

    @property
    def troubles(self) -> dict[str, str]:
        """Why the store cannot be read now, by model."""
        return dict(self._troubles)

    def versions(self, name: str) -> list[str]:
        """The versions of a model in the store, the oldest first, and among them the one that answers.

        Raises KeyError for an unknown model and StoreError for a store that cannot be read.
        """
        stored = [] if self._store is None else self._store.versions(name)
        return sorted({self[name].version, *stored})

    def drain(self) -> None:
        """Report as not ready, because the process is about to leave. Requests are still answered."""
        self._draining = True

    def swap(self, served: Served) -> str:
        """Make `served` the version that answers; returns the one that did before ("" for none)."""
        previous = self._served.get(served.name)
        # A new dict in one assignment, so that a reader sees either the old or the new state.
        self._served = {**self._served, served.name: served}
        return previous.version if previous else ""

    def fill(self, names: Iterable[str]) -> None:
        """Load a version of every model: the current one, else the newest that loads.

        Raises StoreError, with the reason of each refusal, when no version of a model loads.
        """
        for name in names:
            if not any(self._try(*candidate) for candidate in self._candidates(name)):
                reasons = [f"{r.version}: {r.reason}" for r in self.refusals if r.model == name]
                where = self._store.folder if self._store else "no store"
                raise StoreError(
                    f"no version of {name} can be loaded ({where}): "
                    + "; ".join(reasons or ["none"])
                )

    def poll(self) -> None:
        """Check every pointer once, and load what has changed. The thread calls this periodically."""
        for name in self._served:
            try:
                self._follow(name)
            except Exception as error:  # noqa: BLE001 - the thread must outlive any fault of a store
                self._trouble(name, error)

    def start(self) -> None:
        """Follow the pointers in a thread of its own (nothing without a store)."""
        if self._store is not None and self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="registry", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread; returns when it has ended, or a store that does not answer keeps it."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join(STOP_SECONDS)  # it keeps no process from its end
            self._thread = None

    def _run(self) -> None:
        while not self._stopping.wait(self._period):
            self.poll()

    def _candidates(self, name: str) -> Iterable[tuple[VersionStore, str, str]]:
        """(store, name, version) in the order in which they are tried; lazily."""
        for store in (self._store, self._fallback):
            if store is None:
                continue
            yield from ((store, name, version) for version in self._in_order(store, name))

    def _in_order(self, store: VersionStore, name: str) -> list[str]:
        """The version that the pointer names, if it is readable, then the others, newest first."""
        current = None
        try:
            if store is self._store:
                self._stamps[name] = self._stamp(name)
            current = store.current(name)
            others = store.versions(name)
        except (ProjectError, OSError) as error:
            self._stamps.pop(name, None)  # the next look tries again
            self._trouble(name, error)
            others = self._listed(store, name)
        return [v for v in dict.fromkeys((current, *reversed(others))) if v is not None]

    def _listed(self, store: VersionStore, name: str) -> list[str]:
        try:
            return store.versions(name)
        except ProjectError:
            return []  # its reason is told already

    def _follow(self, name: str) -> None:
        stamp = self._stamp(name)
        if stamp == self._stamps.get(name):
            self._troubles.pop(name, None)  # it can be read: the next trouble is another one
            return
        assert self._store is not None, "only a registry with a store follows one"  # noqa: S101
        if stamp is None:
            raise StoreError(f"{self._store.folder / name / 'current'}: was there, and is missing")
        version = self._store.current(name)
        if version is not None and (
            version == self._served[name].version or self._try(self._store, name, version)
        ):
            self._refusals = {of: r for of, r in self._refusals.items() if r.model != name}
        self._stamps[name] = stamp  # after a StoreError it is not noted: the next look tries again
        self._troubles.pop(name, None)

    def _try(self, store: VersionStore, name: str, version: str) -> bool:
        """Load, check and swap in; False if the version is refused."""
        assert self._prepare is not None, "a registry with a store knows how to prepare"  # noqa: S101
        started = time.perf_counter()
        try:
            served = self._prepare(name, version, store.load(name, version, self._key))
        except StoreError:
            raise
        except UnreadableError as error:
            if name in self._served:  # the next look tries again
                raise UnreadableError(f"{version}: {error}") from None
            if name not in {of for of, _ in self._refusals}:  # it is the one that the pointer names
                self._stamps.pop(name, None)
            self._refuse(name, version, error)
            return False
        except Exception as error:  # noqa: BLE001 - whatever a bad version does, the old one answers on
            self._refuse(name, version, error)
            return False
        previous = self.swap(served)
        seconds = time.perf_counter() - started
        self._tell(Event("swapped", name, version, previous=previous, seconds=seconds))
        return True

    def _refuse(self, name: str, version: str, error: Exception) -> None:
        if not isinstance(error, BundleError):  # whose words are one line
            error = BundleError(f"it fails while loading: {type(error).__name__}: {error}")
        reason = str(error)
        self._refusals.pop((name, version), None)
        self._refusals[name, version] = Refusal(name, version, reason)
        if len(self._refusals) > MOST_REFUSALS:
            del self._refusals[next(iter(self._refusals))]
        previous = self._served[name].version if name in self._served else ""
        self._tell(Event("refused", name, version, previous=previous, reason=reason))

    def _trouble(self, name: str, error: Exception) -> None:
        """Tell of an unreadable store once, not at every look."""
        reason = str(error)
        if self._troubles.get(name) != reason:
            self._troubles[name] = reason
            version = self._served[name].version if name in self._served else ""
            self._tell(Event("unreadable", name, version, previous=version, reason=reason))

    def _tell(self, event: Event) -> None:
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - no fault of a listener may stop a swap
                _log.exception("a listener failed at %s of %s", event.kind, event.version)

    def _stamp(self, name: str) -> Stamp:
        assert self._store is not None, "only a registry with a store has pointers"  # noqa: S101
        try:
            status = (self._store.folder / name / "current").stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

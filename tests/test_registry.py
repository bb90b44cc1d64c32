"""The registry with a store of its own making: what is loaded, followed, swapped and refused."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from models.errors import BundleError, StoreError, UnreadableError
from service.registry import Event, Registry

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Loaded:
    """Stands for `service.served.Served`."""

    name: str
    version: str


@dataclass
class FakeStore:
    """A store whose bundles are words: "good", or the reason for which one is refused."""

    folder: Path
    bundles: dict[str, dict[str, str]] = field(default_factory=dict)
    loads: list[str] = field(default_factory=list)

    def add(self, name: str, version: str, bundle: str = "good") -> None:
        """Publish a version."""
        self.bundles.setdefault(name, {})[version] = bundle
        self.activate(name, version)

    def activate(self, name: str, version: str) -> None:
        """Write the pointer anew, as the store does: a new file in the place of the old."""
        pointer = self.folder / name / "current"
        pointer.parent.mkdir(exist_ok=True)
        fresh = pointer.with_suffix(".new")
        fresh.write_text(version)
        fresh.replace(pointer)

    def current(self, name: str) -> str | None:
        """What the pointer says."""
        pointer = self.folder / name / "current"
        return pointer.read_text() if pointer.exists() else None

    def versions(self, name: str) -> list[str]:
        """In order."""
        return sorted(self.bundles.get(name, {}))

    def load(self, name: str, version: str | None = None, key: bytes | None = None) -> Any:
        """A bundle, or the error that its word asks for; the key is not looked at."""
        del key
        assert version is not None
        self.loads.append(version)
        bundle = self.bundles[name][version]
        if bundle == "unreadable":
            raise StoreError("the store cannot be read")
        if bundle == "i/o":
            raise UnreadableError("weights.joblib: cannot be read: Too many open files")
        if bundle == "bug":
            raise ZeroDivisionError
        if bundle != "good":
            raise BundleError(bundle)
        return bundle


def prepare(name: str, version: str, bundle: object) -> Any:
    """Stands for `Served.of`."""
    return Loaded(name, version)


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    """A store with one version."""
    store = FakeStore(tmp_path)
    store.add("bikes", "v1")
    return store


def filled(store: FakeStore, **options: Any) -> tuple[Registry, list[Event]]:
    """A registry that has loaded the store's models, and what it has told since."""
    registry = Registry(store=store, prepare=prepare, **options)
    registry.fill(["bikes"])
    events: list[Event] = []
    registry.listeners.append(events.append)
    return registry, events


def test_current_version_answers_after_filling(store: FakeStore) -> None:
    """The version that the pointer names is loaded, not the newest one."""
    store.add("bikes", "v2")
    store.activate("bikes", "v1")
    registry, _ = filled(store)
    assert registry["bikes"].version == "v1"
    assert registry.names() == ("bikes",)
    assert registry.ready


def test_moved_pointer_is_followed(store: FakeStore) -> None:
    """A published version answers after one look at the pointers, and the listeners hear of it."""
    registry, events = filled(store)
    store.add("bikes", "v2")
    registry.poll()
    assert registry["bikes"].version == "v2"
    assert [(e.kind, e.version, e.previous) for e in events] == [("swapped", "v2", "v1")]
    assert 0.0 <= events[0].seconds < 60.0


def test_unmoved_pointer_loads_nothing(store: FakeStore) -> None:
    """A look at a pointer that did not move costs no loading."""
    registry, events = filled(store)
    store.loads.clear()
    for _ in range(5):
        registry.poll()
    assert store.loads == []
    assert events == []


@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        pytest.param("weights.joblib: digest differs", "digest differs", id="corrupt"),
        pytest.param("bug", "ZeroDivisionError", id="fault in loading"),
    ],
)
def test_refused_version_leaves_the_old_one_answering(
    store: FakeStore, bundle: str, words: str
) -> None:
    """A version that does not load changes nothing but the list of refusals; it is tried once."""
    registry, events = filled(store)
    store.loads.clear()
    store.add("bikes", "v2", bundle)
    registry.poll()
    registry.poll()
    assert registry["bikes"].version == "v1"
    assert registry.ready
    assert store.loads == ["v2"]
    assert [e.kind for e in events] == ["refused"]
    assert words in registry.refusals[0].reason
    assert registry.versions("bikes") == ["v1", "v2"]


def test_reason_of_a_refusal_is_one_line(store: FakeStore) -> None:
    """Whatever an unexpected error says, its reason begins no line of its own in the log."""

    def fail(*_: object) -> Any:
        raise ValueError("first\nsecond")

    registry, _ = filled(store)
    registry._prepare = fail
    store.add("bikes", "v2")
    registry.poll()
    assert [refusal.reason for refusal in registry.refusals] == [
        "it fails while loading: ValueError: first?second"
    ]


def test_refused_version_is_tried_once_at_the_start(store: FakeStore) -> None:
    """The version of the pointer is among the others, too, and is refused and told of only once."""
    store.add("bikes", "v2", "broken")
    events: list[Event] = []
    registry = Registry(store=store, prepare=prepare)
    registry.listeners.append(events.append)
    registry.fill(["bikes"])
    assert store.loads == ["v2", "v1"]
    assert [(event.kind, event.version) for event in events] == [
        ("refused", "v2"),
        ("swapped", "v1"),
    ]


def test_rewritten_pointer_tries_a_refused_version_again(store: FakeStore) -> None:
    """Activating a refused version again, after it was mended, takes it."""
    registry, _ = filled(store)
    store.add("bikes", "v2", "torn")
    registry.poll()
    assert [r.version for r in registry.refusals] == ["v2"]
    store.add("bikes", "v2", "good")
    registry.poll()
    assert registry["bikes"].version == "v2"
    assert registry.refusals == ()


def test_rollback_from_a_refused_version_settles_it(store: FakeStore) -> None:
    """Refusals last until the pointer names a version that answers, also the one that does already."""
    store.add("bikes", "v2", "torn")
    registry, _ = filled(store)
    registry.poll()
    assert [r.version for r in registry.refusals] == ["v2"]
    store.activate("bikes", "v1")
    registry.poll()
    assert registry["bikes"].version == "v1"
    assert registry.refusals == ()


def test_unreadable_store_is_told_once_and_tried_again(store: FakeStore) -> None:
    """A store that cannot be read for a while makes one log line, and no version is forgotten."""
    registry, events = filled(store)
    store.add("bikes", "v2", "unreadable")
    for _ in range(3):
        registry.poll()
    assert [e.kind for e in events] == ["unreadable"]
    store.bundles["bikes"]["v2"] = "good"
    registry.poll()
    assert registry["bikes"].version == "v2"


def test_version_that_cannot_be_read_now_is_told_once_and_tried_again(store: FakeStore) -> None:
    """Too many open files, or a network's file system that has the pointer first, refuse no version."""
    registry, events = filled(store)
    store.add("bikes", "v2", "i/o")
    for _ in range(3):
        registry.poll()
    assert [(e.kind, e.reason) for e in events] == [
        ("unreadable", "v2: weights.joblib: cannot be read: Too many open files")
    ]
    assert registry.refusals == ()
    store.bundles["bikes"]["v2"] = "good"
    registry.poll()
    assert registry["bikes"].version == "v2"
    assert registry.troubles == {}


def test_version_that_cannot_be_read_at_the_start_is_taken_later(store: FakeStore) -> None:
    """Until then the one before answers."""
    store.add("bikes", "v2", "i/o")
    registry, _ = filled(store)
    assert registry["bikes"].version == "v1"
    store.bundles["bikes"]["v2"] = "good"
    registry.poll()
    assert registry["bikes"].version == "v2"
    assert registry.refusals == ()


def test_version_that_no_pointer_names_and_cannot_be_read_lets_no_other_be_tried_again(
    store: FakeStore,
) -> None:
    """The version of the pointer is broken, and that is told once."""
    store.add("bikes", "v2", "i/o")
    store.add("bikes", "v3", "broken")
    registry, events = filled(store)
    registry.poll()
    assert store.loads == ["v3", "v2", "v1"]
    assert events == []


def test_every_outage_of_a_store_is_told(store: FakeStore) -> None:
    """A store that fails again after it was back is told again, for the same reason, too."""
    registry, events = filled(store)
    home, away = store.folder / "bikes", store.folder / "away"
    for _ in range(2):
        home.rename(away)
        home.write_text("")
        for _ in range(2):
            registry.poll()
        home.unlink()
        away.rename(home)
        registry.poll()
    assert [event.kind for event in events] == ["unreadable", "unreadable"]
    assert events[0].reason == events[1].reason


@pytest.mark.parametrize("what", ["bikes/current", "bikes"])
def test_vanished_pointer_is_told_once_in_each_outage(store: FakeStore, what: str) -> None:
    """A pointer or a folder that disappears is told of: no new version can be seen until it is back."""
    registry, events = filled(store)
    gone, away = store.folder / what, store.folder / "away"
    for outage in (1, 2):
        gone.rename(away)
        for _ in range(3):
            registry.poll()
        assert [event.kind for event in events] == ["unreadable"] * outage
        assert events[-1].reason == f"{store.folder}/bikes/current: was there, and is missing"
        assert registry.troubles == {"bikes": events[-1].reason}
        away.rename(gone)
        registry.poll()
        assert registry.troubles == {}
    store.add("bikes", "v2")
    registry.poll()
    assert registry["bikes"].version == "v2"


def test_pointer_that_never_was_there_is_no_trouble(store: FakeStore, tmp_path: Path) -> None:
    """A store that could not be filled is no outage: what came with the code answers."""
    empty = FakeStore(tmp_path / "empty")
    registry, events = filled(empty, fallback=store)
    registry.poll()
    assert events == []


def test_version_that_answers_is_always_listed(store: FakeStore) -> None:
    """The version that answers is among the versions, in its place, whatever became of the store."""
    registry, _ = filled(store)
    store.bundles["bikes"] = {"v0": "good", "v2": "good"}
    assert registry.versions("bikes") == ["v0", "v1", "v2"]
    store.bundles.clear()
    assert registry.versions("bikes") == ["v1"]


def test_start_falls_back_to_the_newest_version_that_loads(store: FakeStore) -> None:
    """A worker that starts on a corrupt current version takes the newest one that is whole."""
    store.add("bikes", "v2")
    store.add("bikes", "v3", "torn")
    registry, _ = filled(store)
    assert registry["bikes"].version == "v2"
    assert [r.version for r in registry.refusals] == ["v3"]


def test_start_falls_back_to_the_other_store(store: FakeStore, tmp_path: Path) -> None:
    """When nothing in the store loads, the versions that came with the code answer."""
    store.bundles["bikes"]["v1"] = "torn"
    shipped = FakeStore(tmp_path / "shipped")
    shipped.folder.mkdir()
    shipped.add("bikes", "v0")
    registry, _ = filled(store, fallback=shipped)
    assert registry["bikes"].version == "v0"


def test_start_without_any_version_says_why(store: FakeStore) -> None:
    """The error of a start that cannot succeed names the model and the reason of each refusal."""
    store.bundles["bikes"]["v1"] = "weights.joblib is torn"
    with pytest.raises(StoreError, match=r"no version of bikes .*v1: weights\.joblib is torn"):
        filled(store)


class Damaged(FakeStore):
    """A store whose pointers cannot be read until they are mended."""

    mended = False

    def current(self, name: str) -> str | None:
        """What the pointer says, or an error."""
        if self.mended:
            return super().current(name)
        raise StoreError(f"{self.folder / name / 'current'}: does not name a version")


def test_start_with_an_unreadable_pointer_takes_the_newest_version(tmp_path: Path) -> None:
    """A damaged pointer keeps no service from starting; it is told, and followed once it can be read."""
    store = Damaged(tmp_path)
    for version in ("v1", "v2"):
        store.add("bikes", version)
    store.activate("bikes", "v1")
    registry = Registry(store=store, prepare=prepare)
    events: list[Event] = []
    registry.listeners.append(events.append)
    registry.fill(["bikes"])
    assert registry["bikes"].version == "v2"
    assert [event.kind for event in events] == ["unreadable", "swapped"]
    store.mended = True
    registry.poll()
    assert registry["bikes"].version == "v1"


def test_refusals_are_listed_the_latest_last(store: FakeStore) -> None:
    """Also one that was refused before."""
    registry, _ = filled(store)
    for version in ("v2", "v3", "v2"):
        store.add("bikes", version, "torn")
        registry.poll()
    assert [refusal.version for refusal in registry.refusals] == ["v3", "v2"]


def test_registry_without_a_store_follows_nothing() -> None:
    """Models that are given answer, and no thread looks for others."""
    registry = Registry({"bikes": Loaded("bikes", "v1")})  # type: ignore[dict-item]
    registry.start()
    assert "registry" not in {thread.name for thread in threading.enumerate()}
    registry.stop()


def test_draining_ends_readiness_but_not_answers(store: FakeStore) -> None:
    """A process that leaves asks for no more requests, and still answers those that come."""
    registry, _ = filled(store)
    registry.drain()
    assert not registry.ready
    assert registry["bikes"].version == "v1"


def test_thread_follows_within_two_seconds_and_ends(store: FakeStore) -> None:
    """The thread takes a new version well within the promised two seconds, and stop() ends it."""
    registry, events = filled(store, period=0.02)
    swapped = threading.Event()
    registry.listeners.append(lambda _: swapped.set())
    registry.start()
    try:
        store.add("bikes", "v2")
        assert swapped.wait(2.0)
        assert registry["bikes"].version == "v2"
    finally:
        registry.stop()
    store.add("bikes", "v3")
    time.sleep(0.1)
    assert registry["bikes"].version == "v2"
    assert len(events) == 1


def test_store_that_does_not_answer_keeps_no_service_from_its_end(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network's file system may let a look at the pointers wait for ever; the end does not."""
    monkeypatch.setattr("service.registry.STOP_SECONDS", 0.01)
    registry, _ = filled(store, period=0.0)
    asked, answers = threading.Event(), threading.Event()

    def wait(_: str) -> str:
        asked.set()
        assert answers.wait(10.0)
        return "v1"

    monkeypatch.setattr(store, "current", wait)
    store.add("bikes", "v2")
    registry.start()
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "registry")
    assert asked.wait(10.0)
    registry.stop()
    assert thread.is_alive()
    assert thread.daemon
    answers.set()
    thread.join(10.0)
    assert not thread.is_alive()


def test_failing_listener_does_not_end_the_thread(store: FakeStore) -> None:
    """Whatever goes wrong in a look, the next look is made."""
    registry, events = filled(store, period=0.02)

    def fail(_: Event) -> None:
        raise RuntimeError

    registry.listeners.insert(0, fail)
    registry.start()
    try:
        for version in ("v2", "v3"):
            store.add("bikes", version)
            deadline = time.monotonic() + 10.0
            while registry["bikes"].version != version and time.monotonic() < deadline:
                time.sleep(0.02)
            assert registry["bikes"].version == version
    finally:
        registry.stop()  # a version answers a moment before it is told
    assert {event.version for event in events} == {"v2", "v3"}


def test_readers_see_whole_versions_during_swaps() -> None:
    """Who reads while versions are swapped has one of them, never an error or a mixture."""
    registry = Registry({name: Loaded(name, "0") for name in ("bikes", "admission")})  # type: ignore[misc]
    seen: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(registry["bikes"].version)
            assert registry["admission"].version == "0"

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for i in range(2000):
        registry.swap(Loaded("bikes", str(i)))  # type: ignore[arg-type]
    done.set()
    for reader in readers:
        reader.join()
    assert seen <= {str(i) for i in range(2000)}

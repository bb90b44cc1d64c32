"""The store: a version is active whole or not at all, whatever happens to whoever writes it."""

import fcntl
import os
import re
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from models import bundle
from models.errors import BundleError, SignatureError, StoreError
from models.store import Store
from tests import mutants, tiny
from tests.process import descriptors

NAME = "admission"


def test_published_versions_are_active_one_after_the_other(tmp_path: Path) -> None:
    """The version published last is active, and rolling back goes to the ones before it."""
    store = Store(tmp_path)
    first, second = (store.publish(tiny.model("bikes", seed), {}) for seed in (1, 2))
    assert store.current("bikes") == second
    assert sorted(store.versions("bikes")) == sorted([first, second])
    assert store.rollback("bikes") == store.current("bikes") == first
    with pytest.raises(StoreError, match="no version was active before"):
        store.rollback("bikes")


def test_activating_what_is_active_takes_nothing_from_rollback(tmp_path: Path) -> None:
    """Whoever activates a version twice still goes back to the one before it."""
    store = Store(tmp_path)
    first, second = (store.publish(tiny.model("bikes", seed), {}) for seed in (1, 2))
    store.activate("bikes", second)
    assert store.rollback("bikes") == first


def test_a_version_in_the_place_of_another_is_refused(tmp_path: Path) -> None:
    """A folder that was renamed, or moved to another model, is not loaded, activated or copied."""
    store = Store(tmp_path / "store")
    version = store.publish(tiny.model(NAME), {})
    whole = store.folder / NAME / version
    for name, other in ((NAME, "20110101T000000Z-00000000"), ("bikes", version)):
        (store.folder / name).mkdir(exist_ok=True)
        whole = whole.rename(store.folder / name / other)
        with pytest.raises(BundleError, match=f"stands in the place of {name} {other}"):
            store.load(name, other)
        with pytest.raises(BundleError, match="stands in the place of"):
            store.activate(name, other)
        with pytest.raises(BundleError, match="stands in the place of"):
            store.copy(name, other, Store(tmp_path / "copy"))
    whole.rename(tmp_path / "bikes")
    with pytest.raises(BundleError, match="stands in the place of bikes"):
        Store(tmp_path / "filled").fill_from(tmp_path)
    assert not (tmp_path / "copy").exists()
    assert not (tmp_path / "filled").exists()


def test_an_empty_store_is_filled_once(tmp_path: Path) -> None:
    """Models without an active version get the bundle that is carried; the others keep theirs."""
    carried, store = tmp_path / "carried", Store(tmp_path / "store")
    for name in ("bikes", NAME):
        content = bundle.pack(tiny.model(name, 1), {})
        (carried / name).mkdir(parents=True)
        for file, data in content.items():
            (carried / name / file).write_bytes(data)
    (carried / "README.md").write_text("no model")
    own = store.publish(tiny.model(NAME, 2), {})
    assert store.fill_from(carried) == ["bikes"]
    assert store.current(NAME) == own
    assert store.load("bikes").version == bundle.load(carried / "bikes").version
    assert store.fill_from(carried) == []
    assert store.fill_from(tmp_path / "nowhere") == []
    signed = Store(tmp_path / "signed")
    assert signed.fill_from(carried, b"key") == [NAME, "bikes"]
    signed.load("bikes", key=b"key")


def test_a_carried_bundle_of_no_task_is_told_with_its_folder(tmp_path: Path) -> None:
    """Who has removed a task reads which folder to delete; the models after it are filled in anyway."""
    carried = tmp_path / "carried"
    carried.mkdir()
    content = mutants.resealed(mutants.GOOD["bikes"], task="weather")
    for name, files in {"another": content, "bikes": mutants.GOOD["bikes"]}.items():
        mutants.write(files)(carried / name)
    store = Store(tmp_path / "store")
    said = f"{carried / 'another'}: manifest.json: task: must be one of"
    with pytest.raises(BundleError, match=re.escape(said)):
        store.fill_from(carried)
    assert store.current("bikes") is not None


def test_a_version_that_is_refused_is_named(tmp_path: Path) -> None:
    """Which version is not signed, or is not there, stands in the message, once."""
    store, other = Store(tmp_path / "store"), Store(tmp_path / "other")
    version, missing = store.publish(tiny.model(NAME), {}), "20110101T000000Z-00000000"
    home, key = store.folder / NAME, b"k" * bundle.KEY_BYTES
    acts: list[Callable[..., None]] = [store.activate, partial(store.copy, other=other)]
    for act in acts:
        said = f"{home / version}: manifest.json: is not signed"
        with pytest.raises(SignatureError, match=re.escape(said)):
            act(NAME, version, key=key)
        said = f"^{re.escape(str(home / missing))}: cannot be read"
        with pytest.raises(BundleError, match=said):
            act(NAME, missing, key=key)


def test_the_next_writer_removes_what_a_killed_one_has_left(tmp_path: Path) -> None:
    """Whatever it is: a folder with files, a file, or a link, whose target stays."""
    store = Store(tmp_path / "store")
    version = store.publish(tiny.model(NAME, 1), {})
    home, elsewhere = store.folder / NAME, tmp_path / "elsewhere"
    for folder in (home / ".new-a", elsewhere):
        folder.mkdir()
        (folder / "weights.joblib").write_text("half")
    (home / ".new-b").write_text("half")
    (home / ".new-c").symlink_to(elsewhere)
    store.prune(NAME, 0)
    assert {entry.name for entry in home.iterdir()} == {".lock", "current", version}
    assert (elsewhere / "weights.joblib").exists()


def test_a_writer_waits_for_another_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process holds the lock nothing is written; afterwards it is."""
    store = Store(tmp_path)
    first = store.publish(tiny.model(NAME, 1), {})
    with (tmp_path / NAME / ".lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        monkeypatch.setattr("models.store._PATIENCE", 0.05)
        with pytest.raises(StoreError, match="another process has been writing"):
            store.publish(tiny.model(NAME, 2), {})
        assert store.versions(NAME) == [first]
        monkeypatch.setattr("models.store._PATIENCE", 60.0)
        release = threading.Timer(0.2, fcntl.flock, (held, fcntl.LOCK_UN))
        release.start()
        second = store.publish(tiny.model(NAME, 2), {})
        release.join()
    assert store.current(NAME) == second


def test_rolling_back_to_a_damaged_version_says_which_and_what_to_do(tmp_path: Path) -> None:
    """The version before is loaded first; where it is refused the active one stays."""
    store = Store(tmp_path)
    first, second = (store.publish(tiny.model("bikes", seed), {}) for seed in (1, 2))
    (tmp_path / "bikes" / first / "manifest.json").write_text("{}")
    with pytest.raises(
        BundleError, match=f"{first}, active before, is refused: manifest.json: .*activate"
    ):
        store.rollback("bikes")
    assert store.current("bikes") == second


def test_a_version_that_is_pruned_while_it_is_activated_is_not_active(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the check of a version and the lock another process may have removed it."""
    store = Store(tmp_path)
    first, second = (store.publish(tiny.model("bikes", seed), {}) for seed in (1, 2))
    load = store.load

    def pruned_afterwards(name: str, version: str, key: bytes | None) -> object:
        monkeypatch.undo()
        loaded = load(name, version, key)
        assert Store(tmp_path).prune(name, 0) == [first]
        return loaded

    monkeypatch.setattr(store, "load", pruned_afterwards)
    with pytest.raises(BundleError, match=first):
        store.activate("bikes", first)
    assert store.load("bikes").version == second


def test_pruning_keeps_what_is_active_and_what_rollback_leads_to(tmp_path: Path) -> None:
    """Those that were active last stay, each counted once, before those that are newer."""
    store = Store(tmp_path)
    published = [store.publish(tiny.model("bikes", seed), {}) for seed in range(1, 5)]
    one, two, three, four = sorted(published)  # the newest is the last
    for version in (two, four, one, two):  # active now; before it were one and four
        store.activate("bikes", version)
    assert store.prune("bikes", 2) == [three]
    assert store.prune("bikes", 2) == []
    assert store.prune("bikes", 1) == [four]
    assert sorted(p.name for p in (tmp_path / "bikes").iterdir()) == sorted(
        [".lock", "current", one, two]
    )
    assert store.rollback("bikes") == one
    assert store.prune("bikes", 1) == []  # two is not active before one, but may be wanted again
    store.activate("bikes", two)
    assert store.prune("bikes", 0) == [one]
    assert store.load("bikes").version == two
    with pytest.raises(StoreError, match="no version is active"):
        store.prune("admission", 1)


@pytest.mark.parametrize("version", ["", "latest", ".."])
def test_what_is_no_name_of_a_version_is_refused(tmp_path: Path, version: str) -> None:
    """No other word means the active version, least of all an empty one; the pointer stays as it is."""
    store = Store(tmp_path)
    active = store.publish(tiny.model(NAME), {})
    for use in (store.load, store.read, store.activate):
        with pytest.raises(StoreError, match=f"'{version}' is no name of a version"):
            use(NAME, version)
    with pytest.raises(StoreError, match="is no name of a version"):
        store.copy(NAME, version, store)
    assert (tmp_path / NAME / "current").read_text() == f"{active}\n"


def test_an_empty_store_has_nothing(tmp_path: Path) -> None:
    """A store that was never written to is empty, not an error; a use of it is, and makes no folder."""
    store = Store(tmp_path / "nowhere")
    assert store.current("bikes") is None
    assert store.versions("bikes") == []
    uses = (store.load, store.rollback, lambda name: store.prune(name, 1))
    for use in uses:
        with pytest.raises(StoreError, match="no version is active"):
            use("bikes")
    assert not store.folder.exists()


def test_files_are_on_the_disk_before_they_have_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power cut may find: files are synced before the folder is renamed, that before the pointer."""
    done: list[str] = []
    watch(monkeypatch, done)
    Store(tmp_path).publish(tiny.model(NAME), {})
    assert done == [
        "sync store",
        "sync weights.joblib",
        "sync manifest.json",
        "sync .new-version",
        "rename .new-version to version",
        "sync admission",
        "sync .new-current",
        "rename .new-current to current",
        "sync admission",
    ]


def watch(monkeypatch: pytest.MonkeyPatch, done: list[str]) -> None:
    """Note what is synced and renamed."""
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        done.append(f"sync {plain(Path(f'/proc/self/fd/{descriptor}').readlink())}")
        sync(descriptor)

    def noted(method: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        def run(path: Path, target: Path) -> Path:
            done.append(f"rename {plain(path)} to {plain(target)}")
            return method(path, target)

        return run

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", noted(Path.rename))
    monkeypatch.setattr(Path, "replace", noted(Path.replace))


def plain(path: Path) -> str:
    """The name of a file without what differs between runs."""
    if path.name.startswith(".new-"):
        return ".new-current" if "current" in path.name else ".new-version"
    if path.name[:2] == "20":
        return "version"
    return path.name if path.suffix or path.name in {NAME, "current"} else "store"


def test_pointer_that_says_nothing_is_told_and_mended(tmp_path: Path) -> None:
    """Whatever stands in `current`, the error names it, and activating a version puts it right."""
    store = Store(tmp_path)
    version = store.publish(tiny.model(NAME), {})
    pointer = tmp_path / NAME / "current"
    for content in (b"", b"\n", b"../../etc\n", b"\xff\xfe", b"x" * 100_000, version.encode() * 2):
        pointer.write_bytes(content)
        with pytest.raises(StoreError, match=f"^{pointer}: "):
            store.load(NAME)
        store.activate(NAME, version)
        assert store.current(NAME) == version


def test_symbolic_link_is_no_pointer_and_no_part_of_a_version(tmp_path: Path) -> None:
    """It is called what it is, not "too many levels"; activating a version replaces that of the pointer."""
    store = Store(tmp_path)
    version, linked = (store.publish(tiny.model(NAME, seed), {}) for seed in (1, 2))
    for file in (tmp_path / NAME / "current", tmp_path / NAME / linked / "weights.joblib"):
        file.replace(tmp_path / file.name)
        file.symlink_to(tmp_path / file.name)
    with pytest.raises(StoreError, match=r"current: not a regular .* link$"):
        store.current(NAME)
    with pytest.raises(BundleError, match=r"joblib: .*: not a regular file but a symbolic link$"):
        store.activate(NAME, linked)
    store.activate(NAME, version)
    assert store.current(NAME) == version


def test_long_path_of_a_store_does_not_hide_why_a_version_is_refused(tmp_path: Path) -> None:
    """What is cut from a long message is neither its beginning nor its end."""
    store = Store(tmp_path / ("long" * 60))
    first, second = (store.publish(tiny.model(NAME, seed), {}) for seed in (1, 2))
    (store.folder / NAME / first / "manifest.json").write_text("{}")
    why = "manifest.json: does not begin with its digest and signature"
    with pytest.raises(BundleError, match=rf"^{tmp_path}.* \.\.\. .*{first}: {why}$"):
        store.activate(NAME, first)
    with pytest.raises(BundleError, match=f"{why}; activate another version$"):
        store.rollback(NAME)
    assert store.current(NAME) == second


def test_folder_in_the_place_of_a_file_is_named_and_leaves_nothing_open(tmp_path: Path) -> None:
    """A service looks at its pointers twice a second: a descriptor lost each time ends it in minutes."""
    pointer = tmp_path / NAME / "current"
    pointer.mkdir(parents=True)
    before = descriptors(os.getpid())
    with pytest.raises(StoreError, match=f"^{pointer}: not a regular file$"):
        Store(tmp_path).current(NAME)
    assert descriptors(os.getpid()) == before


@pytest.mark.parametrize("name", ["..", "../x", "", "a/b", "/etc", "Bikes", ".lock", "a" * 65])
def test_names_lead_nowhere_else(tmp_path: Path, name: str) -> None:
    """Neither a model's name nor a version's is a way out of the store."""
    store = Store(tmp_path / "store")
    with pytest.raises(StoreError, match="is no name of a model"):
        store.load(name)
    with pytest.raises(StoreError, match="is no name of a version"):
        store.load(NAME, name or "..")


def test_rollback_goes_past_a_version_that_is_gone(tmp_path: Path) -> None:
    """Somebody may have removed the folder of the one that was active before."""
    store = Store(tmp_path)
    first, gone, _ = (store.publish(tiny.model(NAME, seed), {}) for seed in (1, 2, 3))
    shutil.rmtree(tmp_path / NAME / gone)
    assert store.rollback(NAME) == first
    assert store.current(NAME) == first


def test_training_that_is_quicker_than_the_filling_of_a_store_keeps_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has become active since the store was found empty is not replaced by what is carried."""
    store, read, carried = Store(tmp_path / "store"), bundle.read, tmp_path / "carried"
    bundle.save(tiny.model(NAME, 1), {}, carried / NAME)
    published: list[str] = []

    def read_late(folder: Path) -> dict[str, bytes]:
        published.append(store.publish(tiny.model(NAME, 2), {}))
        return read(folder)

    monkeypatch.setattr(bundle, "read", read_late)
    assert store.fill_from(carried) == []
    assert published == [store.current(NAME)]

"""A store: the versions of each model on disk, and which of them is active.

    <store>/<model>/<version>/      a bundle
    <store>/<model>/current         its first line is the active version, below it those that were
                                    active before, the latest first; replaced atomically
    <store>/<model>/.lock           held by a process that changes the above
    <store>/<model>/.new-*          being written, or left by a process that was killed

A version is complete and synced before `current` names it, so if a process is killed at any moment, either
the old version is active or the new one. Reading takes no lock. Writers wait for each other: the kernel
releases a process's lock when it ends, so whatever unfinished a writer finds is a leftover, which it
removes.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from models import bundle, files
from models.bundle import Bundle
from models.errors import BundleError, PointerError, ProjectError, StoreError
from models.model import Model
from models.tree import Json

VERSION = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
"""The name of a version: UTC time and the first 8 hex digits of the weights' digest."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MOST_REMEMBERED = 100
_LARGEST_POINTER = 2**16
_PATIENCE = 30.0
"""Seconds to wait for another writer."""


class Store:
    """The store in `folder`, which need not exist yet. It keeps no state; processes may share it.

    Every method raises StoreError where the folder cannot be read or written, and for a name or a version
    that is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def current(self, name: str) -> str | None:
        """The active version of a model, or None if there is none. One small read."""
        return next(iter(self._active(name)), None)

    def versions(self, name: str) -> list[str]:
        """The versions of a model, the oldest first."""
        home = self.home(name)
        with _told(home):
            found = [entry.name for entry in home.iterdir()] if home.is_dir() else []
        return sorted(version for version in found if VERSION.fullmatch(version))

    def load(self, name: str, version: str | None = None, key: bytes | None = None) -> Bundle:
        """A version of a model, by default the active one.

        Raises StoreError if there is none, BundleError or SignatureError if it is refused.
        """
        version = self._in_use(name) if version is None else version
        loaded = bundle.load(self._path(name, version), key)
        _check_place(loaded, name, version)
        return loaded

    def read(self, name: str, version: str, key: bytes | None = None) -> dict[str, bytes]:
        """The bytes of a version, checked by loading them. Raises as `load` does."""
        with _naming(self._path(name, version)):
            content = bundle.read(self._path(name, version))
            _check_place(bundle.unpack(content, key), name, version)
        return content

    def publish(self, model: Model, details: Mapping[str, Json], key: bytes | None = None) -> str:
        """Add a version, make it the active one and return it.

        Raises BundleError for a model that would be refused, StoreError if it cannot be written.
        """
        name = model.task.name
        with self._writing(name):
            content = bundle.pack(model, details, key)
            version = bundle.version_of(content)
            while self._path(name, version).exists():  # the same weights, in the same second
                time.sleep(0.1)
                content = bundle.pack(model, details, key)
                version = bundle.version_of(content)
            self._add(name, version, content)
        return version

    def activate(self, name: str, version: str, key: bytes | None = None) -> None:
        """Make `version` the active one, once it has been loaded and checked. Raises as `load` does."""
        with _naming(self._path(name, version)):
            self.load(name, version, key)
            with self._writing(name):
                self.load(name, version, key)  # again: it may have been pruned meanwhile
                self._point(name, version)

    def rollback(self, name: str, key: bytes | None = None) -> str:
        """Go back to the version that was active before, and return it.

        Raises StoreError if there is none, BundleError or SignatureError if it is refused.
        """
        self._in_use(name)
        with self._writing(name):
            remembered = self._active(name)[1:]
            kept = [v for v in remembered if self._path(name, v).is_dir()]
            if not kept:
                raise StoreError(f"{self.home(name)}: no version was active before this one")
            try:
                self.load(name, kept[0], key)
            except BundleError as error:
                where = self._path(name, kept[0])
                words = f"{where}, active before, is refused: {error}; activate another version"
                raise type(error)(words) from None
            self._write_pointer(name, kept)
        return kept[0]

    def prune(self, name: str, keep: int) -> list[str]:
        """Remove all versions but the active one and `keep` others.

        Those are first the ones that `rollback` leads to, in its order, then the newest. Returns what was
        removed, the oldest first. Raises StoreError if no version is active.
        """
        self._in_use(name)
        with self._writing(name):
            active = self._active(name)
            there = self.versions(name)
            in_order = dict.fromkeys((*active, *reversed(there)))
            kept = [version for version in in_order if version in there][: keep + 1]
            removed = [version for version in there if version not in kept]
            with _told(self.home(name)):
                for version in removed:  # what has a version's name is whole, at any moment
                    leftover = files.neighbour(self._path(name, version))
                    self._path(name, version).rename(leftover)
                    _remove(leftover)
        return removed

    def copy(self, name: str, version: str, other: "Store", key: bytes | None = None) -> None:
        """Add a version to another store, byte by byte, and make it the active one there.

        Raises as `load` does.
        """
        content = self.read(name, version, key)
        with other._writing(name):  # noqa: SLF001  # of the same class
            other._add(name, version, content)  # noqa: SLF001

    def fill_from(self, artifacts: Path, key: bytes | None = None) -> list[str]:
        """Fill in the bundles of `artifacts`, <model>/ each, for models without an active version.

        With a key they are signed with it: they come with the code and are trusted as the code is.
        Returns the names of the models that were filled. Raises BundleError, which names the folder, for
        one that is refused; all others have been filled in then.
        """
        filled, faults = [], []
        for folder in sorted(artifacts.iterdir()) if artifacts.is_dir() else []:
            if not _NAME.fullmatch(folder.name):
                continue
            try:
                if self._fill(folder, key):
                    filled.append(folder.name)
            except ProjectError as error:  # such as the bundle of a task that was removed
                faults.append(error)
        if faults:
            raise faults[0]
        return filled

    def _fill(self, folder: Path, key: bytes | None) -> bool:
        """Fill in the bundle of `folder` for the model of its name; false if that has an active version."""
        if self.current(folder.name) is not None:
            return False
        with _naming(folder):
            content = bundle.read(folder)
            content = content if key is None else bundle.sign(content, key)
            loaded = bundle.unpack(content, key)
            _check_place(loaded, folder.name, loaded.version)
        with self._writing(folder.name):
            if self.current(folder.name) is not None:  # somebody was quicker
                return False
            self._add(folder.name, loaded.version, content)
        return True

    def _in_use(self, name: str) -> str:
        """The active version. Raises StoreError if there is none, before anything is written."""
        version = self.current(name)
        if version is None:
            raise StoreError(f"{self.home(name)}: no version is active")
        return version

    def _add(self, name: str, version: str, content: Mapping[str, bytes]) -> None:
        path = self._path(name, version)
        if not path.is_dir():
            files.write_folder(path, content)
        self._point(name, version)

    def _point(self, name: str, version: str) -> None:
        try:
            active = self._active(name)
        except PointerError:
            active = []  # a pointer that says nothing is replaced: else it could not be mended
        if active[:1] != [version]:
            self._write_pointer(name, [version, *active])

    def _write_pointer(self, name: str, versions: list[str]) -> None:
        text = "".join(f"{version}\n" for version in versions[:_MOST_REMEMBERED])
        files.replace_file(self.home(name) / "current", text.encode())

    def _active(self, name: str) -> list[str]:
        """The active version, then those before it, the latest first."""
        pointer = self.home(name) / "current"
        with _told(pointer):
            try:
                lines = files.read_regular(pointer, _LARGEST_POINTER).decode().splitlines()
            except FileNotFoundError:
                return []
            except UnicodeDecodeError:
                lines = []
            except OSError as error:
                if error.errno is not None:  # it may be whole, but cannot be read
                    raise
                raise PointerError(f"{pointer}: {error}") from None
        if not lines or not all(VERSION.fullmatch(line) for line in lines):
            raise PointerError(f"{pointer}: does not name a version")
        return lines

    def home(self, name: str) -> Path:
        """The folder of a model's versions. Raises StoreError for what is no name of a model."""
        if not _NAME.fullmatch(name):
            raise StoreError(
                f"{name!r:.80} is no name of a model: it must be a-z, 0-9 and _, with a letter first"
            )
        return self.folder / name

    def _path(self, name: str, version: str) -> Path:
        if not VERSION.fullmatch(version):
            raise StoreError(f"{version!r:.80} is no name of a version")
        return self.home(name) / version

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """Hold the lock of a model, after removing what killed writers have left."""
        home = self.home(name)
        with _told(home):
            if not home.is_dir():
                home.mkdir(parents=True, exist_ok=True)
                files.sync(home.parent)
            lock = os.open(home / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                _acquire(lock, home)
                for leftover in home.glob(f"{files.TEMPORARY}*"):
                    _remove(leftover)
                yield
            finally:
                os.close(lock)  # which releases it


def _acquire(lock: int, home: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"{home}: another process has been writing for {_PATIENCE:g} seconds"
                ) from None
            time.sleep(0.01)
        else:
            return


def _remove(leftover: Path) -> None:
    if leftover.is_dir() and not leftover.is_symlink():
        shutil.rmtree(leftover, ignore_errors=True)
    else:
        leftover.unlink(missing_ok=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn an OSError into a StoreError of one line."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{error.filename or path}: {error.strerror or error}") from error


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Say of which folder a bundle is refused, where the error does not."""
    try:
        yield
    except BundleError as error:
        words = str(error)
        raise type(error)(
            words if words.startswith(str(folder)) else f"{folder}: {words}"
        ) from None


def _check_place(loaded: Bundle, name: str, version: str) -> None:
    if (loaded.model.task.name, loaded.version) != (name, version):
        raise BundleError(
            f"manifest.json: is of {loaded.model.task.name} {loaded.version}, and stands in the "
            f"place of {name} {version}"
        )

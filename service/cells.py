"""Counters that several processes write and any of them can read: the memory of the metrics.

Each worker counts in cells (float64) of its own file, which is mapped into its memory; a second file says
which cells mean what. Counting is a write to memory: nothing is sent, no lock is taken, and the counts
survive a kill. The worker that is asked for the metrics reads the files of all workers. A new worker takes
over the files of one that is gone (their lock is free then), so that counters continue and files do not
pile up. The files are sparse, and writing to mapped memory for which the disk has no room kills a process
(SIGBUS). So every block is given its room before it is used.

Without a folder the cells are private memory of this process.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import logging
import mmap
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from pathlib import Path

Key = tuple[str, ...]
"""What a block of cells means: a metric family and its labels."""

GAUGE = "gauge"
"""The family of cells that hold a state and not a count: they begin at 0 in every process."""

CAPACITY = 1 << 18
_WIDTH = 8
_SPARE = CAPACITY - 256

_log = logging.getLogger("service")


class Cells:
    """The cells of this process. Count with `cells.values[i] += 1`."""

    def __init__(self, folder: Path | None = None) -> None:
        self._blocks: dict[Key, tuple[int, int]] = {}
        self._used = 0
        self._lock = threading.Lock()
        self._keys: FileIO | None = None
        self._told = False
        self._data = -1
        self._folder = folder
        if folder is not None:
            self._data = os.open(self._claim(folder), os.O_RDWR | os.O_CLOEXEC)
            self._reserve(_SPARE, CAPACITY - _SPARE)
        memory = mmap.mmap(self._data, CAPACITY * _WIDTH)
        self.values = memoryview(memory).cast("d")
        for key, (start, width) in self._blocks.items():
            if key[0] == GAUGE:
                self.values[start : start + width] = memoryview(bytes(width * _WIDTH)).cast("d")

    def block(self, key: Key, width: int = 1) -> int:
        """The index of the first of the `width` cells of `key`, which begin at 0. Thread-safe.

        When no cells are left (thousands of versions later), or the disk is full, further keys share cells
        that are never shown.
        """
        known = self._blocks.get(key)
        if known is not None and known[1] == width:  # another width: from another release
            return known[0]
        with self._lock:
            return self._allot(key, width)

    def _allot(self, key: Key, width: int) -> int:
        known = self._blocks.get(key)
        if known is not None and known[1] == width:  # another thread was quicker
            return known[0]
        if self._used + width > _SPARE:
            return _SPARE
        start = self._used
        try:
            self._record(key, start, width)
        except OSError as error:
            if not self._told:
                self._told = True
                _log.error("some metrics are not counted until a restart: %s", error)
            return _SPARE
        self._used += width
        self._blocks[key] = (start, width)
        return start

    def _record(self, key: Key, start: int, width: int) -> None:
        """Give a block its room on the disk, and note it in the file of keys. Raises OSError."""
        if self._keys is None:
            return
        self._reserve(start, width)
        line = json.dumps([*key, start, width]).encode() + b"\n"
        end = os.fstat(self._keys.fileno()).st_size
        if self._keys.write(line) != len(line):  # the rest had no room
            self._keys.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _reserve(self, start: int, width: int) -> None:
        os.posix_fallocate(self._data, start * _WIDTH, width * _WIDTH)

    def read(self) -> Iterator[tuple[Key, list[float]]]:
        """(key, values) of every block of every process; of a process that is gone, without its gauges."""
        if self._folder is None:
            yield from _shown(self._blocks, self.values)
            return
        for path in sorted(self._folder.glob("*.keys")):
            blocks = _parse(path.read_bytes())
            with path.with_suffix(".cells").open("rb") as file:
                data = file.read(_WIDTH * max((s + w for s, w in blocks.values()), default=0))
            shown = _shown(blocks, memoryview(data).cast("d"))
            gone = _is_free(path)
            yield from (entry for entry in shown if not (gone and entry[0][0] == GAUGE))

    def _claim(self, folder: Path) -> Path:
        """Lock the first files that no living process holds, or new ones; returns the file of cells."""
        for number in itertools.count():
            path = folder / f"{number}.keys"
            # created before the keys: who finds those expects these
            cells = path.with_suffix(".cells")
            with cells.open("ab") as data:
                data.truncate(CAPACITY * _WIDTH)
            file = path.open("a+b", buffering=0)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            self._keys = file  # the lock lasts as long as the file is open
            file.seek(0)
            lines = file.read()
            file.truncate(lines.rfind(b"\n") + 1)  # a line that a killed process left half written
            self._blocks = _parse(lines)
            self._used = max((s + w for s, w in self._blocks.values()), default=0)
            return cells
        raise AssertionError("numbers have no end")


def _is_free(path: Path) -> bool:
    """Whether no process holds the file."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _parse(lines: bytes) -> dict[Key, tuple[int, int]]:
    """The blocks of a file of keys, without a last line that is still being written."""
    whole = lines[: lines.rfind(b"\n") + 1]
    rows = (json.loads(line) for line in whole.splitlines())
    return {tuple(key): (start, width) for *key, start, width in rows}


def _shown(
    blocks: dict[Key, tuple[int, int]], values: memoryview[float]
) -> Iterator[tuple[Key, list[float]]]:
    for key, (start, width) in list(blocks.items()):
        yield key, list(values[start : start + width])

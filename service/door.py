"""How the workers of a group share the connections that come: the one with the fewest takes the next.

All of them wait at one socket, and the kernel wakes all. Whoever wakes first would take every
connection of a burst, and as clients keep their connections, the others would idle for as long. So
each worker writes down how many it holds, in memory that all share, and one that sees a sibling with
fewer leaves the next connection to that one, for five milliseconds at most: a sibling that hangs or has
just died delays a connection and loses none.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import mmap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from socket import socket

MOST_WORKERS = 1024
_WIDTH = 8
_CLOSED = -1
_PATIENCE = 0.005
"""Seconds for which a connection is left to a sibling."""
_NO_ROOM = 1.0
"""Seconds to wait when the system gives no connection."""

_log = logging.getLogger("service")


class Shares:
    """How many connections each worker of a group holds; it takes a place in the file in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "connections").open("a+b")  # the lock lasts as long as it is open
        self._file.truncate(MOST_WORKERS * _WIDTH)
        self._all = memoryview(mmap.mmap(self._file.fileno(), MOST_WORKERS * _WIDTH)).cast("q")
        self._place = next(place for place in range(MOST_WORKERS) if self._is_mine(place))
        self.close()

    def _is_mine(self, place: int) -> bool:
        """Whether a place was free; then it is taken."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, _WIDTH, place * _WIDTH)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Say that this worker takes no connections."""
        self.put(_CLOSED)

    def put(self, connections: int) -> None:
        """Say how many this worker holds. What is in its place is one more: 0 stands for nobody."""
        self._all[self._place] = connections + 1

    def others_have_fewer(self) -> bool:
        """Whether a worker that takes connections holds fewer than this one."""
        fewest = self._all[self._place]
        return any(0 < held < fewest for held in self._all)


class Door:
    """Takes connections from a socket that siblings take from, too; stands for a server of asyncio.

    connect : makes the protocol of a connection; held : how many connections the worker holds.
    """

    def __init__(
        self, listener: socket, shares: Shares, connect: Callable[[], Any], held: Callable[[], int]
    ) -> None:
        self._listener = listener
        self._shares = shares
        self._connect = connect
        self._held = held
        self._loop = asyncio.get_running_loop()
        self._coming: set[asyncio.Task[Any]] = set()
        self._open = True
        listener.settimeout(0.0)
        self.count()
        self._loop.add_reader(listener, self._look)

    def count(self) -> None:
        """Tell the siblings how many connections there are."""
        if self._open:
            self._shares.put(self._held() + len(self._coming))

    def close(self) -> None:
        """Take no more."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._listener)
            self._shares.close()

    async def wait_closed(self) -> None:
        """As of a server of asyncio: what was taken has become a connection."""
        await asyncio.gather(*self._coming, return_exceptions=True)

    def _look(self) -> None:
        """Somebody is at the door."""
        self.count()
        if self._shares.others_have_fewer():
            self._turn_away(_PATIENCE)
        else:
            self._take()

    def _turn_away(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._loop.call_later(seconds, self._come_back)

    def _come_back(self) -> None:
        if self._open:
            self._loop.add_reader(self._listener, self._look)
            self._take()

    def _take(self) -> None:
        try:
            taken, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # a sibling took it, or the client left
            return
        except OSError as error:  # no descriptors are left, mostly
            _log.error("no connection can be taken: %s", error)
            self._turn_away(_NO_ROOM)
            return
        coming = self._loop.create_task(self._loop.connect_accepted_socket(self._connect, taken))
        self._coming.add(coming)
        coming.add_done_callback(self._coming.discard)
        self.count()

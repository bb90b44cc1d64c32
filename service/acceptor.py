"""Balances new connections between the workers of a group: the one that holds the fewest accepts next.

All workers wait on one listening socket, and the kernel wakes them all. Left alone, whichever wakes
first would accept a whole burst, and since clients keep connections alive, its siblings would sit idle
for just as long. So every worker publishes its number of connections in shared memory, and a worker
that sees a sibling with fewer leaves the next connection to it, for at most five milliseconds: a
sibling that hangs or has just died can delay a connection but not lose it.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import mmap
import os
import struct
import sys
from contextlib import suppress
from socket import SOL_SOCKET
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from socket import socket

BACKLOG = 2048
"""How many connections may wait to be accepted."""
_SO_ATTACH_FILTER = 26
"""Of Linux; the module `socket` has no name for it."""
_TAKE_NO_SYN = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load byte 13 of the TCP header, the flags
        (0x54, 0, 0, 0x12),  # keep SYN and ACK of them
        (0x15, 0, 1, 0x02),  # SYN alone?
        (0x06, 0, 0, 0),  # then take no byte of the packet
        (0x06, 0, 0, 0xFFFFFFFF),  # else all
    )
)
"""A program for the kernel's packet filter, which drops what asks for a new connection."""

MOST_WORKERS = 1024
_WIDTH = 8
_CLOSED = -1
_PATIENCE = 0.005
"""Seconds for which a connection is left to a sibling that holds fewer."""
_NO_ROOM = 1.0
"""Seconds to wait after the system refused a connection, mostly for want of file descriptors."""

_log = logging.getLogger("service")


class ConnectionCounts:
    """How many connections each worker of a group holds, in a memory-mapped file in `folder`.

    A worker takes the first free slot of the file; a lock on the slot frees it when the process dies.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "connections").open("a+b")  # the lock lasts as long as it is open
        self._file.truncate(MOST_WORKERS * _WIDTH)
        os.posix_fallocate(self._file.fileno(), 0, MOST_WORKERS * _WIDTH)  # see `service.cells`
        self._all = memoryview(mmap.mmap(self._file.fileno(), MOST_WORKERS * _WIDTH)).cast("q")
        self._slot = next(slot for slot in range(MOST_WORKERS) if self._is_mine(slot))
        self.close()

    def _is_mine(self, slot: int) -> bool:
        """Take a slot if it is free; whether it was."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, _WIDTH, slot * _WIDTH)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Publish that this worker accepts no connections."""
        self.put(_CLOSED)

    def put(self, connections: int) -> None:
        """Publish how many this worker holds. Stored plus one: 0 marks a slot that nobody has."""
        self._all[self._slot] = connections + 1

    def others_have_fewer(self) -> bool:
        """Whether a sibling that accepts connections holds fewer than this worker."""
        fewest = self._all[self._slot]
        return any(0 < held < fewest for held in self._all)


def hold_off(listener: socket) -> None:
    """Let nobody begin to connect to a listener any more, some time before it is closed.

    Closing it resets whoever has no connection yet, but thinks so: the system has answered, and the end of
    the handshake is on its way. So a filter of the kernel drops what begins one, and those under way end.
    Who wants to connect meanwhile gets no answer; he asks again after a second, and is refused.
    """
    if sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415  # seldom needed

    program = ctypes.create_string_buffer(_TAKE_NO_SYN, len(_TAKE_NO_SYN))
    length = len(_TAKE_NO_SYN) // struct.calcsize("HBBI")
    instructions = struct.pack("HP", length, ctypes.addressof(program))
    with suppress(OSError):  # a system without it loses what comes in these moments
        listener.setsockopt(SOL_SOCKET, _SO_ATTACH_FILTER, instructions)


def take_waiting(listener: socket) -> Iterator[socket]:
    """Accept the connections that the system has accepted, before their listener is closed."""
    for _ in range(BACKLOG):
        try:
            yield listener.accept()[0]
        except ConnectionAbortedError:  # this client left
            continue
        except OSError:  # BlockingIOError: none is left; or no file descriptors are
            return


def warn_of_want() -> None:
    """Log if no file can be opened: uvloop then closes what connects without a word."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        _log.error("no connection can be taken: %s", error)


class Acceptor:
    """Accepts connections from a socket shared with siblings, in the place of an `asyncio.Server`.

    connect : makes the protocol of a new connection; held : how many connections the worker holds.
    """

    def __init__(
        self,
        listener: socket,
        counts: ConnectionCounts,
        connect: Callable[[], Any],
        held: Callable[[], int],
    ) -> None:
        self._listener = listener
        self._counts = counts
        self._connect = connect
        self._held = held
        self._loop = asyncio.get_running_loop()
        self._pending: set[asyncio.Task[Any]] = set()
        self._open = True
        listener.settimeout(0.0)
        self.count()
        self._loop.add_reader(listener, self._look)

    def count(self) -> None:
        """Publish how many connections this worker holds."""
        if self._open:
            self._counts.put(self._held() + len(self._pending))

    def close(self) -> None:
        """Accept no more; the port is closed when every process has closed its listener."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._counts.close()

    async def wait_closed(self) -> None:
        """Wait until every accepted socket has become a connection, as `asyncio.Server` does."""
        await asyncio.gather(*self._pending, return_exceptions=True)

    def _look(self) -> None:
        """Called when a connection waits to be accepted."""
        self.count()
        if self._counts.others_have_fewer():
            self._look_away(_PATIENCE)
        else:
            self._accept()

    def _look_away(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._loop.call_later(seconds, self._come_back)

    def _come_back(self) -> None:
        if self._open:
            self._loop.add_reader(self._listener, self._look)
            self._accept()

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # a sibling was quicker, or the client left
        except OSError as error:  # mostly: no file descriptors are left
            _log.error("no connection can be taken: %s", error)
            self._look_away(_NO_ROOM)
            return
        pending = self._loop.create_task(
            self._loop.connect_accepted_socket(self._connect, accepted)
        )
        self._pending.add(pending)
        pending.add_done_callback(self._pending.discard)
        self.count()

"""Workers of a group share connections evenly, and a worker that is gone delays nobody."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import pytest

from service.acceptor import Acceptor, ConnectionCounts, hold_off, take_waiting
from service.workers import open_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

Slots = tuple[ConnectionCounts, ConnectionCounts]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that all acceptors take connections from."""
    with open_port("127.0.0.1", 0) as opened:
        yield opened


class Holding(asyncio.Protocol):
    """A connection that is held in a set."""

    def __init__(self, held: set[Holding]) -> None:
        self.held = held

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hold it."""
        self.transport = transport
        self.held.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        """Hold it no more."""
        self.held.discard(self)


def acceptor(listener: socket.socket, counts: ConnectionCounts) -> tuple[Acceptor, set[Holding]]:
    """The acceptor of one worker, on a descriptor of its own, and what it holds."""
    held: set[Holding] = set()
    return Acceptor(listener.dup(), counts, lambda: Holding(held), lambda: len(held)), held


def clients(listener: socket.socket, number: int) -> list[socket.socket]:
    """So many connections that were asked for."""
    return [socket.create_connection(listener.getsockname()) for _ in range(number)]


async def until_held(number: int, *all_held: set[Holding]) -> None:
    """Wait until so many connections are held."""
    async with asyncio.timeout(30):
        while sum(map(len, all_held)) < number:  # noqa: ASYNC110 - set by a loop that is shared
            await asyncio.sleep(0.001)


async def leave(
    acceptors: list[Acceptor], asked: list[socket.socket], *all_held: set[Holding]
) -> None:
    """Close everything."""
    for each in acceptors:
        each.close()
        await each.wait_closed()
        each._listener.close()
    for connection in set().union(*all_held):
        connection.transport.close()
    for client in asked:
        client.close()
    async with asyncio.timeout(30):
        while any(all_held):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)


@pytest.fixture
def slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slots]:
    """Two workers' slots; the file's locks tell processes apart, and here both are in one."""
    one, other = ConnectionCounts(tmp_path), ConnectionCounts(tmp_path)
    monkeypatch.setattr(other, "_slot", 1)
    other.close()
    yield one, other
    for each in (one, other):
        each._file.close()


async def test_burst_is_shared_out(
    listener: socket.socket, slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that holds ten connections leaves nearly all of the next ten to one that holds none."""
    # The machine may stand still for a moment; in that time nobody is to lose patience.
    monkeypatch.setattr("service.acceptor._PATIENCE", 0.5)
    first, held = acceptor(listener, slots[0])
    asked = clients(listener, 10)
    await until_held(10, held)
    second, others = acceptor(listener, slots[1])
    asked += clients(listener, 10)
    await until_held(20, held, others)
    assert len(others) >= 8  # if they took turns, each would take five
    await leave([first, second], asked, held, others)


async def test_worker_that_hangs_delays_a_connection_and_loses_none(
    listener: socket.socket, slots: Slots
) -> None:
    """A sibling with fewer connections that takes none is not waited for."""
    one, other = slots
    other.put(0)
    taking, held = acceptor(listener, one)
    started = time.monotonic()
    asked = clients(listener, 5)
    await until_held(5, held)
    assert time.monotonic() - started < 10
    other.close()
    assert not one.others_have_fewer()
    await leave([taking], asked, held)


async def test_closed_acceptor_takes_nothing_and_is_not_waited_for(
    listener: socket.socket, slots: Slots
) -> None:
    """A worker that leaves says so and gives up the port, and its siblings take what comes."""
    (leaving, held), (staying, others) = acceptor(listener, slots[0]), acceptor(listener, slots[1])
    leaving.close()
    leaving.close()
    assert leaving._listener.fileno() == -1
    asked = clients(listener, 4)
    await until_held(4, others)
    assert held == set()
    assert not slots[1].others_have_fewer()
    await leave([leaving, staying], asked, others)


class Full:
    """A listener of a process that has no descriptors left, for a while."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener, self.left = listener, 3
        self.fileno, self.settimeout = listener.fileno, listener.settimeout
        self.close = listener.close

    def accept(self) -> tuple[socket.socket, object]:
        """Refuse some times, then take."""
        self.left -= 1
        if self.left >= 0:
            raise OSError(24, "Too many open files")
        return self.listener.accept()


async def test_want_of_descriptors_is_waited_out(
    listener: socket.socket,
    slots: Slots,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The worker does not turn in circles meanwhile, says so in its log, and goes on afterwards."""
    monkeypatch.setattr("service.acceptor._NO_ROOM", 0.01)
    held: set[Holding] = set()
    full = Full(listener.dup())
    taking = Acceptor(full, slots[0], lambda: Holding(held), lambda: len(held))  # type: ignore[arg-type]
    asked = clients(listener, 2)
    await until_held(2, held)
    assert caplog.text.count("no connection can be taken") == 3
    await leave([taking], asked, held)


def test_slot_of_a_process_that_is_gone_is_taken_again(tmp_path: Path) -> None:
    """Workers that come and go for months need no more slots than there are workers."""
    first = ConnectionCounts(tmp_path)
    first.put(7)
    first._file.close()
    again = ConnectionCounts(tmp_path)
    assert again._slot == 0
    assert not again.others_have_fewer()
    again._file.close()


def test_who_comes_when_a_port_is_about_to_close_is_refused_and_not_reset(
    listener: socket.socket,
) -> None:
    """Between the last accept and the close nobody gets a connection, which the close would reset."""
    listener.setblocking(False)  # noqa: FBT003
    early = clients(listener, 3)
    hold_off(listener)
    taken = list(take_waiting(listener))
    assert [one.getpeername() for one in taken] == [one.getsockname() for one in early]
    with socket.socket() as late:
        late.settimeout(0.2)
        with pytest.raises(TimeoutError):
            late.connect(listener.getsockname())
    for theirs, ours in zip(early, taken, strict=True):
        theirs.sendall(b"asked")
        assert ours.recv(5, socket.MSG_WAITALL) == b"asked"
        theirs.close()
        ours.close()

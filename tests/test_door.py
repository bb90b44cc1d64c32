"""Workers of a group share connections evenly, and none waits for a worker that is gone."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import pytest

from service.door import Door, Shares
from service.workers import open_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that all doors take connections from."""
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


def door(listener: socket.socket, shares: Shares) -> tuple[Door, set[Holding]]:
    """A worker's door, at a descriptor of its own, and what it holds."""
    held: set[Holding] = set()
    return Door(listener.dup(), shares, lambda: Holding(held), lambda: len(held)), held


def clients(listener: socket.socket, number: int) -> list[socket.socket]:
    """So many connections that were asked for."""
    return [socket.create_connection(listener.getsockname()) for _ in range(number)]


async def until_held(number: int, *all_held: set[Holding]) -> None:
    """Wait until so many connections are held."""
    async with asyncio.timeout(30):
        while sum(map(len, all_held)) < number:  # noqa: ASYNC110 - set by a loop that is shared
            await asyncio.sleep(0.001)


async def leave(doors: list[Door], asked: list[socket.socket], *all_held: set[Holding]) -> None:
    """Close everything."""
    for each in doors:
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
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Shares, Shares]]:
    """Two workers' places; the file's locks tell processes apart, and here both are in one."""
    one, other = Shares(tmp_path), Shares(tmp_path)
    monkeypatch.setattr(other, "_place", 1)
    other.close()
    yield one, other
    for each in (one, other):
        each._file.close()


async def test_burst_is_shared_out(listener: socket.socket, places: tuple[Shares, Shares]) -> None:
    """Of twenty connections at once each of two workers takes ten, one more or less."""
    (first, held), (second, others) = door(listener, places[0]), door(listener, places[1])
    asked = clients(listener, 20)
    await until_held(20, held, others)
    assert abs(len(held) - len(others)) <= 1
    await leave([first, second], asked, held, others)


async def test_worker_that_hangs_delays_a_connection_and_loses_none(
    listener: socket.socket, places: tuple[Shares, Shares]
) -> None:
    """A sibling with fewer connections that takes none is not waited for."""
    one, other = places
    other.put(0)
    taking, held = door(listener, one)
    started = time.monotonic()
    asked = clients(listener, 5)
    await until_held(5, held)
    assert time.monotonic() - started < 10
    other.close()
    assert not one.others_have_fewer()
    await leave([taking], asked, held)


async def test_closed_door_takes_nothing_and_is_not_waited_for(
    listener: socket.socket, places: tuple[Shares, Shares]
) -> None:
    """A worker that leaves says so, and its siblings take what comes."""
    (leaving, held), (staying, others) = door(listener, places[0]), door(listener, places[1])
    leaving.close()
    leaving.close()
    asked = clients(listener, 4)
    await until_held(4, others)
    assert held == set()
    assert not places[1].others_have_fewer()
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
    places: tuple[Shares, Shares],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The worker does not turn in circles meanwhile, says so in its log, and goes on afterwards."""
    monkeypatch.setattr("service.door._NO_ROOM", 0.01)
    held: set[Holding] = set()
    full = Full(listener.dup())
    taking = Door(full, places[0], lambda: Holding(held), lambda: len(held))  # type: ignore[arg-type]
    asked = clients(listener, 2)
    await until_held(2, held)
    assert caplog.text.count("no connection can be taken") == 3
    await leave([taking], asked, held)


def test_place_of_a_process_that_is_gone_is_taken_again(tmp_path: Path) -> None:
    """Workers that come and go for months need no more places than there are workers."""
    first = Shares(tmp_path)
    first.put(7)
    first._file.close()
    again = Shares(tmp_path)
    assert again._place == 0
    assert not again.others_have_fewer()
    again._file.close()

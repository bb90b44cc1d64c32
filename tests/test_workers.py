"""The supervisor's bookkeeping, without processes: who is replaced, who is killed, who is too many."""

import os
import selectors
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from service.workers import HANGS_AFTER, START_SECONDS, Group, Worker


class Process:
    """Stands for subprocess.Popen."""

    pids = iter(range(1000, 2000))

    def __init__(self) -> None:
        self.pid = next(self.pids)
        self.status: int | None = None
        self.signals: list[int] = []

    def poll(self) -> int | None:
        """The exit status, once there is one."""
        return self.status

    def wait(self) -> int:
        """As poll."""
        return self.status or 0

    def send_signal(self, sig: int) -> None:
        """Note a signal."""
        self.signals.append(sig)

    def kill(self) -> None:
        """End at once."""
        self.status = -9


class Rehearsal(Group):
    """A group whose workers are only noted."""

    def _start(self, replaces: Worker | None = None) -> None:
        reading, writing = os.pipe()
        os.close(writing)
        process: Any = Process()
        self._selector.register(reading, selectors.EVENT_READ)
        self.workers.append(Worker(process, reading, 0.0, 0.0, replaces=replaces))


@pytest.fixture
def group() -> Iterator[Rehearsal]:
    """Two workers that are up."""
    with socket.socket() as listener, selectors.DefaultSelector() as selector:
        group = Rehearsal(listener, {}, size=2, patience=10.0, on_up=lambda: None)
        group._selector = selector
        group.step(0.0)
        for worker in group.workers:
            group._is_up(worker)
        yield group
        for worker in group.workers:
            os.close(worker.pipe)


def signals(worker: Worker) -> list[int]:
    """What a worker was sent."""
    process: Any = worker.process
    return list(process.signals)


def end(worker: Worker, status: int) -> None:
    """Let a worker's process end."""
    process: Any = worker.process
    process.status = status


def restart(group: Rehearsal) -> tuple[Worker, Worker, Worker]:
    """Begin a rolling restart: the old workers, and the successor of the first."""
    first, second = group.workers
    group._signals.append(signal.SIGHUP)
    group.step(1.0)
    assert group.workers[:2] == [first, second]
    (successor,) = group.workers[2:]
    assert successor.replaces is first
    return first, second, successor


def test_dead_worker_is_replaced(group: Rehearsal) -> None:
    """There are always as many workers as were asked for."""
    first, second = group.workers
    end(first, -9)
    group.step(1.0)
    assert first not in group.workers
    assert second in group.workers
    assert len(group.workers) == 2


def test_workers_are_replaced_one_after_the_other(group: Rehearsal) -> None:
    """An old worker is asked to leave when its successor is up, and only then the next one is begun."""
    first, second, successor = restart(group)
    group.step(2.0)
    assert len(group.workers) == 3
    assert signals(first) == []
    group._is_up(successor)
    assert signals(first) == [signal.SIGUSR1]
    end(first, 0)
    group.step(3.0)
    assert len(group.workers) == 3
    group._is_up(group.workers[-1])
    assert signals(second) == [signal.SIGUSR1]
    end(second, 0)
    group.step(4.0)
    group.step(5.0)
    assert len(group.workers) == 2


def test_worker_that_dies_while_its_successor_starts_is_not_replaced_twice(
    group: Rehearsal,
) -> None:
    """The successor takes the place of the dead one: the group does not grow."""
    first, _, successor = restart(group)
    end(first, -9)
    group.step(2.0)
    group._is_up(successor)
    group.step(3.0)
    staying = [w for w in group.workers if w.replaces is None and w.leaving_since is None]
    assert len(staying) == 2


def test_failed_successor_ends_the_replacing_and_leaves_the_old_workers(group: Rehearsal) -> None:
    """New code that does not start costs no worker that answers."""
    first, second, successor = restart(group)
    end(successor, 1)
    group.step(2.0)
    group.step(3.0)
    assert group.workers == [first, second]
    assert signals(first) == signals(second) == []
    assert not group.failed


def test_worker_without_a_beat_is_killed_and_replaced(group: Rehearsal) -> None:
    """One whose event loop stands still answers nothing, and is not waited for."""
    first, second = group.workers
    second.last_beat = HANGS_AFTER
    group.step(HANGS_AFTER + 1.0)
    group.step(HANGS_AFTER + 1.1)
    assert first not in group.workers
    assert second in group.workers
    assert len(group.workers) == 2


def test_group_whose_first_worker_cannot_start_gives_up() -> None:
    """A wrong setting is not tried again for ever: the worker has said what is wrong."""
    with socket.socket() as listener, selectors.DefaultSelector() as selector:
        group = Rehearsal(listener, {}, size=2, patience=10.0, on_up=lambda: None)
        group._selector = selector
        group.step(0.0)
        for worker in group.workers:
            end(worker, 2)
        group.step(START_SECONDS / 2)
        assert group.failed
        assert group.ending
        assert group.workers == []

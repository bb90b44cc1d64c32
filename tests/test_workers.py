"""The supervisor's bookkeeping, without processes: who is replaced, who is killed, who is too many."""

import errno
import os
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.errors import SettingsError
from service.workers import (
    HANGS_AFTER,
    LONGEST_PAUSE,
    REFUSED,
    START_SECONDS,
    Group,
    Worker,
    open_port,
    run_group,
)


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
        self.workers.append(Worker(process, reading, 0.0, replaces=replaces))


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


def test_worker_imports_nothing_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command may be called in a folder of another project, whose modules have the same names."""
    (tmp_path / "models.py").write_text("raise SystemExit('of another project')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with socket.socket() as listener:
        group = Group(listener, {"SERVICE_LOG_FORMAT": "none"}, 1, 10.0, on_up=lambda: None)
        process, pipe = group._begin()
    process.wait()
    said = os.read(pipe, 4096)
    os.close(pipe)
    assert said.startswith(REFUSED + b"SERVICE_LOG_FORMAT must be"), said


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


def test_ctrl_c_does_not_interrupt_the_imports_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal sends it to all: a worker begins with it blocked, and the supervisor still hears it."""
    masks = []

    def begin(*_: Any, **__: Any) -> None:
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        raise OSError

    monkeypatch.setattr("service.workers.subprocess.Popen", begin)
    with socket.socket() as listener:
        group = Group(listener, {}, size=1, patience=10.0, on_up=lambda: None)
        with pytest.raises(OSError):  # noqa: PT011  # the one from above
            group._begin()
    (mask,) = masks
    assert signal.SIGINT in mask
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_worker_that_does_not_leave_is_killed_after_its_patience(group: Rehearsal) -> None:
    """It has had the time for its last answers; who asks it again to leave gives it no more."""
    first, second = group.workers
    group._ask_to_leave(first, signal.SIGUSR1)
    first.leaving_since = 5.0
    group._ask_to_leave(first, signal.SIGUSR1)
    group.step(14.9)
    assert first.process.poll() is None
    group.step(15.1)
    assert first.process.poll() == -9
    assert second.process.poll() is None


def test_worker_that_dies_at_once_is_tried_again_after_growing_pauses(group: Rehearsal) -> None:
    """Broken code costs little, and the pauses do not grow for ever; who is up begins anew."""
    group.workers[1].last_beat = group.workers[0].last_beat = 1e9
    end(group.workers[1], 1)
    now = 1.0
    group.step(now)
    for pause in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_PAUSE, LONGEST_PAUSE):
        end(group.workers[1], 1)
        group.step(now)
        group.step(now + 0.99 * pause)
        assert len(group.workers) == 1
        now += pause
        group.step(now)
        assert len(group.workers) == 2
    group._is_up(group.workers[1])
    end(group.workers[1], 1)
    group.step(now)
    end(group.workers[1], 1)
    group.step(now)
    group.step(now + 0.5)
    assert len(group.workers) == 2


def test_group_that_ends_asks_its_workers_to_drain_and_at_last_to_leave(group: Rehearsal) -> None:
    """SIGUSR2 once, SIGINT from the second request on; nobody is started, and the port is given up."""
    workers = list(group.workers)
    for asked in ([signal.SIGUSR2], [signal.SIGUSR2, signal.SIGINT]):
        group._signals.append(signal.SIGTERM)
        group.step(1.0)
        assert [signals(worker) for worker in workers] == [asked, asked]
    assert group.listener.fileno() == -1
    for worker in workers:
        end(worker, 0)
    group.step(2.0)
    assert group.workers == []
    assert not group.failed


def test_successor_that_refuses_to_start_says_why_in_the_log(
    group: Rehearsal, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that was made unusable before SIGHUP is named, and the old workers answer on."""
    reading, writing = os.pipe()
    first, second, successor = restart(group)
    os.dup2(reading, successor.pipe)
    os.write(writing, REFUSED + b"keys: no such file")
    end(successor, 2)
    group.step(2.0)
    for end_of_pipe in (reading, writing):
        os.close(end_of_pipe)
    assert caplog.messages[-1].endswith(" ended with status 2: keys: no such file")
    assert group.workers == [first, second]
    assert not group.refusal


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


def open_files() -> int:
    """How many files this process has open."""
    return len([*Path("/proc/self/fd").iterdir()])


def test_worker_that_cannot_be_started_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fork that fails, for want of memory or processes, costs a pause; the others answer on."""
    failing = True

    def popen(*_: object, **__: object) -> Process:
        if failing:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return Process()

    monkeypatch.setattr(subprocess, "Popen", popen)
    with socket.socket() as listener, selectors.DefaultSelector() as selector:
        group = Group(listener, {}, size=2, patience=10.0, on_up=lambda: None)
        group._selector = selector
        before = open_files()
        now = time.monotonic()
        group.step(now)
        group.step(now)
        assert group.workers == []
        assert open_files() == before
        assert [record.getMessage() for record in caplog.records] == [
            "a worker cannot be started: [Errno 11] Resource temporarily unavailable"
        ]
        failing = False
        group.step(group._retry_at)
        assert len(group.workers) == 2
        assert not group.ending
        for worker in group.workers:
            group._is_up(worker)
        failing = True
        group._signals.append(signal.SIGHUP)
        group.step(group._retry_at)
        assert len(group.workers) == 2
        failing = False
        group.step(group._retry_at)
        assert len(group.workers) == 3
        for worker in group.workers:
            os.close(worker.pipe)


def test_group_without_a_folder_for_temporary_files_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full disk, or a container that is read-only throughout, is told in one line."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    words = "need a folder for their metrics: .*/nowhere/.*; TMPDIR says where"
    with socket.socket() as listener, pytest.raises(SettingsError, match=words):
        run_group(listener, {}, 2, 1.0, lambda: None)


def test_group_on_a_system_that_cannot_have_one_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS each worker would end with a traceback; one process serves there."""
    monkeypatch.delattr(os, "posix_fallocate")
    with (
        socket.socket() as listener,
        pytest.raises(SettingsError, match="must be 1 on this system"),
    ):
        run_group(listener, {}, 2, 1.0, lambda: None)


def test_port_that_is_taken_leaves_no_socket_open() -> None:
    """The error is all that remains of a port that cannot be listened on."""
    with open_port("127.0.0.1", 0) as listener:
        before = open_files()
        with pytest.raises(OSError, match="in use"):
            open_port("127.0.0.1", listener.getsockname()[1])
        assert open_files() == before

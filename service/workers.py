"""A group of workers on one port, and the supervisor that keeps it whole.

Each worker is a process (`python -m service.worker`). All accept connections, balanced by
`service.acceptor`, from one listening socket that the supervisor has opened and keeps until the group ends:
while a worker is replaced, its siblings accept, and no waiting connection is lost. At the end the port
closes with the copy of the last worker that has drained. A worker writes a byte to a pipe when it is up,
and another every second from its event loop. So the supervisor knows when a worker is ready, and replaces
one that has died or hangs. A worker whose supervisor is gone finds the pipe closed, and leaves.

Signals: SIGTERM and SIGINT end the group. SIGHUP replaces the workers one after the other, each new one up
before the old one retires (new code, new settings files, no request lost).
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import ProjectError, SettingsError
from service.acceptor import BACKLOG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UP = b"u"
BEAT = b"b"
REFUSED = b"!"
"""What a worker writes before the reason why it cannot start as it is told to."""
HANGS_AFTER = 20.0
"""Seconds without a beat after which a worker counts as hanging."""
START_SECONDS = 60.0
"""Seconds that a worker may take to start."""
LONGEST_PAUSE = 30.0
"""The longest pause, in seconds, between attempts to start a worker that dies at once."""

_log = logging.getLogger("service.workers")


@dataclass(eq=False)
class Worker:
    """A worker process as its supervisor knows it; pipe is the reading end."""

    process: subprocess.Popen[bytes]
    pipe: int
    last_beat: float
    up: bool = False
    leaving_since: float | None = None
    replaces: Worker | None = None
    refusal: str = ""


@dataclass
class Group:
    """The workers of one port.

    listener : the socket that all of them accept from.
    environment : of the workers. size : how many there should be.
    patience : seconds that a worker may take to leave before it is killed.
    on_up : called whenever a worker is up.
    refusal : why the first worker could not start, if a setting is at fault.
    """

    listener: socket.socket
    environment: Mapping[str, str]
    size: int
    patience: float
    on_up: Callable[[], object]
    workers: list[Worker] = field(default_factory=list)
    ending: bool = False
    failed: bool = False
    refusal: str = ""
    _ever_up: bool = False
    _retry_at: float = 0.0
    _pause: float = 0.5
    _to_replace: list[Worker] = field(default_factory=list)
    _signals: list[int] = field(default_factory=list)

    def run(self) -> int:
        """Keep the group until it is told to end; returns the exit status. Raises ProjectError."""
        with selectors.DefaultSelector() as selector:
            self._selector = selector
            self._listen_to_signals()
            while not (self.ending and not self.workers):
                for key, _ in selector.select(timeout=0.2):
                    self._read(key.fd, key.data)
                self.step(time.monotonic())
        if self.refusal:
            raise ProjectError(self.refusal)
        return 1 if self.failed else 0

    def step(self, now: float) -> None:
        """Check on all workers once; `now` is monotonic time in seconds."""
        while self._signals:
            self._obey(self._signals.pop(0))
        for worker in list(self.workers):
            self._look_after(worker, now)
        if not self.ending:
            self._replace_next(now)
            self._fill_up(now)

    def _fill_up(self, now: float) -> None:
        staying = [w for w in self.workers if w.leaving_since is None and w.replaces is None]
        for _ in range(self.size - len(staying)):
            if now >= self._retry_at:
                self._start()

    def _start(self, replaces: Worker | None = None) -> None:
        try:
            process, reading = self._begin()
        except OSError as error:  # no memory, processes or files left, for a moment it may be
            _log.error("a worker cannot be started: %s", error)
            self._pause_from(time.monotonic())
            if replaces is not None:
                self._to_replace.insert(0, replaces)
            return
        worker = Worker(process, reading, time.monotonic(), replaces=replaces)
        self.workers.append(worker)
        self._selector.register(reading, selectors.EVENT_READ, worker)

    def _begin(self) -> tuple[subprocess.Popen[bytes], int]:
        """A new process, and the reading end of its pipe. Raises OSError."""
        reading, writing = os.pipe()
        inherited = (self.listener.fileno(), writing)
        try:
            os.set_blocking(reading, False)
            # A worker has it blocked until it can obey (`service.server.serve`): Ctrl-C in a terminal
            # goes to all, and would end the imports in a traceback.
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "service.worker", *map(str, inherited)],
                    env=_with_path(self.environment),
                    pass_fds=inherited,
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return process, reading

    def _pause_from(self, now: float) -> None:
        """Start no worker for a while, and for longer the next time."""
        self._retry_at = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _read(self, descriptor: int, worker: Worker | None) -> None:
        try:
            said = os.read(descriptor, 4096)
        except BlockingIOError:
            return
        if worker is None:  # the pipe that a signal wakes the loop by
            return
        if not said:
            self._selector.unregister(descriptor)  # its end is found by poll()
            return
        worker.last_beat = time.monotonic()
        said, _, words = said.partition(REFUSED)
        worker.refusal += words.decode(errors="replace")
        if UP in said and worker in self.workers:
            self._is_up(worker)

    def _is_up(self, worker: Worker) -> None:
        worker.up = self._ever_up = True
        self._pause = 0.5
        _log.info("worker %d is up", worker.process.pid)
        self.on_up()
        if worker.replaces is not None:
            self._ask_to_leave(worker.replaces, signal.SIGUSR1)
            worker.replaces = None

    def _look_after(self, worker: Worker, now: float) -> None:
        status = worker.process.poll()
        if status is not None:
            self._bury(worker, status, now)
        elif worker.leaving_since is not None:
            if now - worker.leaving_since > self.patience:
                self._kill(worker, "does not leave")
        elif now - worker.last_beat > (HANGS_AFTER if worker.up else START_SECONDS):
            self._kill(worker, "hangs" if worker.up else "does not come up")

    def _bury(self, worker: Worker, status: int, now: float) -> None:
        self.workers.remove(worker)
        for other in self.workers:
            if other.replaces is worker:
                other.replaces = None  # it takes the place of a worker that is gone already
        if worker.pipe in self._selector.get_map():
            self._read(worker.pipe, worker)  # what it said at last
        if worker.pipe in self._selector.get_map():
            self._selector.unregister(worker.pipe)
        os.close(worker.pipe)
        if worker.leaving_since is not None:
            return
        if worker.refusal and not self._ever_up:
            self.refusal = worker.refusal
        else:
            words = f": {worker.refusal}" if worker.refusal else ""
            _log.error("worker %d ended with status %d%s", worker.process.pid, status, words)
        if worker.up:
            return
        # It died while starting. If no worker was ever up, the group ends; the worker has said why.
        if not self._ever_up:
            self.failed = True
            self._end()
        self._pause_from(now)
        self._to_replace.clear()

    def _kill(self, worker: Worker, why: str) -> None:
        _log.error("worker %d %s and is killed", worker.process.pid, why)
        worker.process.kill()
        worker.process.wait()

    def _replace_next(self, now: float) -> None:
        """Start the successor of the next worker to replace, unless another one is starting."""
        due = self._to_replace and now >= self._retry_at
        if due and not any(w.replaces for w in self.workers):
            old = self._to_replace.pop(0)
            if old in self.workers and old.leaving_since is None:
                self._start(replaces=old)

    def _ask_to_leave(self, worker: Worker, sig: int) -> None:
        if worker.leaving_since is None:
            worker.leaving_since = time.monotonic()
        worker.process.send_signal(sig)

    def _end(self) -> None:
        # Not SIGTERM: whoever ends all processes of a service sends it to the workers, too, and a second
        # one skips the draining, as SIGINT does.
        sig = signal.SIGINT if self.ending else signal.SIGUSR2
        self.ending = True
        self.listener.close()  # the workers close theirs when they have drained, and so the port
        for worker in self.workers:
            self._ask_to_leave(worker, sig)

    def _obey(self, sig: int) -> None:
        if sig == signal.SIGHUP:
            _log.info("replacing the workers")
            self._to_replace = [w for w in self.workers if w.leaving_since is None]
        else:
            _log.info("ending the workers")
            self._end()

    def _listen_to_signals(self) -> None:
        woken, waker = os.pipe()
        for end in (woken, waker):
            os.set_blocking(end, False)
        self._selector.register(woken, selectors.EVENT_READ, None)
        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(sig, lambda number, _: self._signals.append(number))
        signal.set_wakeup_fd(waker)


def _with_path(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for a worker, so that it imports from where this process does.

    Without the option -P, Python would look into the current folder first, which may be another
    project's, with a module `models` of its own.
    """
    given = None if sys.flags.ignore_environment else environment.get("PYTHONPATH")
    path = (str(Path(sys.path[0]).absolute()), given)
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def open_port(host: str, port: int) -> socket.socket:
    """A socket that listens on the first address of `host`. Raises OSError, also if the port is taken."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def run_group(
    listener: socket.socket,
    environment: Mapping[str, str],
    size: int,
    patience: float,
    on_up: Callable[[], object],
) -> int:
    """Serve with `size` workers until a signal; returns the exit status. Raises ProjectError. See Group."""
    if not hasattr(os, "posix_fallocate"):  # see `service.cells`; macOS has none
        raise SettingsError("SERVICE_WORKERS must be 1 on this system: several workers need Linux")
    try:
        shared = tempfile.TemporaryDirectory(prefix="service-metrics-")
    except OSError as error:
        raise SettingsError(
            f"several workers need a folder for their metrics: {error}; TMPDIR says where it is made"
        ) from None
    with shared as folder:
        environment = {**environment, "SERVICE_METRICS_FOLDER": folder}
        return Group(listener, environment, size, patience, on_up).run()

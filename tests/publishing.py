"""A process that publishes to a store and dies while it does, and what gives it orders in a test.

`python -m tests.publishing STORE` reads orders, a line of JSON each, and carries each one out in a child
that it forks (so that an order costs milliseconds), answering with a line of JSON: the child's status and
the version that was published, if one was. An order says how the child dies:

    {"seed": 1}                         not at all
    {"seed": 1, "after": 0.004}         by SIGKILL, so many seconds after it began
    {"seed": 1, "step": 7}              by SIGKILL at its seventh step: opening, syncing, renaming ...
    {"seed": 1, "torn": 500}            in the middle of a write: a file may have so many bytes
    {"seed": 1, "signal": 2, "after"..} by another signal
    {"seed": 1, "step": 7, "fault": 5}  not at all: its seventh step fails with this error of the system

    {"activate": "2026..."}             activates a version instead of publishing one

With "key" the bundles are signed with it.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.store import Store
from tests import tiny
from tests.process import ROOT

NAME = "admission"
"""The model that is published."""

KILLED, TORN = -9, -25
"""The status of a process that SIGKILL, or a write beyond its limit, has ended."""


class Publisher:
    """The side of the tests."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.publishing", str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, seed: int = 0, **order: Any) -> None:
        """Give an order."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"seed": seed, **order}) + "\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str]:
        """Wait for the order's end: the child's status, and the version or what went wrong."""
        assert self.process.stdout is not None
        answer = json.loads(self.process.stdout.readline())
        return answer["status"], answer["said"]

    def order(self, seed: int = 0, **order: Any) -> tuple[int, str]:
        """Give an order and wait for its end."""
        self.begin(seed, **order)
        return self.end()


@contextmanager
def publishing(folder: Path) -> Iterator[Publisher]:
    """A publisher that ends with the block."""
    publisher = Publisher(folder)
    try:
        yield publisher
    finally:
        publisher.process.communicate(timeout=60)


_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.listdir", "fcntl.flock"}
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def main(folder: Path) -> None:
    """Carry out orders until there are none."""
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
            _child(folder, order, writing)
        os.close(writing)
        if "after" in order:
            time.sleep(order["after"])
            os.kill(child, order.get("signal", signal.SIGKILL))
        _, status = os.waitpid(child, 0)
        with open(reading) as pipe:  # noqa: PTH123  # a descriptor
            said = pipe.read()
        answer = {"status": os.waitstatus_to_exitcode(status), "said": said}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _child(folder: Path, order: dict[str, Any], pipe: int) -> None:
    status = 1
    try:
        if "step" in order:
            _fail_at(order["step"], folder, order.get("fault"))
        if "torn" in order:
            # Python ignores it: an error would be raised
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["torn"],) * 2)
        version = _carry_out(Store(folder), order)
        os.write(pipe, version.encode())
        status = 0
    except KeyboardInterrupt:
        status = 130
    except BaseException as error:  # noqa: BLE001  # told to the parent
        os.write(pipe, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(status)


def _carry_out(store: Store, order: dict[str, Any]) -> str:
    key = order["key"].encode() if "key" in order else None
    if "activate" not in order:
        return store.publish(tiny.model(NAME, order["seed"]), {}, key)
    store.activate(NAME, order["activate"], key)
    return str(order["activate"])


def _fail_at(step: int, folder: Path, fault: int | None) -> None:
    """Let the `step`-th step (counted from 1) on a file of the store fail, or kill the process at it."""
    left = step
    sync = os.fsync

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0 and fault is not None:
            raise OSError(fault, os.strerror(fault))
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _EVENTS and (event == "fcntl.flock" or str(folder) in str(arguments[0])):
            count()

    def fsync(descriptor: int) -> None:
        count()
        sync(descriptor)
        count()

    replaced: Callable[[int], None] = fsync
    os.fsync = replaced  # type: ignore[assignment]
    sys.addaudithook(audit)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

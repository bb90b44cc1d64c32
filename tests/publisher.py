"""A process that publishes to a store, and dies while it does: `python -m tests.publisher STORE`.

It reads orders, a line of JSON each, and carries each one out in a child that it forks (so that an
order costs milliseconds), answering with a line of JSON: the child's status and the version that was
published, if one was. An order says how the child dies:

    {"seed": 1}                         not at all
    {"seed": 1, "after": 0.004}         by SIGKILL, so many seconds after it began
    {"seed": 1, "step": 7}              by SIGKILL at its seventh step: opening, syncing, renaming ...
    {"seed": 1, "torn": 500}            in the middle of a write: a file may have so many bytes
    {"seed": 1, "signal": 2, "after"..} by another signal
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.store import Store
from tests import tiny

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
            _die_at(order["step"], folder)
        if "torn" in order:
            signal.signal(
                signal.SIGXFSZ, signal.SIG_DFL
            )  # Python ignores it: an error would be raised
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["torn"],) * 2)
        version = Store(folder).publish(tiny.model("admission", order["seed"]), {})
        os.write(pipe, version.encode())
        status = 0
    except KeyboardInterrupt:
        status = 130
    except BaseException as error:  # noqa: BLE001  # told to the parent
        os.write(pipe, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(status)


def _die_at(step: int, folder: Path) -> None:
    """Kill this process before its `step`-th step (counted from 1) on a file of the store."""
    left = step
    sync = os.fsync

    def count() -> None:
        nonlocal left
        left -= 1
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

"""The service as a process of its own, started the way `make serve` does it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from models.store import Store
from models.tasks import TASKS
from tests import tiny

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
_READY = re.compile(r"ready on (http://[^\s\"]+)")


def fill(folder: Path, key: bytes | None = None) -> Path:
    """A store in `folder` with a tiny model of each task, signed with `key`."""
    for name in TASKS:
        Store(folder).publish(tiny.model(name), {"recipe": {"name": "tiny"}}, key)
    return folder


def environment(**settings: Any) -> dict[str, str]:
    """The environment of a service with these settings, on a free port, with plain log lines."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("SERVICE_")}
    chosen = {"port": 0, "drain_seconds": 0, "log_format": "json"} | settings
    return ours | {f"SERVICE_{name.upper()}": str(value) for name, value in chosen.items()}


@contextmanager
def launched(log: Path, **settings: Any) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A service that writes to the file `log`: its process and its URL. It is ended with the block."""
    with launched_by([sys.executable, "-m", "service"], log, settings) as service:
        yield service


@contextmanager
def launched_by(
    command: list[str], log: Path, settings: dict[str, Any]
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """As `launched`, by another command."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(**settings), stdout=output, stderr=output
        )
    try:
        while not (found := _READY.search(log.read_text(encoding="utf-8"))):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.05)
        yield process, found[1]
    finally:
        process.terminate()
        process.wait(timeout=60)


def workers_of(supervisor: int) -> list[int]:
    """The processes that a supervisor has started."""
    path = Path(f"/proc/{supervisor}/task/{supervisor}/children")
    return [int(pid) for pid in path.read_text(encoding="utf-8").split()]


def resident(pid: int) -> float:
    """The memory that a process really has, in MiB."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def lines(log: Path) -> list[dict[str, Any]]:
    """The lines of a log in JSON."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


@contextmanager
def running(**settings: Any) -> Iterator[str]:
    """The URL of a service that ends with the block."""
    with TemporaryDirectory() as folder, launched(Path(folder) / "log", **settings) as (_, url):
        yield url

"""Servers as processes of their own: start, pin, count their processor time and memory, stop."""

import http
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
READY = "/health/ready"
"""Of our service: 200 when it can answer."""
START_SECONDS = 60
UVICORN = ("-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--no-access-log")


@dataclass(frozen=True)
class Server:
    """A server that runs; started is the monotonic time of its start."""

    process: subprocess.Popen[bytes]
    port: int
    started: float

    def pids(self) -> list[int]:
        """The processes of the tree."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        return found

    def cpu(self) -> float:
        """Seconds of processor time that the tree has used, all threads, to the nanosecond."""
        return sum(
            int((task / "schedstat").read_text().split()[0]) * 1e-9
            for pid in self.pids()
            for task in Path(f"/proc/{pid}/task").iterdir()
        )

    def memory(self) -> tuple[float, float]:
        """Megabytes (10^6) of the largest process: resident now, and at its peak."""
        sizes = [_sizes(pid) for pid in self.pids()]
        return max(now for now, _ in sizes), max(peak for _, peak in sizes)

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def wait(self, path: str) -> float:
        """Wait for an answer 200 to GET `path`; seconds since the start."""
        while time.monotonic() - self.started < START_SECONDS:
            try:
                if self.get(path)[0] == http.HTTPStatus.OK:
                    return time.monotonic() - self.started
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.002)
        raise SystemExit(f"the server on port {self.port} does not come up")


def _sizes(pid: int) -> tuple[float, float]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kilobytes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return int(kilobytes["VmRSS"]) * 1.024e-3, int(kilobytes["VmHWM"]) * 1.024e-3


@contextmanager
def running(
    command: Sequence[str],
    ready: str,
    cpus: str | None = "0",
    python: str = sys.executable,
) -> Iterator[Server]:
    """A Python server on a free port while the block runs; {port} in `command` is replaced.

    cpus : the cores that it may use; None for all.
    ready : a path that answers 200 when it is up.
    python : the interpreter, whose environment it uses.
    """
    port = _free_port()
    pin = ["taskset", "-c", cpus] if cpus else []
    arguments = [part.format(port=port) for part in command]
    process = subprocess.Popen(
        [*pin, python, *arguments],
        cwd=ROOT,
        env=_environment(),
        stdout=subprocess.DEVNULL,
    )
    server = Server(process, port, time.monotonic())
    try:
        server.wait(ready)
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def as_shipped(folder: Path) -> str:
    """A new environment in `folder` with the packages of the image and no other; its interpreter.

    That of a developer has packages which some libraries import wherever they find them.
    """
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    subprocess.run([python, *install, "-r", str(ROOT / "requirements" / "serve.txt")], check=True)
    return python


def ours(store: Path, workers: int = 1) -> list[str]:
    """The command of our service."""
    command = ["-m", "service", "--port", "{port}", "--store", str(store)]
    return [*command, "--workers", str(workers), "--log-format", "json", "--drain-seconds", "0"]


def reference(name: str) -> list[str]:
    """The command of a server of `bench.serving.references`."""
    return [
        *UVICORN,
        "--port",
        "{port}",
        "--log-level",
        "error",
        f"bench.serving.references:{name}",
    ]


def _environment() -> dict[str, str]:
    """Of a server: one thread for products, and bytecode kept, as where it is installed."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "OPENBLAS_NUM_THREADS": "1"}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port

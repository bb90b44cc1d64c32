"""The load: wrk with one body, pinned to its own core."""

import json
import os
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.serving.servers import Server

SCRIPT = Path(__file__).with_name("post.lua")


@dataclass(frozen=True)
class Request:
    """What is sent again and again.

    connections : so many are open, each with one request at a time.
    refused : whether answers other than 2xx are wanted.
    """

    path: str
    body: Path
    content_type: str = "application/json"
    accept: str = "*/*"
    connections: int = 8
    refused: bool = False


@dataclass(frozen=True)
class Run:
    """What came of it: requests a second, processor microseconds a request, milliseconds.

    cpu : of the server; load : of wrk. idle, others : of the time of all cores, what nobody used and what
    other work took.
    """

    requests: int
    rate: float
    cpu: float
    load: float
    p50: float
    p99: float
    idle: float
    others: float


def run(server: Server, request: Request, seconds: int, cpus: str | None = "1") -> Run:
    """Send the request for some seconds. Exits when an answer is not 2xx, unless that is wanted."""
    pin = ["taskset", "-c", cpus] if cpus else []
    url = f"http://127.0.0.1:{server.port}{request.path}"
    command = ["wrk", "-t1", f"-c{request.connections}", f"-d{seconds}s", "--timeout", "30s"]
    environment = {
        "BODY": str(request.body),
        "TYPE": request.content_type,
        "ACCEPT": request.accept,
    }
    before, of_load, cores = server.cpu(), _cpu_of_children(), _cores()
    answer = subprocess.run(
        [*pin, *command, "-s", str(SCRIPT), url],
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
        text=True,
    )
    spent, of_load = server.cpu() - before, _cpu_of_children() - of_load
    total, idle = (now - then for now, then in zip(_cores(), cores, strict=True))
    found = json.loads(answer.stdout.splitlines()[-1])
    if found["failed"] and not request.refused:
        raise SystemExit(f"{url}: {found['failed']} of {found['requests']} requests failed")
    requests = found["requests"]
    rate = requests / found["seconds"]
    times = (1e6 * seconds / requests for seconds in (spent, of_load))
    others = max(0.0, total - idle - spent - of_load)
    shares = (idle / total, others / total)
    return Run(requests, rate, *times, found["p50_ms"], found["p99_ms"], *shares)


def _cores() -> tuple[float, float]:
    """Seconds of all cores so far, and those that they were idle; what the host took is not idle."""
    ticks = [int(tick) for tick in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    hertz = os.sysconf("SC_CLK_TCK")
    return sum(ticks) / hertz, sum(ticks[3:5]) / hertz


def _cpu_of_children() -> float:
    """Processor seconds of the processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

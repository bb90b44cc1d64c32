"""Our server beside the references: processor time a request, and what an operator plans with.

python -m bench.serving.run [--rounds N] [--seconds S]

Every server runs pinned to core 0, wrk on core 1; the cases take turns, many short ones, and the medians
of the rounds are kept. Needs wrk (Debian: apt-get install wrk) and two cores. Writes results.json, from
which `bench.serving.table` makes RESULTS.md.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from bench.serving import bodies, table, workers
from bench.serving.load import Request, Run, run
from bench.serving.servers import READY, ROOT, as_shipped, ours, reference, running

RESULTS = Path(__file__).with_name("results.json")
LIBRARIES = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "pydantic", "numpy")


@dataclass(frozen=True)
class Case:
    """A request to a server, under the name of its line in the table."""

    name: str
    server: str
    request: Request


def cases(folder: Path) -> list[Case]:
    """Every request whose cost is compared."""
    row, batch = "/predict/bikes", "/predict/bikes/batch"
    instances = Request(batch, folder / "instances.json", connections=2)
    rows = Request(batch, folder / "rows.csv", "text/csv", "text/csv", 2)
    explain = Request(f"{row}?explain=true", folder / "bikes.json", connections=2)
    return [
        Case("asgi", "asgi", Request(row, folder / "bikes.json")),
        Case("fastapi", "fastapi", Request(row, folder / "bikes.json")),
        Case("fastapi_typed", "fastapi", Request("/typed", folder / "bikes.json")),
        Case("bikes", "ours", Request(row, folder / "bikes.json")),
        Case("bikes_different", "ours", Request(row, folder / "different.jsonl")),
        Case("admission", "ours", Request("/predict/admission", folder / "admission.json")),
        Case("refused", "full", Request(row, folder / "bikes.json", connections=32, refused=True)),
        Case("fastapi_batch", "fastapi", instances),
        Case("instances", "ours", instances),
        Case("inputs", "ours", Request(batch, folder / "inputs.json", connections=2)),
        Case("csv", "ours", rows),
        Case("explain", "ours", explain),
    ]


def main() -> None:
    """Measure everything and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=1)
    options = parser.parse_args()
    inside = [sys.executable, "-m", "bench.serving.inside"]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bodies.write(folder, 1000)
        found: dict[str, Any] = {"machine": machine(), "options": vars(options)}
        found["load_before"] = os.getloadavg()[0]
        shipped = as_shipped(folder / "venv")
        found |= compared(folder, options.rounds, options.seconds, shipped)
        found["starts"] = starts(folder, shipped)
        found["workers"] = workers.measure(folder)
    answer = subprocess.run(inside, check=True, capture_output=True, env=environment, cwd=ROOT)
    found["inside"] = json.loads(answer.stdout)
    found["load_after"] = os.getloadavg()[0]
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    table.main()


def compared(folder: Path, rounds: int, seconds: int, shipped: str) -> dict[str, Any]:
    """The medians of each case, and the memory of our server after all of them.

    shipped : the interpreter of all servers, see `as_shipped`.
    """
    every = cases(folder)
    runs: dict[str, list[Run]] = {case.name: [] for case in every}
    full = [*ours(folder / "store"), "--row-places", "1"]
    with ExitStack() as stack:
        commands = {
            "asgi": (reference("asgi"), "/"),
            "fastapi": (reference("fastapi"), "/openapi.json"),
            "ours": (ours(folder / "store"), READY),
            "full": (full, READY),
        }
        servers = {
            name: stack.enter_context(running(*command, python=shipped))
            for name, command in commands.items()
        }
        fresh, _ = servers["ours"].memory()
        for number in range(rounds + 1):  # the first one warms up
            for case in every:
                result = run(servers[case.server], case.request, seconds if number else 1)
                if number:
                    runs[case.name].append(result)
        now, peak = servers["ours"].memory()
    return {
        "cases": {name: _medians(of_case) for name, of_case in runs.items()},
        "memory": {"fresh": fresh, "after": now, "peak": peak},
    }


def _medians(runs: list[Run]) -> dict[str, float]:
    return {
        key: median(getattr(result, key) for result in runs)
        for key in ("cpu", "rate", "p50", "p99")
    }


def starts(folder: Path, shipped: str) -> dict[str, float]:
    """Seconds from the start of our process to its first ready answer, and its processor seconds."""
    took, spent = [], []
    for _ in range(5):
        with running(ours(folder / "store"), READY, python=shipped) as server:
            took.append(server.wait(READY))
            spent.append(server.cpu())
    return {"seconds": median(took), "cpu": median(spent)}


def machine() -> dict[str, Any]:
    """What it was measured on."""
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
    }


if __name__ == "__main__":
    main()

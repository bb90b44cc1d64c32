"""One worker and two on two cores that they share with wrk.

python -m bench.serving.workers [--rounds N] [--seconds S]

Nothing is pinned. One worker and two take turns with the same load, for twice as many rounds as were
asked for; those count in which other work took least of the cores. Writes its part of results.json,
and RESULTS.md.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.serving import bodies, table
from bench.serving.load import Request, Run, run
from bench.serving.servers import READY, Server, ours, reference, running

CONNECTIONS = 64
"""Of wrk, for small requests. With few, a worker runs out of them whenever wrk waits for a core."""
BATCH = 1000
LOOP = "import time; sum(i % 7 for i in range(4_000_000)); print(time.process_time())"


@dataclass(frozen=True)
class Line:
    """A line of the table: what is sent, and how many rows of which model it has."""

    name: str
    request: Request
    model: str
    rows: int = 1


def lines(folder: Path) -> list[Line]:
    """What an operator's clients send."""
    row, few = "/predict/bikes", 4  # so many batches one worker takes on at once
    bikes = folder / "bikes.json"
    return [
        Line("bikes", Request(row, bikes, connections=CONNECTIONS), "bikes"),
        Line(
            "admission",
            Request("/predict/admission", folder / "admission.json", connections=CONNECTIONS),
            "admission",
        ),
        Line(
            "instances",
            Request(f"{row}/batch", folder / "instances.json", connections=few),
            "bikes",
            BATCH,
        ),
        Line("explain", Request(f"{row}?explain=true", bikes, connections=few), "bikes"),
    ]


def main() -> None:
    """Measure, and write this part of the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bodies.write(folder, BATCH)
        found = measure(folder, options.rounds, options.seconds)
    path = table.FOLDER / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"workers": found}, indent=2) + "\n")
    table.main()


def measure(folder: Path, rounds: int = 12, seconds: int = 1) -> dict[str, Any]:
    """All lines of ours, and bare ASGI under uvicorn's own workers."""
    found: dict[str, Any] = {"load_before": os.getloadavg()[0], "both": both_cores()}
    sizes = [ours(folder / "store", size) for size in (1, 2)]
    with running(sizes[0], READY, cpus=None) as one, running(sizes[1], READY, cpus=None) as two:
        for line in lines(folder):
            before = _count(two, line.model)
            found[line.name] = _scaled(line.request, (one, two), rounds, seconds)
            counted = (_count(two, line.model) - before) / line.rows
            found[line.name]["counted"] = counted
    bare = [reference("asgi"), [*reference("asgi"), "--workers", "2"]]
    with running(bare[0], "/", cpus=None) as one, running(bare[1], "/", cpus=None) as two:
        request = lines(folder)[0].request
        found["asgi"] = _scaled(request, (one, two), rounds, seconds)
    return found | {"load_after": os.getloadavg()[0]}


def both_cores(rounds: int = 7) -> float:
    """How many times as much as one core alone two do together: a loop of Python, in turns.

    2 where they share nothing. Two threads of one physical core, or a host that others use, give less,
    and two workers then have less than two cores.
    """
    ratios = []
    for _ in range(rounds):
        alone = [rate for core in (0, 1) for rate in _loops([core])]
        ratios.append(2.0 * sum(_loops([0, 1])) / sum(alone))
    return median(ratios)


def _loops(cores: Sequence[int]) -> list[float]:
    """Loops a second of processor time, of a process on each of these cores at once."""
    command = ["taskset", "-c"]
    processes = [
        subprocess.Popen([*command, str(core), sys.executable, "-c", LOOP], stdout=subprocess.PIPE)
        for core in cores
    ]
    return [1.0 / float(process.communicate()[0]) for process in processes]


def _scaled(
    request: Request, servers: tuple[Server, Server], rounds: int, seconds: int
) -> dict[str, float]:
    """Rates of one worker and of two in turns.

    bound : what two can be at most, the processor time of wrk being taken from the same two cores.
    cpu, load : microseconds a request in the server and in wrk; cpu_two, load_two : with two workers.
    cores : how many the one worker used, all its threads.
    idle, others : of both cores' time with two workers, what nobody used and what other work took.
    """
    pairs: list[tuple[Run, Run]] = []
    sent = 0
    for number in range(2 * rounds + 1):  # the first one warms up
        one, two = (run(server, request, seconds if number else 1, None) for server in servers)
        sent += two.requests
        if number:
            pairs.append((one, two))
    pairs.sort(key=lambda pair: max(single.others for single in pair))
    return _of(pairs[:rounds]) | {"sent": float(sent), "connections": request.connections}


def _of(pairs: Sequence[tuple[Run, Run]]) -> dict[str, float]:
    ratios = [two.rate / one.rate for one, two in pairs]
    of_one, of_two = (
        {name: median(getattr(single, name) for single in runs) for name in vars(runs[0])}
        for runs in zip(*pairs, strict=True)
    )
    cpu, load = of_one["cpu"], of_one["load"]
    return {
        "one": of_one["rate"],
        "two": of_two["rate"],
        "ratio": median(ratios),
        "best_ratio": max(ratios),
        "bound": 2.0 * cpu / (cpu + load),
        "cpu": cpu,
        "load": load,
        "cores": of_one["rate"] * cpu * 1e-6,
        "cpu_two": of_two["cpu"],
        "load_two": of_two["load"],
        "idle": of_two["idle"],
        "others": of_two["others"],
    }


def _count(server: Server, model: str) -> float:
    """The rows of a model that all workers say they have answered."""
    _, text = server.get("/metrics")
    found = re.findall(rf'model_predictions_total\{{model="{model}"[^}}]*\}} (\d+)', text.decode())
    return float(sum(map(int, found)))


if __name__ == "__main__":
    main()

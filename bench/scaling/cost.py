"""What a request costs the processes that answer it: processor time, and bytes on the wire.

    python bench/scaling/cost.py PORT PID [PID ...]

PORT is where requests go; the PIDs are the processes whose time is counted (workers of the service, a
proxy before them). Several clients ask as fast as they are answered, each on one connection.
"""

import argparse
import http.client
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

SECONDS = 5.0
ROW = {
    "timestamp": "2012-06-01T17:00:00",
    "temperature": 27.0,
    "humidity": 55.0,
    "wind_speed": 12.0,
    "weather": "clear",
}
ROWS = 10_000
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "bikes, a row": ("/predict/bikes", ROW, 4),
    "admission, a row": ("/predict/admission", {"gre": 700, "gpa": 3.7, "rank": 2}, 4),
    "bikes, 10,000 rows": ("/predict/bikes/batch", {"instances": [ROW] * ROWS}, 1),
    "bikes, 10,000 rows by column": (
        "/predict/bikes/batch",
        {"inputs": {name: [value] * ROWS for name, value in ROW.items()}},
        1,
    ),
}


class Load:
    """Clients that ask for some seconds."""

    def __init__(self, port: int, path: str, body: dict[str, Any], clients: int) -> None:
        self.answers, self.sent, self.received = 0, 0, 0
        self._port, self._path, self._body = port, path, json.dumps(body)
        self._lock = threading.Lock()
        threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", self._path, self._body, headers)
            reply = connection.getresponse()
            content = reply.read()
            if reply.status != http.HTTPStatus.OK:
                raise SystemExit(f"{self._path}: {reply.status} {content[:200]!r}")
            lines = sum(len(name) + len(value) + 4 for name, value in reply.getheaders())
            with self._lock:
                self.answers += 1
                self.sent, self.received = len(self._body), lines + len(content)
        connection.close()


def processor(pid: int) -> float:
    """Seconds of processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """The most memory that a process has had, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def main() -> None:
    """Measure each case and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("pids", type=int, nargs="+")
    asked = parser.parse_args()
    for name, (path, body, clients) in CASES.items():
        before = [processor(pid) for pid in asked.pids]
        load = Load(asked.port, path, body, clients)
        spent = [processor(p) - b for p, b in zip(asked.pids, before, strict=True)]
        each = ", ".join(f"{1e6 * seconds / load.answers:,.0f}" for seconds in spent)
        print(
            f"{name}: {load.answers / SECONDS:,.0f} requests/s; microseconds of each process a "
            f"request: {each}; {load.sent:,} bytes of body in, {load.received:,} bytes out"
        )
    print("most memory, MiB:", *(memory(pid) for pid in asked.pids))


if __name__ == "__main__":
    main()

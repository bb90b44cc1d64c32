"""How `train score` grows with files and processes, and what a billion rows cost by that.

    python bench/scoring/growth.py [--rows 4000000]

Each line is the command itself, from its start to its end, on files of so many rows of bikes (each of
several parts). What a row takes is the slope from the fewest files to the most: starting, which costs the
imports of a process for every process, is told apart. Run it on a machine that does nothing else.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pyarrow.parquet as pq
from rate import bikes

FILES = (1, 2, 4)
PROCESSES = (1, 2)
REPEATS = 3
BILLION = 1e9


@dataclass(frozen=True)
class Took:
    """Seconds: by the clock, and of all processors together."""

    wall: float
    cpu: float


def main() -> None:
    """Measure every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    n_rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        files = _write(Path(name), n_rows)
        for jobs in PROCESSES:
            took = {n: _best(files[:n], jobs) for n in FILES}
            for n, t in took.items():
                print(f"{jobs} processes, {n} files: {t.wall:.2f} s, processors {t.cpu:.2f} s")
            fewest, most = took[min(FILES)], took[max(FILES)]
            rows = (max(FILES) - min(FILES)) * n_rows
            rate, cpu = rows / (most.wall - fewest.wall), (most.cpu - fewest.cpu) / rows
            start = fewest.wall - min(FILES) * n_rows / rate
            print(
                f"  a row {1e6 * cpu:.3f} us, {rate:,.0f} rows/s, starting {start:.1f} s", end="; "
            )
            print(f"a billion rows {BILLION * cpu / 3600:.2f} core-hours", flush=True)


def _write(folder: Path, n_rows: int) -> list[str]:
    """The names of as many files as are asked for, of the same rows: names of one file."""
    paths = [folder / f"{i}.parquet" for i in range(max(FILES))]
    pq.write_table(bikes(n_rows, np.random.default_rng(0)), paths[0], row_group_size=250_000)
    for path in paths[1:]:
        os.link(paths[0], path)
    return [str(path) for path in paths]


def _best(files: list[str], jobs: int) -> Took:
    found = [_run(files, jobs) for _ in range(REPEATS)]
    return Took(min(took.wall for took in found), min(took.cpu for took in found))


def _run(files: list[str], jobs: int) -> Took:
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "training", "score", "bikes", *files, "--out", out]
        started, before = time.perf_counter(), _of_children()
        subprocess.run(
            [*command, "--jobs", str(jobs), "--store", f"{out}/none"],
            check=True,
            capture_output=True,
        )
        return Took(time.perf_counter() - started, _of_children() - before)


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()

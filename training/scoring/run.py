"""One scoring: what was asked, its parts, its progress, and how an interrupted one goes on."""

import csv
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import models
from models import bundle, files
from models.errors import BundleError, DataError
from models.store import Store
from models.tasks import TASKS
from training import cluster
from training.scoring import parts, write
from training.scoring.parts import Part
from training.scoring.write import Done, Job

ARTIFACTS = Path(models.__file__).with_name("artifacts")
RECORD, REJECTED = "scoring.json", "rejected.csv"
SECONDS_BETWEEN_LINES = 10.0

_progress = Console(stderr=True, highlight=False, markup=False)


@dataclass(frozen=True)
class Request:
    """What is asked for. version : None for the active one; suffix : .parquet or .csv, of the output."""

    model: str
    inputs: tuple[Path, ...]
    out: Path
    store: Path
    version: str | None
    level: float
    suffix: str
    jobs: int = 1
    dask: str | None = None


def run(request: Request) -> str:
    """Score all files, or those parts of them that are not done; what came of it, in a line.

    Raises DataError for files that cannot be scored, and for a folder that is another scoring's.
    """
    version, content = _bundle(request)
    found = parts.find(request.inputs)
    job = Job(content, request.level, request.suffix, request.out.absolute())
    record = _record(request, version, found)
    task = TASKS[request.model]
    planned = [p for name, path in found.items() for p in parts.plan(task, name, path.absolute())]
    _claim(request.out, record)
    counted = _score_all(job, planned, request)
    _gather_rejected(job, planned)
    total = {"rows": counted.rows, "rejected": counted.rejected}
    files.replace_file(request.out / RECORD, _json(record | {"done": total}))
    of_files = "1 file" if len(found) == 1 else f"{len(found)} files"
    where = f", see {request.out / REJECTED}" if counted.rejected else ""
    return (
        f"{request.model} {version}: {counted.rows:,} rows of {of_files} in {request.out}, "
        f"{counted.rejected:,} of them rejected{where}"
    )


def _bundle(request: Request) -> tuple[str, dict[str, bytes]]:
    """The version and the bytes of the model: of the store, else of the one that the code carries."""
    version = request.version or Store(request.store).current(request.model)
    folder = ARTIFACTS if version is None else request.store
    content = bundle.read(folder / request.model / (version or ""))
    loaded = bundle.unpack(content)
    if loaded.model.task.name != request.model:
        raise BundleError(f"{folder / request.model}: holds a model of {loaded.model.task.name}")
    return loaded.version, content


def _record(request: Request, version: str, found: dict[str, Path]) -> dict[str, Any]:
    """What is asked for: a scoring that goes on must have been asked for the same."""
    stats = {name: path.stat() for name, path in found.items()}
    return {
        "model": request.model,
        "version": version,
        "level": request.level,
        "format": request.suffix,
        "part": [parts.PART_ROWS, parts.PART_BYTES],
        "files": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()},
    }


def _claim(out: Path, record: dict[str, Any]) -> None:
    """Begin in a new folder, or go on in one that was begun with the same request."""
    path = out / RECORD
    if not path.exists():
        if out.exists() and any(out.iterdir()):
            raise DataError(f"{out}: is not empty and no scoring has begun there")
        out.mkdir(parents=True, exist_ok=True)
        files.replace_file(path, _json(record))
        return
    begun = json.loads(path.read_text(encoding="utf-8"))
    for key, value in record.items():
        if begun.get(key) != value:
            raise DataError(
                f"{out}: was begun with another {key}; choose another --out, or remove it to begin anew"
            )


def _json(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, indent=2) + "\n").encode()


def _score_all(job: Job, planned: Sequence[Part], request: Request) -> Done:
    """Score the parts that are not done yet; what came of all of them."""
    known = {part: write.done(job, part) for part in planned}
    left = [part for part, result in known.items() if result is None]
    results = [result for result in known.values() if result is not None]
    with _watch(sum(part.rows for part in planned)) as progress:
        progress.start(sum(result.rows for result in results))
        tasks = ((job, part) for part in left)
        for result in cluster.map_unordered(write.score, tasks, request.jobs, request.dask):
            results.append(result)
            progress.advance(result.rows)
    return Done(sum(r.rows for r in results), sum(r.rejected for r in results))


def _gather_rejected(job: Job, planned: Sequence[Part]) -> None:
    """All rejected rows in one file, in the order of the files and their rows."""
    path = job.out / REJECTED
    temporary = files.neighbour(path)
    with temporary.open("w", newline="", encoding="utf-8") as gathered:
        csv.writer(gathered).writerow(write.REJECTED_HEADER)
        for part in planned:
            side = write.rejected_path(job, part)
            if side.exists():
                with side.open(newline="", encoding="utf-8") as rows:
                    gathered.writelines(rows)
    temporary.replace(path)


@dataclass
class _Rows:
    """How far a scoring is, said in plain lines."""

    total: int
    before: int = 0
    scored: int = 0
    began: float = field(default_factory=time.monotonic)
    said: float = 0.0

    def start(self, before: int) -> None:
        """So many rows were there already."""
        self.before = before
        if before:
            _progress.print(f"goes on: {before:,} of {self.total:,} rows are there", soft_wrap=True)

    def advance(self, rows: int) -> None:
        """So many rows more."""
        self.scored += rows
        now = time.monotonic()
        if now - self.said >= SECONDS_BETWEEN_LINES or self.before + self.scored == self.total:
            self.said = now
            self.say()

    def rate(self) -> float:
        """Rows a second since the start."""
        return self.scored / max(time.monotonic() - self.began, 1e-9)

    def say(self) -> None:
        """A line with what is done, how fast, and what is left."""
        left = self.total - self.before - self.scored
        _progress.print(
            f"{self.before + self.scored:,} of {self.total:,} rows, {self.rate():,.0f} rows/s, "
            f"{left / max(self.rate(), 1e-9):.0f} s left",
            soft_wrap=True,
        )


@dataclass
class _Bar(_Rows):
    """The same as a bar in a terminal."""

    progress: Progress | None = None

    def say(self) -> None:
        """Move the bar."""
        if self.progress is not None:
            done = self.before + self.scored
            self.progress.update(
                self.progress.task_ids[0], completed=done, rate=f"{self.rate():,.0f} rows/s"
            )


@contextmanager
def _watch(total: int) -> Iterator[_Rows]:
    if not _progress.is_terminal:
        yield _Rows(total)
        return
    columns = (
        BarColumn(bar_width=40),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_progress) as progress:
        progress.add_task("rows", total=total, rate="")
        yield _Bar(total, progress=progress)

"""One scoring: what was asked, its parts, its progress, and how an interrupted one goes on."""

import csv
import json
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import bundle, files
from models.errors import DataError
from models.store import Store
from models.tasks import TASKS
from training import cluster
from training.counter import counting
from training.scoring import parts, write
from training.scoring.parts import REJECTED, Part
from training.scoring.write import Done, Job

RECORD = "scoring.json"


@dataclass(frozen=True)
class Request:
    """What is asked for.

    version : None for the active one. suffix : .parquet or .csv, of the output.
    key : a bundle of the store must be signed with it; the carried one is trusted as the code is.
    """

    model: str
    inputs: tuple[Path, ...]
    out: Path
    store: Path
    version: str | None
    level: float
    suffix: str
    jobs: int = 1
    dask: str | None = None
    key: bytes | None = None


def run(request: Request) -> str:
    """Score the parts of all files that are not done yet; returns a summary in one line.

    Raises DataError for files that cannot be scored or change meanwhile, and for a folder that is another
    scoring's.
    """
    began = time.time()
    version, content, source = _bundle(request)
    found = parts.find(request.inputs, request.out)
    job = Job(content, request.level, request.suffix, request.out.absolute())
    record = _record(request, version, found)
    task = TASKS[request.model]
    planned = [p for name, path in found.items() for p in parts.plan(task, name, path.absolute())]
    _claim(request.out, record)
    counted = _score_all(job, planned, request)
    _gather_rejected(job, planned)
    for name, stats in _stats(found).items():
        if stats != record["files"][name]:
            raise DataError(
                f"{found[name]}: has changed while it was scored; remove {request.out} to begin anew"
            )
    total = {"rows": counted.rows, "rejected": counted.rejected}
    files.replace_file(request.out / RECORD, _json(record | {"done": total}))
    _remove_leftovers(request.out, found, began)
    of_files = "1 file" if len(found) == 1 else f"{len(found)} files"
    where = f", see {request.out / REJECTED}" if counted.rejected else ""
    return (
        f"{request.model} {version} {source}: {counted.rows:,} rows of {of_files} in {request.out}, "
        f"{counted.rejected:,} of them rejected{where}"
    )


def _bundle(request: Request) -> tuple[str, dict[str, bytes], str]:
    """The version and the bytes of the model, and in words where it is from: the store or the code."""
    store, version = Store(request.store), request.version
    version = store.current(request.model) if version is None else version
    if version is not None:
        content = store.read(request.model, version, request.key)
        return version, content, f"of {request.store}"
    content = bundle.read(bundle.ARTIFACTS / request.model)
    words = f"that comes with the code, as {request.store} has none"
    return bundle.unpack(content).version, content, words


def _record(request: Request, version: str, found: dict[str, Path]) -> dict[str, Any]:
    """What identifies a scoring: one that goes on must have the same."""
    return {
        "model": request.model,
        "version": version,
        "level": request.level,
        "format": request.suffix,
        "schema": write.schema_of(TASKS[request.model]).names,
        "part": [parts.PART_ROWS, parts.PART_BYTES],
        "files": _stats(found),
    }


def _stats(found: dict[str, Path]) -> dict[str, list[int]]:
    """By which a file that was changed is recognised."""
    stats = {name: path.stat() for name, path in found.items()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _claim(out: Path, record: dict[str, Any]) -> None:
    """Begin in a new folder, or go on in one that was begun with the same request."""
    path = out / RECORD
    if not path.exists():
        inside = out.iterdir() if out.exists() else ()
        if any(not entry.name.startswith(files.TEMPORARY) for entry in inside):
            raise DataError(f"{out}: is not empty and no scoring has begun there")
        out.mkdir(parents=True, exist_ok=True)
        files.replace_file(path, _json(record))
        return
    try:
        begun = dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError):
        raise DataError(f"{path}: is damaged; remove {out} to begin anew") from None
    for key, value in record.items():
        if begun.get(key) != value:
            other = "other files, or they have changed" if key == "files" else f"another {key}"
            raise DataError(
                f"{out}: was begun with {other}; choose another --out, or remove it to begin anew"
            )


def _json(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, indent=2) + "\n").encode()


def _score_all(job: Job, planned: Sequence[Part], request: Request) -> Done:
    """Score the parts that are not done yet; what came of all of them."""
    known = {part: write.done(job, part) for part in planned}
    left = [part for part, result in known.items() if result is None]
    results = [result for result in known.values() if result is not None]
    before = sum(result.rows for result in results)
    with counting("rows", sum(part.rows for part in planned), before) as counter:
        tasks = ((job, part) for part in left)
        for result in cluster.map_unordered(write.score, tasks, request.jobs, request.dask):
            results.append(result)
            counter.advance(result.rows)
    return Done(sum(r.rows for r in results), sum(r.rejected for r in results))


def _gather_rejected(job: Job, planned: Sequence[Part]) -> None:
    """All rejected rows in one file, in the order of the files and their rows."""
    with (
        files.in_place(job.out / REJECTED) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as gathered,
    ):
        csv.writer(gathered).writerow(write.REJECTED_HEADER)
        for part in planned:
            side = write.rejected_path(job, part)
            if side.exists():
                with side.open(newline="", encoding="utf-8") as rows:
                    gathered.writelines(rows)


def _remove_leftovers(out: Path, names: Iterable[str], before: float) -> None:
    """Remove what killed scorings have left, at the end: no part needs it any more.

    What has been written to since the time `before` may be another scoring's, which is at work.
    """
    for folder in (out, *(out / name for name in names)):
        for leftover in folder.glob(f"{files.TEMPORARY}*"):
            with suppress(FileNotFoundError):  # it has got its name
                if leftover.stat().st_mtime < before:
                    leftover.unlink()

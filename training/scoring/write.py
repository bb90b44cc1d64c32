"""Scoring one part: read, check, predict, write. What a worker does, on whatever machine.

In the output folder a part is `<file>/part-00000.parquet` (or .csv), next to its rejected rows and its
counts. Each of these files is written atomically, and the counts last: they mark the part as done.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from models import bundle, files
from models.arrays import Columns, FloatArray, IntArray
from models.bundle import Bundle
from models.model import Model
from models.task import Task
from training.scoring import columns, parts
from training.scoring.parts import Part

SLICE_ROWS = 2048
"""Rows predicted at once: enough to amortise the calls, few enough for the processor's cache."""
REJECTED_HEADER = ("file", "row", "reason", "values")


@dataclass(frozen=True)
class Job:
    """What is done with every part.

    content : the bytes of the model's bundle, which a worker on another machine may not have.
    suffix : .parquet or .csv, the format of the output.
    """

    content: Mapping[str, bytes]
    level: float
    suffix: str
    out: Path


@dataclass(frozen=True)
class Done:
    """The counts of a part: rows written, and how many of them were rejected."""

    rows: int
    rejected: int


class _Writer(Protocol):
    def write_batch(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


def done(job: Job, part: Part) -> Done | None:
    """The counts of a part, or None if it is not done yet, or what says so is damaged."""
    try:
        return Done(**json.loads(_path(job, part, "_done", ".json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def rejected_path(job: Job, part: Part) -> Path:
    """The file of a part's rejected rows, which exists if there are any."""
    return _path(job, part, "_rejected", ".csv")


def score(job: Job, part: Part) -> Done:
    """Score a part; safe to repeat.

    Raises DataError when it cannot be read, and OSError when its output cannot be written.
    """
    loaded = _loaded(job.content[bundle.MANIFEST], job.content[bundle.WEIGHTS])
    task = loaded.model.task
    count, bad = 0, 0
    target = _path(job, part, "part", job.suffix)
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        files.in_place(rejected_path(job, part)) as side,
        files.in_place(target) as temporary,
        side.open("w", newline="", encoding="utf-8") as side_file,
        writing(temporary, schema_of(task), job.suffix) as writer,
    ):
        faults = csv.writer(side_file)
        for batch, unreadable in parts.read(task, part):
            checked = columns.check(task, batch, unreadable)
            first = part.first + count
            for i, reason in checked.reasons.items():
                values = {n: columns.python_value(batch[n][i]) for n in batch.schema.names}
                told = json.dumps(values, default=str)
                faults.writerow((part.path, first + i, reason, told))
            writer.write_batch(_answers(loaded, job, checked, first))
            count, bad = count + batch.num_rows, bad + len(checked.reasons)
    if not bad:
        rejected_path(job, part).unlink(missing_ok=True)  # a repetition may have been quicker
    result = Done(count, bad)
    files.replace_file(_path(job, part, "_done", ".json"), json.dumps(asdict(result)).encode())
    return result


@lru_cache(maxsize=2)
def _loaded(manifest: bytes, weights: bytes) -> Bundle:
    return bundle.unpack({bundle.MANIFEST: manifest, bundle.WEIGHTS: weights})


def _path(job: Job, part: Part, kind: str, suffix: str) -> Path:
    return job.out / part.name / f"{kind}-{part.number:05d}{suffix}"


@contextmanager
def writing(path: Path, schema: pa.Schema, suffix: str) -> Iterator[_Writer]:
    """A writer of batches to `path`, closed at the end."""
    writer: Any
    if suffix == ".csv":
        writer = pa_csv.CSVWriter(path, schema)
    else:
        encoding = {"row": "DELTA_BINARY_PACKED"}
        repeated: Any = ["warnings"]
        writer = pq.ParquetWriter(path, schema, use_dictionary=repeated, column_encoding=encoding)
    with writer:
        yield writer


def schema_of(task: Task) -> pa.Schema:
    """The columns of what is written for a row."""
    kinds = [(n, pa.bool_() if n == task.decision else pa.float64()) for n in task.answer_names]
    return pa.schema([("row", pa.int64()), *kinds, ("warnings", pa.string())])


def _answers(loaded: Bundle, job: Job, checked: columns.Checked, first: int) -> pa.RecordBatch:
    """A row for every row; what has no answer is null."""
    n_rows, model = len(checked.good), loaded.model
    found = _predict(model, checked.columns, job.level)
    all_rows = np.full((n_rows, 3), np.nan)
    all_rows[checked.good] = found
    value, low, high = (pa.array(column, mask=~checked.good) for column in all_rows.T)
    arrays = [pa.array(np.arange(first, first + n_rows)), value, low, high]
    if model.threshold is not None:
        arrays.insert(2, pa.array(all_rows[:, 0] >= model.threshold, mask=~checked.good))
    bits = np.zeros(n_rows, np.int64)
    bits[checked.good] = loaded.outside(checked.columns)
    words, which = _warnings(loaded, bits)
    arrays.append(words.take(pa.array(which, mask=~checked.good)))
    return pa.record_batch(arrays, schema=schema_of(model.task))


def _warnings(loaded: Bundle, bits: IntArray) -> tuple[pa.Array, IntArray]:
    """The distinct warnings, in the words of the service's CSV, and the number of each row's, (n_rows,)."""
    outside = np.flatnonzero(bits)
    kinds, found = np.unique(bits[outside], return_inverse=True)
    words = ["", *("; ".join(loaded.warnings(kind)) for kind in kinds.tolist())]
    which = np.zeros(len(bits), np.int64)
    which[outside] = 1 + found
    return pa.array(words), which


def _predict(model: Model, rows: Columns, level: float) -> FloatArray:
    """Value and both ends of the interval: (n_rows, 3)."""
    n_rows = len(next(iter(rows.values())))
    found = np.empty((n_rows, 3))
    for start in range(0, n_rows, SLICE_ROWS):
        some = slice(start, start + SLICE_ROWS)
        said = model.predict({name: column[some] for name, column in rows.items()}, level)
        found[some, 0], found[some, 1], found[some, 2] = said.value, said.low, said.high
    return found

"""How fast `train score` is on one core, beside what the network's matrix products alone would take.

    python bench/scoring/rate.py [--rows 2000000]

Per row and in microseconds of processor time, so that a busy machine changes little; the best of several
repeats, taken in turns:

- products, as declared: a row of the network's input (one-hot columns too) through every weight matrix;
- products, as computed: the same without those of the one-hot columns, of which the code picks a row;
- predict: `Model.predict` on rows that are in memory;
- files: the rows read from Parquet and as many answers written to Parquet, and nothing else;
- score: everything, from the Parquet file to the Parquet file.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models import bundle
from models.bikes import WEATHERS
from models.model import Model
from training.scoring import parts, write
from training.scoring.run import Request, run
from training.scoring.write import SLICE_ROWS

REPEATS = 5
STEPS = ("declared", "computed", "predict", "files", "score")
PRODUCT_ROWS = 512
"""Rows of one product: what all of them need stays in the processor's cache."""


def main() -> None:
    """Measure both models and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    n_rows = parser.parse_args().rows
    print(f"{'':10}" + "".join(f"{step:>10}" for step in STEPS) + "   of declared, of computed")
    for name, make in (("bikes", bikes), ("admission", admission)):
        model = bundle.load(bundle.ARTIFACTS / name).model
        table = make(n_rows, np.random.default_rng(0))
        times = measure(name, model, table)
        shares = [f"{times[of] / times['score']:.0%}" for of in ("declared", "computed")]
        print(f"{name:10}" + "".join(f"{1e6 * times[step]:10.3f}" for step in STEPS), end="   ")
        print(f"{', '.join(shares)}; {1 / times['score']:,.0f} rows/s of one core")


def measure(name: str, model: Model, table: pa.Table) -> dict[str, float]:
    """Seconds of processor time a row, of each step."""
    columns = as_columns(table.slice(0, SLICE_ROWS))
    loops = {
        "declared": (products(model, model.encoder.n_inputs), PRODUCT_ROWS),
        "computed": (products(model, len(model.encoder.numbers)), PRODUCT_ROWS),
        "predict": (lambda: model.predict(columns), SLICE_ROWS),
    }
    best = dict.fromkeys(STEPS, float("inf"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{name}.parquet")
        pq.write_table(table, file, row_group_size=250_000)
        for repeat in range(REPEATS):
            for step, (work, n_rows) in loops.items():
                best[step] = min(best[step], timed(work, 200) / n_rows)
            request = Request(
                name, (file,), Path(folder, str(repeat)), Path(folder), None, 0.9, ".parquet"
            )
            whole = timed(lambda r=request: run(r), 1)
            best["score"] = min(best["score"], whole / table.num_rows)
            best["files"] = min(best["files"], files_alone(model, file) / table.num_rows)
    return best


def files_alone(model: Model, file: Path) -> float:
    """Seconds of processor time for reading a file and writing as many answers."""
    task = model.task
    batch = pa.record_batch(
        [pa.array(np.random.default_rng(0).uniform(size=parts.BATCH_ROWS))] * 5,
        names=["row", "value", "low", "high", "decision"],
    )
    schema = write.schema_of(task)
    answers = pa.record_batch(
        [
            pa.nulls(parts.BATCH_ROWS, field.type)
            if field.name == "warnings"
            else batch.column(i).cast(field.type, safe=False)
            for i, field in enumerate(schema)
        ],
        schema=schema,
    )
    started = time.process_time()
    with write.writing(file.with_name("answers"), schema, ".parquet") as writer:
        for part in parts.plan(task, "", file):
            for rows, _ in parts.read(task, part):
                writer.write_batch(answers.slice(0, rows.num_rows))
    return time.process_time() - started


def timed(work: Callable[[], object], times: int) -> float:
    """Seconds of processor time of one call."""
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) / times


def products(model: Model, n_inputs: int) -> Callable[[], object]:
    """The products of a slice whose first layers read so many columns."""
    work = []
    for head in (model.head, model.spread):
        if head is None:
            continue
        network = head.network
        firsts = [network.layers[0].weights, *([] if network.skip is None else [network.skip])]
        weights = [np.ascontiguousarray(w[:, :n_inputs]) for w in firsts]
        weights += [layer.weights for layer in network.layers[1:]]
        shared = [n < len(firsts) for n in range(len(weights))]
        for w, is_first in zip(weights, shared, strict=True):
            members = () if is_first else (w.shape[0],)
            x = np.ones((*members, PRODUCT_ROWS, w.shape[1]), np.float32)
            work.append((x, w, np.empty((w.shape[0], PRODUCT_ROWS, w.shape[2]), np.float32)))
    return lambda: [np.matmul(x, w, out=out) for x, w, out in work]


def bikes(n_rows: int, rng: np.random.Generator) -> pa.Table:
    """Random hours of the training years."""
    hours = np.datetime64("2011-01-01T00", "s") + 3600 * rng.integers(0, 731 * 24, n_rows)
    return pa.table(
        {
            "timestamp": hours,
            "temperature": rng.uniform(-8, 39, n_rows).round(1),
            "feels_like": rng.uniform(-8, 39, n_rows).round(1),
            "humidity": rng.uniform(10, 100, n_rows).round(),
            "wind_speed": rng.uniform(0, 50, n_rows).round(1),
            "weather": pa.array(np.array(WEATHERS)[rng.integers(0, 4, n_rows)]),
        }
    )


def admission(n_rows: int, rng: np.random.Generator) -> pa.Table:
    """Random applications."""
    return pa.table(
        {
            "gre": rng.integers(220, 801, n_rows),
            "gpa": rng.uniform(2, 4, n_rows).round(2),
            "rank": rng.integers(1, 5, n_rows),
        }
    )


def as_columns(table: pa.Table) -> dict[str, np.ndarray]:
    """Rows of a table as a model takes them."""
    found = {name: table[name].to_numpy() for name in table.column_names}
    if "timestamp" in found:
        found["timestamp"] = found["timestamp"].astype("datetime64[h]")
        codes = {weather: i for i, weather in enumerate(WEATHERS)}
        found["weather"] = np.array([codes[w] for w in found["weather"]], np.int8)
        found["holiday"] = np.full(len(table), -1, np.int8)
    return found


if __name__ == "__main__":
    main()

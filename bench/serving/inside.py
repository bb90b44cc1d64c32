"""What can only be measured inside the process, in processor time.

The forward pass, explanations, and how long a batch keeps the event loop from others.

python -m bench.serving.inside
"""

import asyncio
import gc
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the server does

import numpy as np
import uvloop

from bench.serving import bodies, references
from models import explain
from models.bundle import ARTIFACTS
from models.interval import DEFAULT_LEVEL
from models.model import Head, Model
from models.rows import columns_of
from models.store import Store
from service.app import create_app
from service.batches import SLICE_ROWS
from service.registry import Registry
from service.schemas import REQUESTS
from service.served import Served
from service.settings import Settings
from training import data

ROUNDS = 15
BATCH = 1000
BATCH_ROUNDS, BATCH_TIMES = 100, 2
"""Many short turns: the speed of a virtual machine's cores changes within a second."""
TOGETHER = 8
"""Rows of one turn of the event loop."""
EXPLAINED = 60
MANY_BACKGROUND = 1000
JSON = b"application/json", b"*/*"
"""Content-Type and Accept."""


def main() -> None:
    """Measure everything; prints one JSON object."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        store.fill_from(ARTIFACTS)
        bikes, admission = store.load("bikes").model, store.load("admission").model
        bodies.write(Path(folder), 10_000)
        found: dict[str, Any] = {
            "one_row": {"bikes": one_row(bikes), "admission": one_row(admission)},
            "explain": explanations(bikes),
            "longest_ms": uvloop.run(holds(Path(folder), store)),
        }
        bodies.write(Path(folder), BATCH)
        found["batch"] = uvloop.run(batch(Path(folder), store, BATCH))
    print(json.dumps(found))


def cpu_us(work: Callable[[], Any], times: int) -> float:
    """The median over the rounds of microseconds a call."""
    took = []
    for _ in range(ROUNDS):
        start = time.process_time_ns()
        for _ in range(times):
            work()
        took.append((time.process_time_ns() - start) / times / 1e3)
    return float(np.median(took))


def one_row(model: Model) -> dict[str, float]:
    """Microseconds of a whole answer, of the networks alone, and of their products alone."""
    name = model.task.name
    row = vars(REQUESTS[name].model_validate(bodies.ROW[name]))
    heads = [head for head in (model.head, model.spread) if head]
    few = model._few  # noqa: SLF001 - parts of predict_one, to be told apart
    remember = few._remembered.__wrapped__  # noqa: SLF001
    together = [(row, DEFAULT_LEVEL)] * TOGETHER
    key, _ = model.task.split(row)
    return {
        "predict": cpu_us(lambda: model.predict(columns_of([row], model.task)), 500),
        "predict_one": cpu_us(lambda: model.predict_one(row), 2000),
        "together": cpu_us(lambda: model.predict_few(together), 500) / TOGETHER,
        "networks": cpu_us(lambda: few([row]), 2000),
        "products": cpu_us(products(heads, 1), 2000),
        "remember": cpu_us(lambda: remember(key), 500),
    }


def products(heads: list[Head], n_rows: int, n_numbers: int | None = None) -> Callable[[], None]:
    """The dense float32 products of the networks' shapes and nothing else.

    With `n_numbers` the first layers and skips multiply the numbers alone, without the one-hot columns.
    """
    pairs = []
    for head in heads:
        network = head.network
        weights = [layer.weights for layer in network.layers]
        weights += [] if network.skip is None else [network.skip]
        for i, matrix in enumerate(weights):
            from_inputs = i in (0, len(network.layers))
            width = matrix.shape[1] if n_numbers is None or not from_inputs else n_numbers
            members = 1 if from_inputs else len(matrix)
            pairs.append((np.ones((members, n_rows, width), np.float32), matrix[:, :width].copy()))

    def run() -> None:
        for a, w in pairs:
            np.matmul(a, w)

    return run


def passes(model: Model, n_rows: int) -> dict[str, Callable[[], Any]]:
    """The forward passes of `n_rows` rows in slices, and their dense products."""
    bulk = model._bulk  # noqa: SLF001 - a part of predict, to be told apart
    slices = range(n_rows // SLICE_ROWS)
    encoded = bulk.encode(model.task.derive(data.read("bikes").take(np.arange(SLICE_ROWS))))
    heads = [head for head in (model.head, model.spread) if head]
    dense = products(heads, SLICE_ROWS)
    of_numbers = products(heads, SLICE_ROWS, len(model.encoder.numbers))
    return {
        "forward": lambda: [bulk.outputs(encoded) for _ in slices],
        "products": lambda: [dense() for _ in slices],
        "products_of_numbers": lambda: [of_numbers() for _ in slices],
    }


def explanations(model: Model) -> dict[str, float]:
    """Milliseconds an explanation, and how far it is from one with many more background rows.

    error : the mean over rows and fields of the absolute difference of a contribution, in rentals;
    size : the mean absolute contribution.
    """
    dataset, rng = data.read("bikes"), np.random.default_rng(0)
    chosen = rng.choice(len(dataset), EXPLAINED + MANY_BACKGROUND, replace=False)
    many = Model(**{**vars_of(model), "background": dataset.take(np.sort(chosen[EXPLAINED:]))})
    took, errors, sizes, baselines = [], [], [], []
    for i in chosen[:EXPLAINED]:
        row = dataset.take(np.array([i]))
        answer = model.value(row).item()
        start = time.process_time()
        found = explain.explain(model, row, answer)
        took.append(time.process_time() - start)
        wanted = explain.explain(many, row, answer)
        pairs = zip(found.contributions.values(), wanted.contributions.values(), strict=True)
        errors.append(np.mean([abs(a - b) for a, b in pairs]))
        sizes.append(np.mean(np.abs(list(wanted.contributions.values()))))
        baselines.append(abs(found.baseline - wanted.baseline))
    return {
        "background": len(model.background["humidity"]),
        "median_ms": 1e3 * float(np.median(took)),
        "longest_ms": 1e3 * max(took),
        "error": float(np.mean(errors)),
        "size": float(np.mean(sizes)),
        "baseline_error": float(np.mean(baselines)),
    }


def vars_of(model: Model) -> dict[str, Any]:
    """The fields of a model, without what it has worked out."""
    return {name: getattr(model, name) for name in model.__dataclass_fields__}


async def holds(folder: Path, store: Store) -> dict[str, float]:
    """The longest time for which a batch of 10,000 rows kept the loop, by form, in milliseconds."""
    served = {name: Served.of(name, "bench", store.load(name)) for name in bodies.ROW}
    app = create_app(Registry(served), Settings())
    rows = (folder / "instances.json").read_bytes()
    columns = (folder / "inputs.json").read_bytes()
    lines = (folder / "rows.csv").read_bytes()
    faulty = json.loads(columns)
    faulty["inputs"]["humidity"] = [101.0] * len(faulty["inputs"]["humidity"])
    bodies_of = {
        "instances": rows,
        "inputs": columns,
        "CSV": lines,
        "instances, every row faulty": rows.replace(b'"humidity": ', b'"humidity": 9'),
        "instances, an unknown field in every row": rows.replace(b"wind_speed", b"windspeed"),
        "inputs, every row faulty": json.dumps(faulty).encode(),
        "CSV, every row faulty": lines.replace(b",clear,", b",clar,").replace(b",mist,", b",mst,"),
    }
    csv = b"text/csv", b"text/csv"
    forms = {name: csv if name[:3] == "CSV" else JSON for name in bodies_of}
    cases = {name: (body, *forms[name]) for name, body in bodies_of.items()}
    gc.collect()
    gc.freeze()  # as the server does at its start
    longest = {}
    for name, case in cases.items():
        longest[name] = float(np.median([await hold(app, *case) for _ in range(5)]))
    return longest


async def batch(folder: Path, store: Store, n_rows: int) -> dict[str, float]:
    """Microseconds of a batch of `n_rows` rows, in turns.

    Its forward passes, their products, and from body to answer: ours in three forms and bare FastAPI's.
    """
    served = {name: Served.of(name, "bench", store.load(name)) for name in bodies.ROW}
    app = create_app(Registry(served), Settings())
    rows = (folder / "instances.json").read_bytes()
    asked = {
        "fastapi": (references.fastapi, rows, b"application/json", b"*/*"),
        "instances": (app, rows, b"application/json", b"*/*"),
        "inputs": (app, (folder / "inputs.json").read_bytes(), b"application/json", b"*/*"),
        "csv": (app, (folder / "rows.csv").read_bytes(), b"text/csv", b"text/csv"),
    }
    alone = passes(served["bikes"].model, n_rows)
    gc.collect()
    gc.freeze()
    took: dict[str, list[float]] = {name: [] for name in (*alone, *asked)}
    for _ in range(BATCH_ROUNDS):
        for name, times in took.items():
            start = time.process_time_ns()
            for _ in range(BATCH_TIMES):
                if name in alone:
                    alone[name]()
                else:
                    await ask(*asked[name])
            times.append((time.process_time_ns() - start) / BATCH_TIMES / 1e3)
    return {name: float(np.median(times)) for name, times in took.items()}


async def hold(app: Any, body: bytes, content_type: bytes, accept: bytes) -> float:
    """The longest time between two turns of the loop during one batch, in milliseconds."""
    request = asyncio.ensure_future(ask(app, body, content_type, accept))
    longest, last = 0.0, time.process_time()
    while not request.done():
        await asyncio.sleep(0)
        now = time.process_time()
        longest, last = max(longest, now - last), now
    await request
    return 1e3 * longest


async def ask(app: Any, body: bytes, content_type: bytes, accept: bytes) -> None:
    """Send one batch to an application."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "root_path": "",
        "state": {},
        "method": "POST",
        "path": "/predict/bikes/batch",
        "raw_path": b"/predict/bikes/batch",
        "query_string": b"",
        "headers": [(b"content-type", content_type), (b"accept", accept)],
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200  # noqa: PLR2004, S101

    await app(scope, receive, send)


if __name__ == "__main__":
    main()

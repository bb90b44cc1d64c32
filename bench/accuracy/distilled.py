"""What the one network of `bikes` loses against the eight that it answers for, and what it saves.

    python -m bench.accuracy.distilled    # writes DISTILLED.md

The forecasts are those of `train evaluate bikes --protocol NAME`, and with `--set student=false`: the same
eight networks and the same calibration, once with the one network's answers and once with their own. The
costs are the processor time of both models in process, in turns; both have learned from all rows.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models import bundle, explain
from models.model import Model
from training import data
from training.bikes import BIKES
from training.evaluate import Evaluation, evaluate
from training.pipeline import fit_rows
from training.progress import Lines

PROTOCOLS = {"p1": "P1", "p1_refit": "P1, refitted", "p3": "P3", "rolling": "rolling"}
TABLE = Path(__file__).with_name("DISTILLED.md")
ROUNDS, ROWS, EXPLAINED = 15, 1000, 60
HEAD = """# One network for eight

Written by `python -m bench.accuracy.distilled`, whose head says how.

| rows | who answers | MAE | RMSE | RMSLE | 90 % intervals: inside | width | score |
|---|---|---|---|---|---|---|---|
"""


def line(name: str, who: str, found: Evaluation) -> str:
    """A line of the first table; the intervals of several windows are pooled."""
    means = found.mean(lambda score: score.metrics)
    intervals = [score.interval for score in found.scores if score.interval is not None]
    rows = [one["rows"] for one in intervals]
    inside, width, score = (
        np.average([one[key] for one in intervals], weights=rows)
        for key in ("coverage", "width", "score")
    )
    cells = f"{means['mae']:.2f} | {means['rmse']:.2f} | {means['rmsle']:.4f}"
    return f"| {name} | {who} | {cells} | {inside:.3f} | {width:.1f} | {score:.1f} |"


def microseconds(call: Callable[[], object], times: int) -> float:
    """Processor time of a call."""
    began = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began) / times * 1e6


def costs(models: dict[str, Model], dataset: data.Dataset) -> str:
    """The second table: what a row costs alone, of a batch, and explained."""
    rng = np.random.default_rng(0)
    batch = dataset.take(rng.integers(len(dataset), size=ROWS))
    row: dict[str, Any] = {field.name: field.example for field in dataset.task.fields}
    row |= {"timestamp": np.datetime64("2012-06-01T17"), "feels_like": None, "holiday": None}
    hour = {name: values[:1] for name, values in batch.items()}
    calls: dict[str, Callable[[Model], float]] = {
        "a single row": lambda model: microseconds(lambda: model.predict_one(row), 500),
        f"a row of {ROWS:,}": lambda model: microseconds(lambda: model.predict(batch), 10) / ROWS,
        "a row explained": lambda model: microseconds(
            lambda: explain.explain(model, hour, model.value(hour).item()), 3
        ),
    }
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for what, call in calls.items():
            for who, model in models.items():
                found.setdefault((what, who), []).append(call(model))
    lines = ["| processor time, µs | " + " | ".join(models) + " |", "|---|---|---|"]
    for what in calls:
        medians = [f"{statistics.median(found[what, who]):.2f}" for who in models]
        lines.append(f"| {what} | " + " | ".join(medians) + " |")
    return "\n".join(lines)


def explanations(models: dict[str, Model], dataset: data.Dataset) -> str:
    """How far the Shapley values of both are apart, over some hours."""
    hours = np.random.default_rng(1).choice(len(dataset), EXPLAINED, replace=False)
    each = []
    for hour in hours:
        row = dataset.take(np.array([hour]))
        told = [explain.explain(m, row, m.value(row).item()) for m in models.values()]
        each.append([list(one.contributions.values()) for one in told])
    ours, theirs = np.moveaxis(np.array(each), 1, 0)
    apart, size = (float(np.sqrt(np.square(x).mean())) for x in (ours - theirs, theirs))
    return (
        f"Shapley values of {EXPLAINED} hours: {apart:.2f} rentals apart (root mean square), where they "
        f"are {size:.1f} large."
    )


def main() -> None:
    """Judge both, measure both, and write the table."""
    dataset = data.read("bikes")
    recipes = {"eight networks": replace(BIKES, student=None), "one for all": BIKES}
    lines = [
        line(name, who, evaluate(recipe, dataset, protocol, 0, 1, Lines()))
        for protocol, name in PROTOCOLS.items()
        for who, recipe in recipes.items()
    ]
    student = bundle.load(bundle.ARTIFACTS / "bikes").model
    eight = fit_rows(BIKES, dataset, np.arange(len(dataset)), None, np.random.default_rng(0))
    models = {"eight networks": replace(student, head=eight.head), "one for all": student}
    parts = [HEAD + "\n".join(lines), costs(models, dataset), explanations(models, dataset)]
    TABLE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What is sent: rows of the project's own data, as files for wrk."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from models.rows import to_json
from models.tasks import TASKS
from training import data

ROW = {name: {field.name: field.example for field in task.fields} for name, task in TASKS.items()}
DIFFERENT = 1000
"""Rows of the file of different rows: hours in a row, six weeks of them."""


def write(folder: Path, n_rows: int) -> None:
    """Single rows of both tasks, and batches of `n_rows` rows of bikes in every form."""
    for name, row in ROW.items():
        (folder / f"{name}.json").write_text(json.dumps(row))
    hours = _rows(np.arange(9000, 9000 + DIFFERENT))
    (folder / "different.jsonl").write_text("\n".join(map(json.dumps, hours)))
    many = _rows(np.random.default_rng(0).choice(17_000, n_rows, replace=False))
    (folder / "instances.json").write_text(json.dumps({"instances": many}))
    columns = {name: [row[name] for row in many] for name in many[0]}
    (folder / "inputs.json").write_text(json.dumps({"inputs": columns}))
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([json.dumps(v).strip('"') for v in row.values()] for row in many)


def _rows(which: Any) -> list[dict[str, Any]]:
    dataset = data.read("bikes")
    values = to_json(dataset.task, dataset.take(which))
    values["timestamp"] = [f"{hour}:00:00" for hour in values["timestamp"]]
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]

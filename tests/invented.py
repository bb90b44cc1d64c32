"""Two tasks of somebody who followed `docs/guides/extend.md`: a yes or no, and a quantity without a time.

`installed` puts them into the tables that the guide names, and nowhere else; their data are made up.
"""

import csv
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from models.arrays import Columns, FloatArray, Row
from models.features import Category, Number
from models.task import Field as TaskField
from models.task import Task
from models.tasks import TASKS
from service import schemas
from training import catalogue, cli, data
from training.data import Schema, _Column, _Table
from training.fit import FitSettings
from training.recipes import Recipe


def _churn_variables(columns: Columns) -> FloatArray:
    return np.column_stack([columns["months"], columns["calls"]]).astype(np.float64)


def _churn_split(row: Row) -> tuple[tuple[Any, ...], tuple[float, ...]]:
    return (), (row["months"], row["calls"])


CHURN = Task(
    name="churn",
    title="Probability that a customer leaves",
    fields=(
        TaskField("months", "integer", "Months as a customer", 12, unit="months", low=0, high=600),
        TaskField("calls", "integer", "Calls to the hotline", 3, low=0, high=100),
    ),
    variables=("months", "calls"),
    derive=_churn_variables,
    recurring=(),
    varying=("months", "calls"),
    split=_churn_split,
    target="probability",
    unit="probability of leaving",
    bounds=(0.0, 1.0),
    limits_of_use=("Made up.",),
    threshold=0.5,
    decision="churned",
)


def _espresso_variables(columns: Columns) -> FloatArray:
    return np.column_stack([columns["grind"], columns["dose"], columns["temp"]])


def _espresso_split(row: Row) -> tuple[tuple[Any, ...], tuple[float, ...]]:
    return (row["grind"],), (row["dose"], row["temp"])


ESPRESSO = Task(
    name="espresso",
    title="Seconds until an espresso has run through",
    fields=(
        TaskField("grind", "category", "How coarse", "fine", choices=("fine", "medium", "coarse")),
        TaskField("dose", "number", "Ground coffee", 18.0, unit="g", low=5, high=30),
        TaskField("temp", "number", "Temperature of the water", 93.0, unit="°C", low=80, high=100),
    ),
    variables=("grind", "dose", "temp"),
    derive=_espresso_variables,
    recurring=("grind",),
    varying=("dose", "temp"),
    split=_espresso_split,
    target="duration",
    unit="s",
    bounds=(0.0, float("inf")),
    limits_of_use=("Made up.",),
)
INVENTED = {task.name: task for task in (CHURN, ESPRESSO)}

RECIPES = {
    "churn": Recipe(
        name="churn",
        task="churn",
        description="two small networks",
        columns=(Number("months"), Number("calls")),
        targets=("churned",),
        links=("logit", "logit"),
        hidden=(4,),
        standardise_target=False,
        fit=FitSettings(loss="cross_entropy", rate=0.05, batch_size=0, epochs=20),
    ),
    "espresso": Recipe(
        name="espresso",
        task="espresso",
        description="two small networks",
        columns=(Number("dose"), Number("temp"), Category(("grind",), (3,))),
        targets=("duration",),
        links=("sqrt", "log"),
        hidden=(4,),
        fit=FitSettings(rate=0.02, batch_size=32, epochs=10),
    ),
}


class ChurnRequest(BaseModel):
    """One customer."""

    model_config = schemas._CONFIG

    months: schemas.WholeNumber = Field(ge=0, le=600)
    calls: schemas.WholeNumber = Field(ge=0, le=100)


class ChurnRow(schemas._Row):
    """The assessment of one customer."""

    probability: float
    churned: bool
    threshold: float


class ChurnAnswer(ChurnRow):
    """The assessment, and which model made it."""

    model: schemas.ModelName


class ChurnBatchAnswer(BaseModel):
    """The assessments, in the order of the rows."""

    predictions: list[ChurnRow | schemas.FailedRow]
    model: schemas.ModelName


class EspressoRequest(BaseModel):
    """One espresso."""

    model_config = schemas._CONFIG

    grind: Literal["fine", "medium", "coarse"]
    dose: float = Field(ge=5, le=30)
    temp: float = Field(ge=80, le=100)


class EspressoRow(schemas._Row):
    """The forecast of one espresso."""

    duration: float


class EspressoAnswer(EspressoRow):
    """The forecast, and which model made it."""

    model: schemas.ModelName


class EspressoBatchAnswer(BaseModel):
    """The forecasts, in the order of the rows."""

    predictions: list[EspressoRow | schemas.FailedRow]
    model: schemas.ModelName


def _churn(table: _Table) -> tuple[Columns, dict[str, FloatArray]]:
    columns = {name: table.numbers(name).astype(np.int64) for name in ("months", "calls")}
    return columns, {"churned": table.numbers("churned")}


def _espresso(table: _Table) -> tuple[Columns, dict[str, FloatArray]]:
    columns: dict[str, Any] = {name: table.numbers(name) for name in ("dose", "temp")}
    columns["grind"] = table.codes("grind", ESPRESSO.field_of["grind"].choices)
    return columns, {"duration": table.numbers("duration")}


def _write(path: Path, names: str, *columns: NDArray[Any]) -> str:
    """Write a CSV file, and return its digest."""
    lines = zip(*(column.tolist() for column in columns), strict=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([names.split(","), *lines])
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _schema_of_churn(path: Path) -> Schema:
    rng = np.random.default_rng(7)
    months, calls = rng.integers(0, 100, 240), rng.integers(0, 12, 240)
    left = 1 * (rng.random(240) < 1.0 / (1.0 + np.exp(months / 25.0 - calls / 4.0)))
    digest = _write(path, "months,calls,churned", months, calls, left)
    columns = _Column("months", 0, 600), _Column("calls", 0, 100), _Column("churned", 0, 1)
    return Schema(CHURN, str(path), digest, columns, _churn)


def _schema_of_espresso(path: Path) -> Schema:
    rng = np.random.default_rng(7)
    grind, dose, temp = rng.integers(0, 3, 120), rng.uniform(14, 22, 120), rng.uniform(88, 96, 120)
    duration = 4.0 * (3 - grind) + dose + (temp - 90.0) / 2.0 + rng.normal(0.0, 1.0, 120)
    words = np.array(ESPRESSO.field_of["grind"].choices)[grind]
    digest = _write(path, "grind,dose,temp,duration", words, dose, temp, duration)
    inputs = _Column("grind"), _Column("dose", 5, 30), _Column("temp", 80, 100)
    return Schema(ESPRESSO, str(path), digest, (*inputs, _Column("duration", 0, 600)), _espresso)


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """The project with both tasks; their files are in `folder`."""
    made = {
        "churn": _schema_of_churn(folder / "churn.csv"),
        "espresso": _schema_of_espresso(folder / "espresso.csv"),
    }
    tables: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (TASKS, INVENTED),
        (data.SCHEMAS, made),
        (catalogue.RECIPES, RECIPES),
        (schemas.REQUESTS, {"churn": ChurnRequest, "espresso": EspressoRequest}),
        (schemas.ANSWERS, {"churn": ChurnAnswer, "espresso": EspressoAnswer}),
        (schemas.BATCH_ANSWERS, {"churn": ChurnBatchAnswer, "espresso": EspressoBatchAnswer}),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for table, rows in tables:
            for name, value in rows.items():
                patch.setitem(table, name, value)
        # these two commands are made when the module is imported, which it has been
        patch.setattr(cli.app, "registered_commands", list(cli.app.registered_commands))
        for name in INVENTED:
            cli._add_command(name)
        yield

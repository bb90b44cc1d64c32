"""Rows by column, checked in bulk.

Each kind of field has a check of a whole column at once that is sure of what it passes. Rows that
it does not pass go one by one to the request's pydantic class, which has the last word and the
words of the fault, so a row is judged as it is alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from models import timestamps
from models.arrays import Columns
from models.rows import column_value
from models.task import Field, Task
from service.errors import Fault
from service.schemas import REQUESTS
from service.words import faults_of

MISSING: Any = type("Missing", (), {"__repr__": lambda _: "MISSING"})()
"""Stands in a column where a row does not have the field."""

Values = dict[str, list[Any]]
"""The values of some rows as JSON has them: field name -> one a row."""

NUMBERS = {int, float}
Checked = tuple[NDArray[Any], NDArray[np.bool_]]
"""A column as the model takes it, and which rows of it are surely right: (n_rows,) both."""


@dataclass(frozen=True)
class Rows:
    """Checked rows.

    columns : every field of the task, (n_rows,) each; a faulty row has the values of an example.
    faults : row -> what is wrong with it.
    """

    columns: Columns
    faults: dict[int, list[Fault]]


def _numbers(values: list[Any], field: Field) -> Checked:
    kinds = set(map(type, values))
    absent = (
        np.fromiter((v is None or v is MISSING for v in values), bool, len(values))
        if kinds & {type(None), type(MISSING)}
        else None
    )
    if not kinds <= NUMBERS:
        values = [v if type(v) in NUMBERS else np.nan for v in values]
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:  # a whole number beyond the largest float
        array = np.array([_as_float(v) for v in values])
    low, high = -np.inf if field.low is None else field.low, field.high
    good = (array >= low) & (array <= (np.inf if high is None else high))
    if absent is not None and not field.required:
        good |= absent
    return array, good


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _integers(values: list[Any], field: Field) -> Checked:
    array, good = _numbers(values, field)
    good &= array == np.floor(array)
    return np.where(good, array, 0).astype(np.int64), good


def _look_up(values: list[Any], table: dict[Any, int], kinds: set[type]) -> Checked:
    if not set(map(type, values)) <= kinds:
        values = [v if type(v) in kinds else "" for v in values]
    try:
        array = np.array([table[v] for v in values], dtype=np.int8)
    except KeyError:
        array = np.array([table.get(v, -2) for v in values], dtype=np.int8)
    return array, array > -2  # noqa: PLR2004 - -1 is "not given"


def _categories(values: list[Any], field: Field) -> Checked:
    return _look_up(values, {choice: i for i, choice in enumerate(field.choices)}, {str})


def _booleans(values: list[Any], field: Field) -> Checked:
    table: dict[Any, int] = {True: 1, False: 0}
    kinds: set[type] = {bool}
    if not field.required:
        table |= {None: -1, MISSING: -1}
        kinds |= {type(None), type(MISSING)}
    return _look_up(values, table, kinds)


def _timestamps(values: list[Any], _: Field) -> Checked:
    return timestamps.parse_many(values)


CHECKS = {
    "timestamp": _timestamps,
    "number": _numbers,
    "integer": _integers,
    "category": _categories,
    "boolean": _booleans,
}


def transpose(rows: Sequence[Any], task: Task) -> tuple[Values, list[int]]:
    """Rows as columns, and which rows are no objects or have fields that the task does not know."""
    names = task.field_names
    if set(map(type, rows)) == {dict}:
        layouts = set(map(tuple, rows))
        if len(layouts) == 1:
            (layout,) = layouts
            columns = dict(zip(layout, zip(*map(dict.values, rows), strict=True), strict=True))
            strange = [] if set(layout) <= set(names) else list(range(len(rows)))
            absent = [MISSING] * len(rows)
            return {name: list(columns.get(name, absent)) for name in names}, strange
    known = set(names)
    strange = [i for i, row in enumerate(rows) if not (type(row) is dict and known.issuperset(row))]
    objects = [row if type(row) is dict else {} for row in rows]
    return {name: [row.get(name, MISSING) for row in objects] for name in names}, strange


def check(
    values: Values, task: Task, strange: Sequence[int] = (), rows: Sequence[Any] | None = None
) -> Rows:
    """Check rows given by column.

    strange : rows that are known not to be right.
    rows : the same rows as they came, if they came as rows: a pointer then is /<row>/<field>,
        else /<field>/<row>.
    """
    n_rows = len(next(iter(values.values())))
    columns: dict[str, NDArray[Any]] = {}
    good = np.ones(n_rows, dtype=bool)
    good[list(strange)] = False
    for field in task.fields:
        columns[field.name], right = CHECKS[field.kind](values[field.name], field)
        good &= right
    faults: dict[int, list[Fault]] = {}
    for i in np.flatnonzero(~good).tolist():
        row = {name: column[i] for name, column in values.items() if column[i] is not MISSING}
        found = judge(row if rows is None else rows[i], task, columns, i)
        if found:
            faults[i] = found
    return Rows(columns, faults)


def judge(row: Any, task: Task, columns: dict[str, NDArray[Any]], i: int) -> list[Fault]:
    """What is wrong with one row, which then takes the values of an example; or nothing."""
    try:
        request = REQUESTS[task.name].model_validate(row)
    except ValidationError as error:
        for field in task.fields:
            columns[field.name][i] = column_value(field, field.example)
        return faults_of(error, task)
    for field in task.fields:
        columns[field.name][i] = column_value(field, getattr(request, field.name))
    return []

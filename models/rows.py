"""Rows by column as JSON, and back: {"timestamp": ["2012-06-01T17", ...], "humidity": [55.0, null], ...}.

A missing value is null. See `models.task.Field` for the form of each column.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.arrays import Columns, Row
from models.task import Field, Task

DTYPES = {
    "timestamp": "datetime64[h]",
    "number": "float64",
    "integer": "int64",
    "category": "int8",
    "boolean": "int8",
}
"""The dtype of the column of each kind of field."""

NUMBER = r"[+-]?(?:[0-9]+(?:[.][0-9]*)?|[.][0-9]+)(?:[eE][+-]?[0-9]+)?"
"""Matches the whole of a cell that is a number, in the CSV of a file; a request takes the same cells.

Digits are matched in one way only: Python would try a cell of 100,000 digits and a letter in billions.
"""

_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}
"""Written by programs in locales with a decimal comma, or by copying from a spreadsheet."""

_EPOCH = 24 * date(1970, 1, 1).toordinal()

_HOUR = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}")


def other_separator(names: Sequence[str]) -> str | None:
    """What is wrong with the header of a CSV whose cells have no commas between them; else None."""
    for separator, words in _OTHER_SEPARATORS.items():
        if len(names) == 1 and separator in names[0]:
            return f"the cells must have commas between them, and have {words}"
    return None


def columns_of(rows: Sequence[Row], task: Task) -> dict[str, NDArray[Any]]:
    """Valid rows by column."""
    columns = {}
    for field in task.fields:
        values = [row[field.name] for row in rows]
        if field.kind == "timestamp":
            columns[field.name] = _hours(values)
        else:
            columns[field.name] = np.array(
                [column_value(field, value) for value in values], dtype=DTYPES[field.kind]
            )
    return columns


def _hours(moments: Sequence[datetime]) -> NDArray[np.datetime64]:
    """The hour of each moment, which NumPy takes ten times as long to find."""
    hours = np.array([24 * moment.toordinal() + moment.hour for moment in moments], dtype=np.int64)
    return (hours - _EPOCH).view(DTYPES["timestamp"])


def column_value(field: Field, value: Any) -> Any:
    """A valid value in the form of the field's column, see `models.task.Field`."""
    if field.kind == "category":
        return field.choices.index(value)
    if value is None:
        return float("nan") if field.kind == "number" else -1
    return value


def rows_of(columns: Columns, task: Task) -> list[Row]:
    """The rows of `columns`, each as a request has it: the inverse of `columns_of`."""
    listed = to_json(task, columns)
    for field in task.fields:
        if field.kind == "timestamp":
            listed[field.name] = [datetime.fromisoformat(hour) for hour in listed[field.name]]
    return [dict(zip(listed, row, strict=True)) for row in zip(*listed.values(), strict=True)]


def to_json(task: Task, columns: Columns) -> dict[str, list[Any]]:
    """Rows by column as JSON."""
    return {field.name: _values(field, columns[field.name]) for field in task.fields}


def from_json(task: Task, columns: Mapping[str, list[Any]]) -> dict[str, NDArray[Any]]:
    """Rows by column from JSON.

    Raises KeyError, TypeError, ValueError or OverflowError for anything that `to_json` does not write.
    """
    return {field.name: _column(field, columns[field.name]) for field in task.fields}


def fault(task: Task, columns: Columns) -> str | None:
    """Why the task does not accept `columns`, in words; None if it does."""
    if set(columns) != set(task.field_names):
        return f"must have the columns {', '.join(task.field_names)}"
    if len({column.shape for column in columns.values()}) != 1:
        return "its columns differ in length"
    for field in task.fields:
        column = columns[field.name]
        if column.ndim != 1 or str(column.dtype) != DTYPES[field.kind]:
            return f"{field.name}: must be one column of {DTYPES[field.kind]}"
        if not within(field, column):
            return f"{field.name}: has a value outside what the field accepts"
    return None


def within(field: Field, column: NDArray[Any]) -> bool:
    """Whether the field accepts every value of `column` (n_rows,)."""
    if field.kind == "timestamp":
        column = column.astype("datetime64[Y]").astype(np.int64) + 1970
    low, high = field.low, field.high
    if field.kind == "category":
        low, high = 0, len(field.choices) - 1
    if field.kind == "boolean":
        low, high = (0 if field.required else -1), 1
    inside = (column >= low) & (column <= high)
    if field.kind == "number" and not field.required:
        inside |= np.isnan(column)
    return bool(inside.all())


def _values(field: Field, column: NDArray[Any]) -> list[Any]:
    match field.kind:
        case "timestamp":
            return [str(value) for value in column]
        case "number":
            return [None if np.isnan(value) else float(value) for value in column]
        case "category":
            return [field.choices[value] for value in column]
        case "boolean":
            return [None if value < 0 else bool(value) for value in column]
    return [int(value) for value in column]


def _column(field: Field, values: list[Any]) -> NDArray[Any]:
    match field.kind:
        case "timestamp":
            if not all(_HOUR.fullmatch(value) for value in values):
                raise ValueError("a timestamp must be an hour such as 2012-06-01T17")
        case "number":
            values = [float("nan") if value is None else value for value in values]
        case "category":
            values = [field.choices.index(value) for value in values]
        case "boolean":
            values = [-1 if value is None else int(value) for value in values]
    return np.array(values, dtype=DTYPES[field.kind])

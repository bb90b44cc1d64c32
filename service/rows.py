"""Validation of many rows, by column.

Each kind of field has a fast check of a whole column, which only passes values that are certainly valid. A
row with any other value is validated by itself with the pydantic class of a request, which decides and
gives the message, so that a row of a batch is treated exactly as it would be alone.
"""

import marshal
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from models import timestamps
from models.arrays import Columns, all_of
from models.rows import column_value
from models.task import Field, Task
from service.errors import Fault
from service.fault_messages import faults_of, unknown_fields
from service.limits import Turns
from service.schemas import REQUESTS
from service.texts import Taken

MISSING: Any = type("Missing", (), {"__repr__": lambda _: "MISSING"})()
"""Marks, in a column, a row that does not have the field."""

Values = dict[str, Any]
"""Rows by column, with values as in JSON: field name -> a list with one entry per row, or a `Taken`."""

NUMBERS = {int, float}
_MOST_MEMBERS = 100
_MARSHAL_HEAD = len(marshal.dumps([], 2))
ABSENT = {type(None), type(MISSING)}
Right = NDArray[np.bool_] | None
"""Which rows are certainly valid, (n_rows,); None for all, as nearly always."""
Checked = tuple[NDArray[Any], Right]
"""A column as the model takes it, (n_rows,), and which of its rows are certainly valid."""


@dataclass(frozen=True)
class Rows:
    """Checked rows.

    columns : every field of the task, (n_rows,) each; a faulty row holds the values of an example.
    faults : row -> its faults.
    """

    columns: Columns
    faults: dict[int, list[Fault]]


def _numbers(values: list[Any], field: Field) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    kinds = set(map(type, values))
    if kinds <= ABSENT:
        return np.full(len(values), np.nan), np.full(len(values), not field.required)
    array = np.array([_as_float(v) if type(v) in NUMBERS else np.nan for v in values])
    low, high = field.ends
    good = (array >= low) & (array <= high)
    if not field.required and kinds & ABSENT:
        good |= np.fromiter((v is None or v is MISSING for v in values), bool, len(values))
    return array, good


def _packed_numbers(values: Values, task: Task) -> tuple[dict[str, NDArray[Any]], Right]:
    """The columns that consist of numbers only, and the rows in which all of these are certainly valid.

    All columns are checked together, in a fraction of the time of one by one. `struct` packs a list of
    numbers faster than NumPy converts it, and raises for any value that is no number, except true and
    false. It packs those as 1 and 0, so only values of 1 and 0 need a look at their type.
    """
    n_rows = len(values[task.field_names[0]])
    arrays = np.empty((len(task.numbers), n_rows))
    form = f"{n_rows}d"
    packed: list[int] = []
    for j, field in enumerate(task.numbers):
        try:
            struct.pack_into(form, arrays[len(packed)], 0, *values[field.name])
        except struct.error:
            continue
        packed.append(j)
    low, high = task.number_ends
    if len(packed) < len(arrays):
        arrays, low, high = arrays[: len(packed)], low[packed], high[packed]
    good = (arrays >= low) & (arrays <= high)
    lists = [values[task.numbers[j].name] for j in packed]
    doubtful = np.flatnonzero((arrays == 0.0) | (arrays == 1.0)).tolist()
    wrong = [at for at in doubtful if type(lists[at // n_rows][at % n_rows]) is bool]
    if wrong:
        good.ravel()[wrong] = False
    columns: dict[str, NDArray[Any]] = {}
    for j, array, right in zip(packed, arrays, good, strict=True):
        field = task.numbers[j]
        columns[field.name] = _whole(array, right) if field.kind == "integer" else array
    return columns, None if all_of(good) else np.logical_and.reduce(good)


def _whole(array: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Numbers as integers, 0 where they are not `good`; clears `good` where a number is not whole."""
    good &= array == np.floor(array)
    return np.where(good, array, 0.0).astype(np.int64)


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _integers(values: list[Any], field: Field) -> Checked:
    array, good = _numbers(values, field)
    return _whole(array, good), good


def _look_up(values: list[Any], table: dict[Any, int], kinds: set[type]) -> Checked:
    if not set(map(type, values)) <= kinds:
        values = [v if type(v) in kinds else "" for v in values]
    try:
        array = np.array([table[v] for v in values], dtype=np.int8)
    except KeyError:
        array = np.array([table.get(v, -2) for v in values], dtype=np.int8)
    return array, array > -2  # noqa: PLR2004 - -1 is "not given"


def _categories(values: list[Any], field: Field) -> Checked:
    table = {choice: i for i, choice in enumerate(field.choices)}
    try:
        array = np.frombuffer(bytearray(map(table.__getitem__, values)), np.int8)
    except (KeyError, TypeError):
        return _look_up(values, table, {str})
    return array, None


_TRUTH = np.full(256, -2, np.int8)
_TRUTH[[ord("T"), ord("F"), ord("N")]] = 1, 0, -1
"""The value of each letter of `_one_letter_each`; -2 for any other letter."""


def _one_letter_each(values: list[Any]) -> NDArray[np.uint8] | None:
    """T, F or N for true, false or null, as `marshal` encodes them; None if any value takes more bytes."""
    try:
        letters = marshal.dumps(values, 2)
    except ValueError:  # it cannot encode MISSING
        return None
    head = len(letters) - len(values)
    return np.frombuffer(letters, np.uint8, offset=head) if head == _MARSHAL_HEAD else None


def _booleans(values: list[Any], field: Field) -> Checked:
    letters = _one_letter_each(values)
    if letters is not None:
        array = _TRUTH.take(letters)
        if all_of(array >= (0 if field.required else -1)):
            return array, None
    kinds = set(map(type, values))
    if kinds <= ABSENT:
        return np.full(len(values), -1, np.int8), np.full(len(values), not field.required)
    table: dict[Any, int] = {True: 1, False: 0}
    if field.required:
        return _look_up(values, table, {bool})
    return _look_up(values, table | {None: -1, MISSING: -1}, {bool} | ABSENT)


def _timestamps(values: list[Any], _: Field) -> Checked:
    hours, good = timestamps.parse_many(values)
    return hours, None if all_of(good) else good


CHECKS = {
    "timestamp": _timestamps,
    "number": _numbers,
    "integer": _integers,
    "category": _categories,
    "boolean": _booleans,
}


def transpose(rows: Sequence[Any], task: Task) -> tuple[Values, list[int]]:
    """Rows as columns, and the numbers of rows that are no objects or have unknown fields."""
    names = task.field_names
    columns = _of_one_layout(rows, len(names))
    if columns is not None:
        strange = [] if columns.keys() <= set(names) else list(range(len(rows)))
        absent = [MISSING] * len(rows)
        return {name: columns.get(name, absent) for name in names}, strange
    known = set(names)
    strange = [i for i, row in enumerate(rows) if not (type(row) is dict and known.issuperset(row))]
    objects = [row if type(row) is dict else {} for row in rows]
    return {name: [row.get(name, MISSING) for row in objects] for name in names}, strange


def _of_one_layout(rows: Sequence[Any], most: int) -> Values | None:
    """Rows as columns, if all are objects with the same members, at most `most`; else None."""
    if set(map(type, rows)) != {dict} or set(map(len, rows)) != {len(rows[0])}:
        return None
    if len(rows[0]) > most:
        return None
    try:
        return {name: list(map(itemgetter(name), rows)) for name in rows[0]}
    except KeyError:
        return None


async def check(
    values: Values,
    task: Task,
    turns: Turns,
    strange: Sequence[int] = (),
    rows: Sequence[Any] | None = None,
) -> Rows:
    """Check rows given by column.

    strange : rows that must be validated one by one, whatever their columns hold.
    rows : the same rows as they came, if they came as rows and not by column.
    """
    columns, good = _look_at(values, task)
    if strange:
        good = np.ones(len(values[task.field_names[0]]), bool) if good is None else good
        good[list(strange)] = False
    faults: dict[int, list[Fault]] = {}
    for i in () if good is None else np.flatnonzero(~good).tolist():
        row = {name: column[i] for name, column in values.items() if column[i] is not MISSING}
        found = judge(row if rows is None else rows[i], task, columns, i)
        if found:
            faults[i] = found
        await turns.pause()
    if faults:
        _write_example(columns, task, list(faults))
    return Rows(columns, faults)


def _look_at(values: Values, task: Task) -> tuple[dict[str, NDArray[Any]], Right]:
    """Every column as the model takes it, and which rows are certainly valid."""
    columns, good = _packed_numbers(values, task)
    for field in task.fields:
        column = values[field.name]
        if type(column) is Taken:
            columns[field.name] = column.array
        elif field.name not in columns:
            columns[field.name], right = CHECKS[field.kind](column, field)
            if right is not None:
                good = right if good is None else good & right
    return columns, good


def judge(row: Any, task: Task, columns: dict[str, NDArray[Any]], i: int) -> list[Fault]:
    """Validate one row: its faults, or none, and then its values are written into the columns."""
    if type(row) is dict:
        if len(row) > _MOST_MEMBERS:  # pydantic would be slow
            known = {name: row[name] for name in task.field_names if name in row}
            return judge(known, task, columns, i) + unknown_fields(row, task.field_of, "")
        for name, value in row.items():
            if type(value) is int and abs(value) > sys.float_info.max:
                row = row | {name: float("inf")}  # as the JSON reader of a single row has it
    try:
        request = REQUESTS[task.name].model_validate(row)
    except ValidationError as error:
        return faults_of(error, task)
    for field in task.fields:
        columns[field.name][i] = column_value(field, getattr(request, field.name))
    return []


def _write_example(columns: dict[str, NDArray[Any]], task: Task, rows: list[int]) -> None:
    """Overwrite faulty rows with the values of an example, so that the model can be run on them."""
    for field in task.fields:
        columns[field.name][rows] = column_value(field, field.example)

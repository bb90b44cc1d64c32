"""Arrow columns as the columns that a model takes, and why a row is rejected.

Whole columns are checked at once; only a rejected row is examined by itself, for the reason. The accepted
ranges, choices and timestamps are those of the service's requests, and texts are read as the cells of a CSV
that the service gets. NaN in an optional field counts as missing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models import timestamps
from models.arrays import BoolArray, FloatArray
from models.calendar import FIRST_YEAR, LAST_YEAR, TIME_ZONE
from models.errors import DataError
from models.rows import DTYPES, NUMBER
from models.task import Field, Task

_NAN = r"(?i:[+-]?nan(?:\(\w*\))?)"
"""NaN in every form that Arrow reads as a number, so that texts are read as the numbers of a CSV are."""
_NUMBER = f"^(?:{NUMBER}|{_NAN})$"
_BOOLEANS = ("false", "true", "0", "1")
_LONGEST_VALUE = 40

Found = tuple[NDArray[Any], BoolArray]
"""A column as the model takes it, and which of its rows are valid: (n_rows,) both."""


@dataclass(frozen=True)
class Checked:
    """Checked rows of a file.

    columns : the valid rows by column. good : (n_rows,), which rows are valid. reasons : row -> why not.
    """

    columns: dict[str, NDArray[Any]]
    good: BoolArray
    reasons: dict[int, str]


def check(task: Task, batch: pa.RecordBatch, unreadable: dict[int, str]) -> Checked:
    """Check the rows of a batch. unreadable : row -> reason, for rows that could not be parsed."""
    good = np.ones(batch.num_rows, dtype=bool)
    good[list(unreadable)] = False
    columns = {}
    for field in task.fields:
        if field.name not in batch.schema.names:
            columns[field.name] = np.full(batch.num_rows, _absent(field), DTYPES[field.kind])
            continue
        found, right = _read(field, batch[field.name])
        columns[field.name] = found
        good &= right
    if good.all():
        return Checked(columns, good, {})
    reasons = {}
    for i in np.flatnonzero(~good).tolist():
        reasons[i] = unreadable.get(i) or _reasons(task, batch, i)
    return Checked({name: column[good] for name, column in columns.items()}, good, reasons)


def check_schema(task: Task, schema: pa.Schema, where: str) -> None:
    """Raises DataError for a file whose columns cannot be the fields of the task."""
    for field in task.fields:
        count = schema.names.count(field.name)
        if count > 1:
            raise DataError(f"{where}: the column {field.name} is there twice")
        if count == 0 and field.required:
            raise DataError(
                f"{where}: the column {field.name} is missing; needed are "
                f"{', '.join(f.name for f in task.fields if f.required)}"
            )
        if count and not _KINDS[field.kind](_value_type(schema.field(field.name).type)):
            raise DataError(
                f"{where}: the column {field.name} is of type {schema.field(field.name).type}; "
                f"it must be {_WANTED[field.kind]}"
            )


def holds_text(kind: pa.DataType) -> bool:
    """Whether a column of this type has texts, dictionary-encoded or not."""
    return _is_text(_value_type(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    known = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return bool(known or types.is_null(kind) or _is_text(kind))


_KINDS: dict[str, Callable[[pa.DataType], bool]] = {
    "timestamp": lambda kind: bool(pa.types.is_timestamp(kind)) or _is_text(kind),
    "number": _is_number,
    "integer": _is_number,
    "category": _is_text,
    "boolean": lambda kind: (
        bool(pa.types.is_boolean(kind) or pa.types.is_null(kind)) or _is_text(kind)
    ),
}
_WANTED = {
    "timestamp": "timestamps, or texts such as 2012-06-01T17:00:00",
    "number": "numbers",
    "integer": "whole numbers",
    "category": "text",
    "boolean": "true or false",
}


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _read(field: Field, column: pa.Array) -> Found:
    """The column as the model takes it; of a dictionary-encoded one each distinct value is read once."""
    if not pa.types.is_dictionary(column.type):
        return READERS[field.kind](field, _plain(column))
    values, places = _plain(column.dictionary), column.indices
    if column.null_count:
        places = places.fill_null(len(values))
        values = pa.concat_arrays([values, pa.nulls(1, values.type)])
    found, right = READERS[field.kind](field, values)
    rows = places.to_numpy(zero_copy_only=False)
    return found.take(rows), right.take(rows)


def _plain(column: pa.Array) -> pa.Array:
    """The column, with large_string cast to string, the one type of text that the readers know."""
    return column.cast(pa.string()) if pa.types.is_large_string(column.type) else column


def _absent(field: Field) -> float:
    return np.nan if field.kind == "number" else -1


def _timestamps(field: Field, column: pa.Array) -> Found:
    if _is_text(column.type):
        letters = _letters(column)
        fixed = None if letters is None else timestamps.parse_letters(letters)
        return fixed or timestamps.parse_many(_trimmed(column).to_pylist())
    if column.type.tz is not None:
        # An instant has no year that is written, as in a text: the local one counts.
        column = pc.local_timestamp(column.cast(pa.timestamp(column.type.unit, TIME_ZONE.key)))
    missing = _missing(column)
    moments = column.fill_null(0).to_numpy(zero_copy_only=False)
    hours = moments.astype("datetime64[h]")
    first, end = (np.datetime64(f"{year}-01-01T00", "h") for year in _years(field))
    return hours, (hours >= first) & (hours < end) & ~missing


def _years(field: Field) -> tuple[int, int]:
    """The first year of a timestamp, and the one after the last."""
    first = FIRST_YEAR if field.low is None else int(field.low)
    return first, 1 + (LAST_YEAR if field.high is None else int(field.high))


def _letters(column: pa.Array) -> NDArray[np.uint8] | None:
    """Texts of one length as (n_rows, length) bytes, without a copy; None if lengths differ."""
    if column.null_count or not len(column):
        return None
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int32, len(column) + 1, column.offset * 4)
    length = int(ends[1] - ends[0])
    if not length or (np.diff(ends) != length).any():
        return None
    size = int(ends[-1] - ends[0])
    return np.frombuffer(data, np.uint8, size, int(ends[0])).reshape(-1, length)


def _numbers(field: Field, column: pa.Array) -> Found:
    values, right = _floats(column)
    low, high = field.ends
    inside = (values >= low) & (values <= high)
    if not field.required:
        inside |= np.isnan(values)  # what is missing, too
    return values, inside & right


def _integers(field: Field, column: pa.Array) -> Found:
    values, right = _numbers(field, column)
    right = right & (values == np.floor(values))
    return np.where(right, values, 0).astype(np.int64), right


def _floats(column: pa.Array) -> tuple[FloatArray, BoolArray]:
    """The column as numbers (NaN if missing), and which rows are numbers at all."""
    right = np.ones(len(column), dtype=bool)
    if _is_text(column.type):
        column = _trimmed(column)
        readable = pc.match_substring_regex(column, _NUMBER).fill_null(True)  # noqa: FBT003
        right = readable.to_numpy(zero_copy_only=False)
        column = pc.if_else(readable, column, None)
    # whole numbers beyond 2^53 are rounded: they are out of every range, and told as they are
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), right


def _categories(field: Field, column: pa.Array) -> Found:
    codes = _look_up(_trimmed(column), field.choices)
    return codes, codes >= 0


def _booleans(field: Field, column: pa.Array) -> Found:
    is_text = _is_text(column.type)
    column = _trimmed(column) if is_text else column
    missing = _missing(column)
    may_lack = missing & (not field.required)
    if is_text:
        codes = _look_up(pc.utf8_lower(column), _BOOLEANS)
        right = (codes >= 0) | may_lack
        codes = np.where(missing, -1, codes % 2).astype(np.int8)
        return codes, right
    codes = column.cast(pa.int8()).fill_null(-1).to_numpy(zero_copy_only=False)
    return codes, ~missing | may_lack


def _look_up(column: pa.Array, choices: tuple[str, ...]) -> NDArray[np.int8]:
    found = pc.index_in(column, value_set=pa.array(choices, pa.string())).fill_null(-1)
    codes: NDArray[np.int8] = found.to_numpy(zero_copy_only=False).astype(np.int8)
    return codes


def _trimmed(column: pa.Array) -> pa.Array:
    """Texts without the blanks around them; null where nothing is left."""
    texts = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(texts, ""), None, texts)


def _missing(column: pa.Array) -> BoolArray:
    if not column.null_count:
        return np.zeros(len(column), dtype=bool)
    missing: BoolArray = column.is_null().to_numpy(zero_copy_only=False)
    return missing


READERS: dict[str, Callable[[Field, pa.Array], Found]] = {
    "timestamp": _timestamps,
    "number": _numbers,
    "integer": _integers,
    "category": _categories,
    "boolean": _booleans,
}


def python_value(scalar: pa.Scalar) -> Any:
    """The value; as a text where Python has no such timestamp, for its year or its time zone."""
    try:
        return scalar.as_py()
    except (KeyError, OverflowError, ValueError):
        return scalar.cast(pa.timestamp(scalar.type.unit)).cast(pa.string()).as_py()


def _reasons(task: Task, batch: pa.RecordBatch, row: int) -> str:
    """Everything that is wrong with a row, in words."""
    faults = []
    for field in task.fields:
        if field.name in batch.schema.names:
            column = batch[field.name].slice(row, 1)
            if not _read(field, column)[1][0]:
                faults.append(f"{field.name} {_reason(field, column[0])}")
    return "; ".join(faults)


def _reason(field: Field, scalar: pa.Scalar) -> str:
    value = python_value(scalar)
    if isinstance(value, str):
        value = value.strip() or None
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "is missing"
    if field.kind == "timestamp" and holds_text(scalar.type):
        return timestamps.why_not(value)
    shown = str(value)  # every digit: 50.00000000000001 is not 50
    shown = shown.removesuffix(".0") if isinstance(value, float) else shown
    shown = shown if len(shown) <= _LONGEST_VALUE else shown[:_LONGEST_VALUE] + "..."
    unit = f" {field.unit}" if field.unit else ""
    wanted = {
        "timestamp": f"must be in the years {field.low} to {field.high}",
        "number": f"must be a number from {field.low} to {field.high}{unit}",
        "integer": f"must be a whole number from {field.low} to {field.high}",
        "category": f"must be one of {', '.join(field.choices)}",
        "boolean": "must be true or false",
    }
    return f"{wanted[field.kind]}, and is {shown}"

"""Reading a CSV file: its columns as the fields of requests, and the targets.

Both data sets are embedded under `training/datasets/`; any other CSV with the same columns may take their
place. An error is one line that names the file, the row and the column.

The bike data are cleaned: rows are sorted by time; a blank `weathersit` (609 of the embedded 17,379) takes
the code of the row before it (at the head of a file, the first code there is); a blank `atemp` stays
missing. `casual`, `registered` and `cnt` are targets, never inputs. `instant`, `season`, `yr`, `mnth`,
`weekday` and `workingday` are not read: the calendar gives the same.
"""

import hashlib
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.admission import ADMISSION
from models.arrays import BoolArray, Columns, FloatArray, IntArray
from models.bikes import BIKES
from models.errors import DataError
from models.rows import other_separator
from models.task import Task

if TYPE_CHECKING:
    import pandas as pd

# pandas is imported where a file is read: that takes longer than a command of `train` that reads none.

DATASETS = Path(__file__).parent / "datasets"

NOT_MEASURED = {"humidity": 0.0}
"""Field -> what stands for it where the sensor failed, on 2011-03-10: no air is that dry. These rows are
learned from like all others, but are no part of the range in which the model has learned something."""


@dataclass(frozen=True)
class Dataset:
    """Rows of a task, and their outcomes.

    columns : field name -> (n_rows,), see `models.task.Field` for the form of each.
    targets : name -> (n_rows,) float64. bikes: casual, registered and rentals (their sum), an hour;
        admission: admitted, 0 or 1.
    digest : SHA-256 of the file, in hexadecimal.
    source : the file's name.
    """

    task: Task
    columns: Columns
    targets: Mapping[str, FloatArray]
    digest: str
    source: str

    def __len__(self) -> int:
        return len(next(iter(self.targets.values())))

    @property
    def outcome(self) -> FloatArray:
        """What the task's answer is about, (n_rows,): rentals, or whether admitted (0 or 1)."""
        return self.targets[self.task.decision or self.task.target]

    @property
    def hours(self) -> NDArray[np.datetime64]:
        """The timestamp of each row, (n_rows,) datetime64[h]; only for a task that has one."""
        return self.columns[self.task.time_field]

    def take(self, rows: IntArray) -> Columns:
        """The fields of the given rows."""
        return {name: values[rows] for name, values in self.columns.items()}


def read(task_name: str, path: Path | None = None) -> Dataset:
    """The data set of a task (such as "bikes"): the embedded one, or the CSV at `path`.

    Raises DataError when there is no such file or when it cannot be used.
    """
    schema = SCHEMAS[task_name]
    where = DATASETS / schema.file if path is None else path
    content = _content(where)
    digest = hashlib.sha256(content).hexdigest()
    if path is None and digest != schema.digest:
        raise DataError(f"{where}: the embedded data set was changed (its SHA-256 is {digest})")
    text = _text(where.name, content)
    _check_header(where.name, text, [column.name for column in schema.columns])
    table = _Table(where.name, _parse(where.name, text), schema.columns)
    columns, targets = schema.convert(table)
    task = schema.task
    wanted = [*task.field_names, task.decision or task.target]
    if lacking := [name for name in wanted if name not in columns and name not in targets]:
        raise DataError(f"{where.name}: the schema of {task.name} makes no {', '.join(lacking)}")
    return Dataset(task, columns, targets, digest, where.name)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a directory, not a CSV file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _text(name: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not a CSV file (byte {error.start} is no UTF-8 text)") from None
    if not text.strip():
        raise DataError(f"{name}: the file is empty")
    if "\0" in text:
        raise DataError(f"{name}: not a CSV file (it holds a NUL byte)")
    return text


def _parse(name: str, text: str) -> "pd.DataFrame":
    """The cells as text; the index of a row is its line in the file, less two."""
    frame = _read_csv(name, text, header=0).rename(columns=str.strip)
    cells = frame.fillna("").apply(lambda column: column.str.strip())
    filled: pd.DataFrame = cells.loc[(cells != "").any(axis=1)]
    return filled


def _check_header(name: str, text: str, columns: Sequence[str]) -> None:
    """Raise DataError unless each of `columns` is there once; of two pandas would rename the second."""
    header = _read_csv(name, text, header=None, nrows=1).iloc[0].str.strip().tolist()
    if words := other_separator(header):
        raise DataError(f"{name}: {words}")
    if missing := [column for column in columns if column not in header]:
        words = "columns {} are missing" if len(missing) > 1 else "column {} is missing"
        raise DataError(f"{name}: {words.format(', '.join(missing))}")
    for column in columns:
        if header.count(column) > 1:
            raise DataError(f"{name}: the column {column} is there twice")


def _read_csv(name: str, text: str, **options: Any) -> "pd.DataFrame":
    """The cells as pandas reads them. Raises DataError for a file that is no CSV."""
    import pandas as pd  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame: pd.DataFrame = pd.read_csv(
                io.StringIO(text),
                dtype=str,
                keep_default_na=False,
                index_col=False,
                skip_blank_lines=False,
                **options,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise DataError(f"{name}: not a CSV file ({reason})") from None
    return frame


@dataclass(frozen=True)
class _Column:
    """A column of a file and the range of its values, in the file's own unit; none for one of words."""

    name: str
    low: float = -np.inf
    high: float = np.inf
    whole: bool = False
    may_be_blank: bool = False


class _Table:
    """The cells of a file; a column is checked when it is read."""

    def __init__(self, name: str, cells: "pd.DataFrame", columns: tuple[_Column, ...]) -> None:
        self.name, self.cells = name, cells
        self.columns = {column.name: column for column in columns}
        if cells.empty:
            raise DataError(f"{name}: there is no row below the header")

    def numbers(self, name: str) -> FloatArray:
        """A column as numbers, (n_rows,); NaN in a cell that is allowed to be blank."""
        import pandas as pd  # noqa: PLC0415

        column = self.columns[name]
        cells = self.cells[name]
        values = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
        blank = (cells == "").to_numpy()
        if not column.may_be_blank:
            self.refuse(blank, lambda _: f"{name} is blank")
        self.refuse(
            np.isnan(values) & ~blank, lambda row: f"{name} is {cells.iloc[row]!r}, no number"
        )
        self.refuse(
            (values < column.low) | (values > column.high),
            lambda row: f"{name} is {values[row]:g}, outside {column.low:g} to {column.high:g}",
        )
        if column.whole:
            self.refuse(
                ~blank & (values != np.round(values)),
                lambda row: f"{name} is {values[row]:g}, not a whole number",
            )
        return values

    def days(self, name: str) -> NDArray[np.datetime64]:
        """A column of dates, (n_rows,) datetime64[D]."""
        import pandas as pd  # noqa: PLC0415

        cells, column = self.cells[name], self.columns[name]
        days = pd.to_datetime(cells, format="%Y-%m-%d", errors="coerce").to_numpy("datetime64[D]")
        years = days.astype("datetime64[Y]").astype(np.float64) + 1970
        self.refuse(
            np.isnat(days) | (years < column.low) | (years > column.high),
            lambda row: (
                f"{name} is {cells.iloc[row]!r}, not a date (YYYY-MM-DD) from {column.low:g} to "
                f"{column.high:g}"
            ),
        )
        return days

    def codes(self, name: str, choices: Sequence[str]) -> IntArray:
        """A column of words as the index of each among `choices`, (n_rows,) int8."""
        cells = self.cells[name]
        codes = np.array([choices.index(c) if c in choices else -1 for c in cells], np.int8)
        self.refuse(
            codes < 0, lambda row: f"{name} is {cells.iloc[row]!r}, not one of {', '.join(choices)}"
        )
        return codes

    def refuse(self, faulty: BoolArray, say: Callable[[int], str]) -> None:
        """Raise DataError for the first row where `faulty`, (n_rows,) bool, holds."""
        if not faulty.any():
            return
        row = int(np.argmax(faulty))
        line = int(self.cells.index[row]) + 2
        others = int(faulty.sum()) - 1
        more = f" (and {others} more such rows)" if others else ""
        raise DataError(f"{self.name}: row {row + 1} (line {line}): {say(row)}{more}")


_Converted = tuple[Columns, Mapping[str, FloatArray]]


def fill_from_before(values: FloatArray) -> FloatArray:
    """`values`, (n,), with each NaN replaced by the last number before it; at the head by the first."""
    import pandas as pd  # noqa: PLC0415

    return pd.Series(values).ffill().bfill().to_numpy()


def _bikes(table: _Table) -> _Converted:
    hours = table.days("dteday").astype("datetime64[h]") + table.numbers("hr").astype(np.int64)
    order = np.argsort(hours, kind="stable")
    again = np.zeros(len(hours), bool)  # else training and test could share an hour
    again[order[1:]] = hours[order[1:]] == hours[order[:-1]]
    table.refuse(
        again,
        lambda row: f"the hour {hours[row]} is there before; one row must hold all its rentals",
    )
    weather = table.numbers("weathersit")
    if np.isnan(weather).all():
        raise DataError(f"{table.name}: column weathersit is blank in every row")
    casual, registered, count = (table.numbers(name) for name in ("casual", "registered", "cnt"))
    table.refuse(
        casual + registered != count,
        lambda row: (
            f"cnt is {count[row]:g}, not casual + registered = {casual[row] + registered[row]:g}"
        ),
    )
    columns = {
        "timestamp": hours[order],
        "temperature": table.numbers("temp")[order] * 47.0 - 8.0,
        "feels_like": table.numbers("atemp")[order] * 66.0 - 16.0,
        "humidity": table.numbers("hum")[order] * 100.0,
        "wind_speed": table.numbers("windspeed")[order] * 67.0,
        "weather": (fill_from_before(weather[order]) - 1.0).astype(np.int8),
        "holiday": table.numbers("holiday")[order].astype(np.int8),
    }
    targets = {
        "casual": casual[order],
        "registered": registered[order],
        "rentals": count[order],
    }
    return columns, targets


def _admission(table: _Table) -> _Converted:
    columns = {
        "gre": table.numbers("gre").astype(np.int64),
        "gpa": table.numbers("gpa"),
        "rank": table.numbers("rank").astype(np.int64),
    }
    return columns, {"admitted": table.numbers("admit")}


@dataclass(frozen=True)
class Schema:
    """The format of a task's file.

    file, digest : of the embedded copy. convert : makes fields and targets of a file's cells.
    """

    task: Task
    file: str
    digest: str
    columns: tuple[_Column, ...]
    convert: Callable[[_Table], _Converted]


def _scaled(
    column: str, field: str, scale: float, offset: float, *, blank: bool = False
) -> _Column:
    """A column that holds a field as (value - offset) / scale, with the field's range."""
    low, high = BIKES.field_of[field].ends
    return _Column(column, (low - offset) / scale, (high - offset) / scale, may_be_blank=blank)


_MOST = 1e6
"""More rentals than any system has in an hour."""

SCHEMAS: dict[str, Schema] = {
    "bikes": Schema(
        BIKES,
        "hour.csv",
        "ef86ec476850e4795716a057e9bd334a43398ebd3c5d94be193b2869bf3590aa",
        (
            _Column("dteday", 1970, 2100),
            _Column("hr", 0, 23, whole=True),
            _Column("holiday", 0, 1, whole=True),
            _Column("weathersit", 1, 4, whole=True, may_be_blank=True),
            _scaled("temp", "temperature", 47.0, -8.0),
            _scaled("atemp", "feels_like", 66.0, -16.0, blank=True),
            _scaled("hum", "humidity", 100.0, 0.0),
            _scaled("windspeed", "wind_speed", 67.0, 0.0),
            _Column("casual", 0, _MOST, whole=True),
            _Column("registered", 0, _MOST, whole=True),
            _Column("cnt", 0, _MOST, whole=True),
        ),
        _bikes,
    ),
    "admission": Schema(
        ADMISSION,
        "admissions.csv",
        "2f5dcda0e455631215709575cc2eede4e5fb4e94cda9c37dab54e26d79dcf8c2",
        (
            _Column("admit", 0, 1, whole=True),
            _Column("gre", 200, 800, whole=True),
            _Column("gpa", 0, 4),
            _Column("rank", 1, 4, whole=True),
        ),
        _admission,
    ),
}

"""CSV input: its cells are converted to the values that JSON would have.

The first line names the fields, in any order. An optional field may be left out, and an empty cell is a
missing value. Numbers have a decimal point, `holiday` is true or false, or 1 or 0. A row with more or fewer
cells than the first line is a faulty row like any other.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterator
from typing import Any

import orjson

from models.rows import other_separator
from models.task import Field, Task
from service.errors import MALFORMED, Fault, Problem, invalid
from service.fault_messages import MOST_UNKNOWN, unknown_fields
from service.limits import Turns
from service.rows import MISSING, Values

# possessive: a long cell is not tried again and again
_NUMBERS = re.compile(r"[0-9.+\-eE]*+").fullmatch
_PIECE = 500
"""Lines that are read between two pauses for other requests."""
_HEADER = ""
"""The JSON pointer of a fault in the header: the whole body, for a pointer knows only rows and fields."""
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "": MISSING}


class Table:
    """The rows of a CSV, whose values are converted piece by piece.

    lines : the rows without the header; each its cells, or its text if no cell is quoted.
    """

    def __init__(self, names: list[str], lines: list[list[str]] | list[str], task: Task) -> None:
        self.n_rows = len(lines)
        self._lines = lines
        self._task = task
        self._width = len(names)
        self._at = {name: i for i, name in enumerate(names)}

    def cells(self, start: int, stop: int) -> list[list[str]]:
        """The cells of some rows."""
        lines = self._lines[start:stop]
        return [line.split(",") if isinstance(line, str) else line for line in lines]

    def values(self, cells: list[list[str]]) -> Values:
        """The values of some rows by column; a row of another width has none."""
        if set(map(len, cells)) - {self._width}:
            cells = [line if len(line) == self._width else [""] * self._width for line in cells]
        columns = list(zip(*cells, strict=True))
        return {
            field.name: _values(
                field, columns[self._at[field.name]] if field.name in self._at else None, len(cells)
            )
            for field in self._task.fields
        }

    def faults(self, cells: list[list[str]]) -> dict[int, list[Fault]]:
        """Faults of the rows that have more or fewer cells than the header."""
        return {
            i: [Fault(f"the row has {len(line)} cells, and the header has {self._width}", "")]
            for i, line in enumerate(cells)
            if len(line) != self._width
        }


async def read_csv(body: bytes, task: Task, turns: Turns) -> Table:
    """The rows of a CSV, in UTF-8 with a header. Raises Problem."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(MALFORMED, f"The CSV is not UTF-8: byte {error.start}.") from None
    plain = _plain_lines(text)
    lines: list[Any] = plain or []
    del text  # up to four times as large as the body
    if not lines:
        for piece in _pieces(body):
            lines += piece
            await turns.pause()
    if not lines:
        words = (
            f"The CSV is empty; its first line must name the fields {', '.join(task.field_names)}."
        )
        raise Problem(MALFORMED, words)
    header = plain[0].split(",") if plain else lines[0]
    names = [name.strip() for name in header]
    _check_header(names, task)
    return Table(names, lines[1:], task)


def _plain_lines(text: str) -> list[str] | None:
    """The non-empty lines, if no cell is quoted, so that they can be split at commas; else None."""
    end = "\r\n" if "\r" in text else "\n"
    lines = text.split(end)
    if '"' in text or any(text.count(c) != len(lines) - 1 for c in end):
        return None
    if max(map(len, lines), default=0) > csv.field_size_limit():
        return None
    return [line for line in lines if line]


def _pieces(body: bytes) -> Iterator[list[list[str]]]:
    """The non-empty lines as lists of cells, some hundred at a time. Raises Problem."""
    lines = io.TextIOWrapper(io.BytesIO(body), "utf-8-sig", newline="")
    reader = csv.reader(lines, strict=True)
    try:
        while piece := list(itertools.islice(reader, _PIECE)):
            yield [line for line in piece if line]
    except csv.Error as error:
        raise Problem(
            MALFORMED, f"The CSV cannot be read: line {reader.line_num}: {error}."
        ) from None


def _check_header(names: list[str], task: Task) -> None:
    known = task.field_names
    if words := other_separator(names):
        raise invalid([Fault(words, _HEADER)])
    faults = [
        Fault(f.detail, _HEADER) for f in unknown_fields(filter(None, names), task.field_of, "")
    ]
    faults += [
        Fault(f"column {i} has no name; if it counts the rows, leave it out", _HEADER)
        for i, name in enumerate(names[:MOST_UNKNOWN], 1)
        if not name
    ]
    faults += [
        Fault(f"the column {name} is there twice", _HEADER)
        for name in known
        if names.count(name) > 1
    ]
    faults += [
        Fault(f"the column {field.name} is missing", _HEADER)
        for field in task.fields
        if field.required and field.name not in names
    ]
    if faults:
        raise invalid(faults)


def _values(field: Field, cells: tuple[str, ...] | None, n_rows: int) -> list[Any]:
    if cells is None:
        return [MISSING] * n_rows
    if field.kind in ("number", "integer"):
        return _plain_numbers(cells) or [_number(cell) for cell in map(str.strip, cells)]
    if field.kind == "boolean":
        values = list(map(_BOOLEANS.get, cells))
        if None not in values:  # nearly always
            return values
        return [_BOOLEANS.get(cell.lower(), cell) for cell in map(str.strip, cells)]
    stripped = list(map(str.strip, cells))
    return [cell or MISSING for cell in stripped] if "" in stripped else stripped


def _plain_numbers(cells: tuple[str, ...]) -> list[Any] | None:
    """The cells as numbers, MISSING for empty ones; None if any is something else."""
    if not _NUMBERS("".join(cells)):
        return None
    try:  # as JSON, in a tenth of the time of `float`
        numbers: list[Any] = orjson.loads(f"[{','.join(cells)}]")
    except ValueError:
        numbers = []
    if len(numbers) == len(cells):
        return numbers
    try:  # empty cells, or .5 and +3, which JSON does not have; _NUMBERS lets no word through
        return [float(cell) if cell else MISSING for cell in cells]
    except ValueError:
        return None


def _number(cell: str) -> Any:
    """A cell as a number (see `models.rows.NUMBER`); any other text stays text, and is refused later."""
    try:
        return float(cell) if _NUMBERS(cell) else cell
    except ValueError:
        return cell or MISSING

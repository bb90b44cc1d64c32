"""A batch from its body to its answer, in slices.

Between two slices the event loop answers others: a batch of any size holds the interpreter for a
few milliseconds at a time. (A thread would not help: the interpreter's lock is what others wait
for.)
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from pydantic_core import from_json
from starlette.types import Scope

from models.arrays import BoolArray, Columns, FloatArray
from models.task import Task
from service import explanations, replies
from service.errors import INVALID, MALFORMED, TOO_LARGE, Fault, Problem, invalid
from service.limits import give_way
from service.query import Options
from service.replies import Answered
from service.rows import MISSING, Rows, Values, check, transpose
from service.served import Served
from service.tables import Table
from service.words import escape, instead_of, type_words

SLICE_ROWS = 1000
_MOST_FAULTS = 100


@dataclass(frozen=True)
class Batch:
    """Rows as they came.

    form : `instances`, `inputs` or `csv`, which decides how a pointer is written.
    n_rows : how many.
    piece : (start, stop) -> those rows, checked.
    """

    form: str
    n_rows: int
    piece: Callable[[int, int], Rows]

    def pointer(self, row: int, fault: Fault) -> str:
        """Where a fault of a row is in the body; in a CSV /<row>/<field>, the first row is 0."""
        if self.form == "inputs":
            return f"/inputs{fault.pointer}/{row}"
        return (
            f"/instances/{row}{fault.pointer}"
            if self.form == "instances"
            else f"/{row}{fault.pointer}"
        )


def read_json(body: bytes, task: Task, most: int) -> Batch:
    """The batch in a JSON body. Raises Problem."""
    document = _parse(body)
    if type(document) is not dict or len(document) != 1:
        raise Problem(
            MALFORMED, 'The body must be {"instances": [...]} or {"inputs": {field: [values]}}.'
        )
    ((form, rows),) = document.items()
    if form == "instances":
        return _of_instances(rows, task, most)
    if form == "inputs":
        return _of_inputs(rows, task, most)
    words = f"there is no member {form[:50]}; {instead_of(form, ('instances', 'inputs'))}"
    raise invalid([Fault(words, pointer=f"/{escape(form)}")])


def _parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        pass
    try:
        return from_json(body)  # slower, but reads NaN, which then is one row's fault
    except ValueError as error:
        words = f"The body is not JSON: {error}." if body.strip() else "The body is empty."
        raise Problem(MALFORMED, words) from None


def _of_instances(rows: Any, task: Task, most: int) -> Batch:
    if type(rows) is not list:
        raise invalid([Fault(f"instances must be a list, and is {type_words(rows)}", "/instances")])
    limit(len(rows), most)

    def piece(start: int, stop: int) -> Rows:
        part = rows[start:stop]
        values, strange = transpose(part, task)
        return check(values, task, strange, part)

    return Batch("instances", len(rows), piece)


def _of_inputs(columns: Any, task: Task, most: int) -> Batch:
    if type(columns) is not dict:
        words = f"inputs must be an object of lists, and is {type_words(columns)}"
        raise invalid([Fault(words, "/inputs")])
    faults = [
        Fault(f"there is no field {name[:50]}; {instead_of(name, task.field_names)}", _at(name))
        for name in columns
        if name not in task.field_names
    ]
    faults += [
        Fault(f"{field.name} is missing", _at(field.name))
        for field in task.fields
        if field.required and field.name not in columns
    ]
    faults += [
        Fault(f"{name[:50]} must be a list, and is {type_words(values)}", _at(name))
        for name, values in columns.items()
        if type(values) is not list
    ]
    if faults:
        raise invalid(faults)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        words = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise invalid(
            [Fault(f"the lists must be of one length, and have {words} values", "/inputs")]
        )
    return of_columns("inputs", columns, task, most)


def _at(name: str) -> str:
    return f"/inputs/{escape(name)}"


def of_columns(form: str, columns: Values, task: Task, most: int) -> Batch:
    """A batch from lists of values of one length, by field."""
    n_rows = len(next(iter(columns.values())))
    limit(n_rows, most)
    absent = [MISSING] * min(n_rows, SLICE_ROWS)

    def piece(start: int, stop: int) -> Rows:
        return check(
            {
                name: columns[name][start:stop] if name in columns else absent[: stop - start]
                for name in task.field_names
            },
            task,
        )

    return Batch(form, n_rows, piece)


def of_table(table: Table, task: Task, most: int) -> Batch:
    """A batch from the rows of a CSV."""
    limit(len(table.lines), most)

    def piece(start: int, stop: int) -> Rows:
        rows = check(table.values(start, stop), task)
        return Rows(rows.columns, rows.faults | table.faults(start, stop))

    return Batch("csv", len(table.lines), piece)


def limit(n_rows: int, most: int) -> None:
    """Raise Problem if a batch has more than `most` rows."""
    if n_rows > most:
        raise Problem(
            TOO_LARGE, f"A batch may have at most {most} rows, and this one has {n_rows}."
        )


def limit_explained(n_rows: int, most: int) -> None:
    """Raise Problem if a batch of which every row is to be explained has more than `most` rows."""
    if n_rows > most:
        raise Problem(
            TOO_LARGE,
            f"With explain=true a batch may have at most {most} rows, and this one has {n_rows}.",
        )


@dataclass(frozen=True)
class Reply:
    """What is answered to a batch, and what is counted of it.

    columns, values : the rows that were answered and their answers.
    outside : how many of them have a warning.
    """

    body: bytes
    columns: Columns
    values: FloatArray
    outside: int


async def answer(
    scope: Scope, served: Served, batch: Batch, options: Options, *, as_csv: bool
) -> Reply:
    """Answer a batch slice by slice. Raises Problem; with `strict`, for any bad row."""
    pieces: list[tuple[Rows, Answered]] = []
    parts: list[bytes] = []
    faults: list[Fault] = []
    for start in range(0, batch.n_rows, SLICE_ROWS):
        rows = batch.piece(start, min(start + SLICE_ROWS, batch.n_rows))
        placed = {i: _place(batch, start + i, found) for i, found in rows.faults.items()}
        faults += itertools.chain.from_iterable(placed.values())
        prediction = served.model.predict(rows.columns, options.level)
        errors = {i: _row_error(found) for i, found in placed.items()}
        explained = None
        if options.explain and not (options.strict and faults):
            explained = await explanations.of_rows(
                scope, served, rows.columns, prediction.value, rows.faults
            )
        answered = Answered(prediction, served.outside(rows.columns), errors, explained)
        pieces.append((rows, answered))
        parts.append(
            replies.rows_csv(served, answered)
            if as_csv
            else replies.rows_json(served, answered, options.level)
        )
        await give_way(scope)
    if options.strict and faults:
        raise _refusal(faults)
    body = (
        replies.csv_header(served, explained=options.explain) + b"".join(parts)
        if as_csv
        else replies.batch_json(served, parts)
    )
    return _counted(body, pieces, served.model.task)


def _place(batch: Batch, row: int, faults: list[Fault]) -> list[Fault]:
    return [Fault(fault.detail, batch.pointer(row, fault)) for fault in faults]


def _row_error(faults: list[Fault]) -> dict[str, Any]:
    problem = invalid(faults)
    return {"detail": problem.detail, "errors": [fault.as_json() for fault in faults]}


def _refusal(faults: list[Fault]) -> Problem:
    rest = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    words = f"{faults[0].pointer}: {faults[0].detail}{rest}"
    return Problem(INVALID, words, faults[:_MOST_FAULTS])


def _kept(rows: Rows, n_rows: int) -> slice | BoolArray:
    """Which rows have no fault."""
    if not rows.faults:
        return slice(None)
    kept = np.ones(n_rows, dtype=bool)
    kept[list(rows.faults)] = False
    return kept


def _counted(body: bytes, pieces: list[tuple[Rows, Answered]], task: Task) -> Reply:
    """The reply with the rows that were answered, the faulty ones left out."""
    if len(pieces) == 1 and not pieces[0][0].faults:
        ((rows, a),) = pieces
        return Reply(body, rows.columns, a.prediction.value, int(np.count_nonzero(a.bits)))
    kept = [_kept(rows, len(a.bits)) for rows, a in pieces]
    of_pieces = list(zip(pieces, kept, strict=True))
    columns = {
        name: np.concatenate([rows.columns[name][k] for (rows, _), k in of_pieces])
        for name in (task.field_names if pieces else ())
    }
    values = [a.prediction.value[k] for (_, a), k in of_pieces]
    outside = sum(int(np.count_nonzero(a.bits[k])) for (_, a), k in of_pieces)
    return Reply(body, columns, np.concatenate(values) if values else np.empty(0), outside)

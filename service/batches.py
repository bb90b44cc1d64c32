"""A batch, from its body to its answer, in slices.

Between the steps of a slice, and between rows that are checked one by one, the batch yields to other
requests whenever it has worked for a few milliseconds (`service.limits.Turns`), whatever its size and
however many faults it has. (A thread would not help: others would wait for the interpreter's lock.) Slices
have a fixed number of rows, so that an answer has the same bits however busy the machine is. Only parsing
the body and joining the answer are not divided.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from models.arrays import Columns, FloatArray
from models.task import Task
from service import explanations, replies, texts
from service.errors import INVALID, MALFORMED, TOO_LARGE, Fault, Problem, invalid
from service.fault_messages import (
    instead_of,
    pointer_to,
    pointer_to_unknown,
    type_words,
    unknown_fields,
)
from service.limits import Turns
from service.parsing import json_of
from service.query import Options
from service.replies import Answered, Text
from service.rows import MISSING, Rows, Values, check, transpose
from service.served import Served
from service.tables import Table

FORMS = "instances", "inputs"
"""The member of a JSON body that holds the rows is one of them."""
SLICE_ROWS = 1000
_MOST_FAULTS = 100
_LISTS = {list, texts.Taken}


@dataclass(frozen=True)
class Batch:
    """The rows of a request, not checked yet.

    form : `instances`, `inputs` or `csv`; decides how a pointer is written.
    n_rows : how many.
    piece : (start, stop, turns) -> those rows, checked.
    """

    form: str
    n_rows: int
    piece: Callable[[int, int, Turns], Coroutine[Any, Any, Rows]]

    def pointer(self, row: int, fault: Fault) -> str:
        """The JSON pointer of a row's fault in the body; in a CSV /<row>/<field>, counted from 0."""
        if self.form == "inputs":
            return f"/inputs{fault.pointer}/{row}"
        rows = "/instances" if self.form == "instances" else ""
        return f"{rows}/{row}{fault.pointer}"


def read_json(body: bytes, task: Task, most: int) -> Batch:
    """The batch in a JSON body. Raises Problem."""
    document = json_of(body, most, task)
    if type(document) is not dict or len(document) != 1:
        raise Problem(
            MALFORMED,
            'The body must be {"instances": [...]} or {"inputs": {field: [values]}}; '
            f"a single row goes to /predict/{task.name}.",
        )
    ((form, rows),) = document.items()
    if form == "instances":
        return _of_instances(rows, task, most)
    if form == "inputs":
        return _of_inputs(rows, task, most)
    words = f"there is no member {form[:50]}; {instead_of(form, FORMS)}"
    raise invalid([Fault(words, pointer=pointer_to_unknown(form))])


def _of_instances(rows: Any, task: Task, most: int) -> Batch:
    if type(rows) is not list:
        raise invalid([Fault(f"instances must be a list, and is {type_words(rows)}", "/instances")])
    limit(len(rows), most)

    async def piece(start: int, stop: int, turns: Turns) -> Rows:
        part = rows[start:stop]
        values, strange = transpose(part, task)
        return await check(values, task, turns, strange, part)

    return Batch("instances", len(rows), piece)


def _of_inputs(columns: Any, task: Task, most: int) -> Batch:
    if type(columns) is not dict:
        words = f"inputs must be an object of lists, and is {type_words(columns)}"
        raise invalid([Fault(words, "/inputs")])
    whole = columns.keys() == task.field_of.keys() and {*map(type, columns.values())} <= _LISTS
    faults = [] if whole else _faults_of_form(columns, task)
    if faults:
        raise invalid(faults)
    if len(set(map(len, columns.values()))) > 1:
        words = ", ".join(f"{name} {len(values)}" for name, values in columns.items())
        raise invalid(
            [Fault(f"the lists must be of one length, and have {words} values", "/inputs")]
        )
    return of_columns(columns, task, most)


def _faults_of_form(columns: dict[str, Any], task: Task) -> list[Fault]:
    """The faults of unknown names, of missing fields, and of fields that are no lists."""
    faults = unknown_fields(columns, task.field_of, "/inputs")
    faults += [
        Fault(f"{field.name} is missing", pointer_to(field.name, "/inputs"))
        for field in task.fields
        if field.required and field.name not in columns
    ]
    faults += [
        Fault(
            f"{name} must be a list, and is {type_words(columns[name])}",
            pointer_to(name, "/inputs"),
        )
        for name in task.field_names
        if name in columns and type(columns[name]) not in _LISTS
    ]
    return faults


def of_columns(columns: Values, task: Task, most: int) -> Batch:
    """A batch from lists of values, all of one length, by field."""
    n_rows = len(next(iter(columns.values())))
    limit(n_rows, most)
    absent = [MISSING] * min(n_rows, SLICE_ROWS)

    async def piece(start: int, stop: int, turns: Turns) -> Rows:
        if stop - start == n_rows and len(columns) == len(task.fields):
            return await check(columns, task, turns)
        values = {
            name: columns[name][start:stop] if name in columns else absent[: stop - start]
            for name in task.field_names
        }
        return await check(values, task, turns)

    return Batch("inputs", n_rows, piece)


def of_table(table: Table, task: Task, most: int) -> Batch:
    """A batch from the rows of a CSV."""
    limit(table.n_rows, most)

    async def piece(start: int, stop: int, turns: Turns) -> Rows:
        cells = table.cells(start, stop)
        rows = await check(table.values(cells), task, turns)
        return Rows(rows.columns, rows.faults | table.faults(cells))

    return Batch("csv", table.n_rows, piece)


def limit(n_rows: int, most: int, batch: str = "A batch") -> None:
    """Raise Problem if a batch has more than `most` rows; `batch` is what the message calls it."""
    if n_rows > most:
        words = f"{batch} may have at most {most} rows, and this one has {n_rows}."
        raise Problem(TOO_LARGE, words)


@dataclass(frozen=True)
class Reply:
    """The answer to a batch, and what the metrics count of it.

    columns, values : the answered rows by column, and their answers (n_answered,).
    outside : how many of them have a warning.
    """

    body: bytes
    columns: Columns
    values: FloatArray
    outside: int


class _Counted(NamedTuple):
    """What `Reply` counts, for one slice."""

    columns: Columns
    values: FloatArray
    outside: int


async def answer(
    turns: Turns, served: Served, batch: Batch, options: Options, *, as_csv: bool
) -> Reply:
    """Answer a batch slice by slice. Raises Problem; with `strict`, for any bad row."""
    error_text = (
        replies.error_csv(served, explained=options.explain) if as_csv else replies.error_json
    )
    written: list[Text] = []
    slices: list[_Counted] = []
    refused = _Refused()
    for start in range(0, batch.n_rows, SLICE_ROWS):
        await turns.pause()
        rows = await batch.piece(start, min(start + SLICE_ROWS, batch.n_rows), turns)
        failed = {}
        for i, found in rows.faults.items():
            placed = [Fault(f.detail, batch.pointer(start + i, f)) for f in found]
            # written at once: the faults of a whole batch take much memory
            failed[i] = error_text(placed)
            refused.add(placed)
            await turns.pause()
        await turns.pause()
        prediction = served.model.predict(rows.columns, options.level)
        explained = None
        if options.explain and not (options.strict and refused.count):
            explained = await explanations.of_rows(
                turns.scope, served, rows.columns, prediction.value, rows.faults
            )
        await turns.pause()
        answered = Answered(prediction, served.outside(rows.columns), failed, explained)
        written.append(
            replies.rows_csv(served, answered)
            if as_csv
            else replies.rows_json(served, answered, options.level)
        )
        slices.append(_counted(rows, answered))
    await turns.pause()
    if options.strict and refused.count:
        raise refused.problem()
    body = (
        replies.csv_header(served, explained=options.explain) + b"".join(written)
        if as_csv
        else replies.batch_json(served, written)
    )
    return _together(body, slices)


class _Refused:
    """The faults of a batch: the first ones, and their number."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[Fault] = []

    def add(self, faults: list[Fault]) -> None:
        """Add the faults of a row."""
        self.count += len(faults)
        if len(self._first) < _MOST_FAULTS:
            self._first += faults

    def problem(self) -> Problem:
        """The problem of the whole batch, where one faulty row fails it (`strict`)."""
        fault, rest = self._first[0], f" (and {self.count - 1} more)" if self.count > 1 else ""
        words = f"{fault.pointer}: {fault.detail}{rest}"
        return Problem(INVALID, words, self._first[:_MOST_FAULTS])


def _counted(rows: Rows, answered: Answered) -> _Counted:
    """What is counted of one slice, without its faulty rows."""
    columns, value, bits = rows.columns, answered.prediction.value, answered.bits
    if rows.faults:
        kept = np.ones(len(bits), dtype=bool)
        kept[list(rows.faults)] = False
        columns = {name: column[kept] for name, column in columns.items()}
        value, bits = value[kept], bits[kept]
    return _Counted(columns, value, int(np.count_nonzero(bits)))


def _together(body: bytes, slices: list[_Counted]) -> Reply:
    """The reply to a batch, from its body and what is counted of its slices."""
    if len(slices) == 1:
        return Reply(body, *slices[0])
    if not slices:
        return Reply(body, {}, np.empty(0), 0)
    columns = {
        name: np.concatenate([part.columns[name] for part in slices]) for name in slices[0].columns
    }
    values = np.concatenate([part.values for part in slices])
    return Reply(body, columns, values, sum(part.outside for part in slices))

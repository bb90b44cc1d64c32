"""Columns of timestamps that are read from the bytes of a body."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models import timestamps
from models.bikes import BIKES
from models.rows import to_json
from models.task import Task
from models.tasks import TASKS
from service import batches, times
from service.errors import Problem
from service.times import Times
from tests import tiny

COLUMNS = to_json(BIKES, tiny.rows("bikes", 4, np.random.default_rng(3)))
COLUMNS["timestamp"] = [f"{hour}:00:00" for hour in COLUMNS["timestamp"]]
TURNED = dict(reversed(COLUMNS.items()))
BLANKS = COLUMNS | {"timestamp": [text.replace("T", " ") for text in COLUMNS["timestamp"]]}
SHORT = COLUMNS | {"timestamp": [text[:16] for text in COLUMNS["timestamp"]]}
BODIES = [
    body
    for columns in (COLUMNS, TURNED, BLANKS, SHORT)
    for body in (orjson.dumps({"inputs": columns}), json.dumps({"inputs": columns}).encode())
]
PIECES = [
    b'"timestamp"',
    b'"timestamp": ["',
    b'"',
    b"]",
    b"[",
    b"\\",
    b",",
    b"null",
    b"\xc2",
    b"2",
    b" ",
]


def outcome(body: bytes) -> Any:
    """What comes of a body: its rows and faults, or the problem that it is."""
    try:
        batch = batches.read_json(body, BIKES, 100)
        rows = batch.piece(0, batch.n_rows)
    except Problem as problem:
        return str(problem), [fault.as_json() for fault in problem.faults]
    columns = {name: column.tolist() for name, column in rows.columns.items()}
    return repr(columns), {i: [f.as_json() for f in found] for i, found in rows.faults.items()}


def usual(body: bytes) -> Any:
    """What comes of a body whose timestamps are parsed with the rest of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "parse", lambda *_: None)
        return outcome(body)


@pytest.mark.parametrize("body", BODIES)
def test_texts_of_one_layout_are_taken_out(body: bytes) -> None:
    """Local times of one layout become Times, wherever their column stands and however JSON is spaced."""
    column = times.parse(body, BIKES)["inputs"]["timestamp"]
    texts = orjson.loads(body)["inputs"]["timestamp"]
    assert isinstance(column, Times)
    assert [column[i] for i in range(len(column))] == texts
    assert column[1:3].parsed[0].tolist() == timestamps.parse_many(texts)[0][1:3].tolist()
    assert outcome(body) == usual(body)


@pytest.mark.parametrize("task", TASKS.values())
@pytest.mark.parametrize("body", [b"", b"{}", b'{"timestamp": ["2012-06-01T17:00:00", "', b"[]"])
def test_nothing_is_taken_out_of_another_body(task: Task, body: bytes) -> None:
    """A body that has no such column is not looked at."""
    assert times.parse(body, task) is None


T = b'"2012-06-01T17:00:00"'
PAIR = b'"timestamp": [' + T + b", " + T + b"]"
REST = orjson.dumps({name: v[:2] for name, v in COLUMNS.items() if name != "timestamp"})[1:-1]


@pytest.mark.parametrize(
    "inside",
    [
        PAIR + b', "timestamp": [1, 2], ' + REST,
        b'"timestamp": [1, 2], ' + PAIR + b", " + REST,
        PAIR + b", " + PAIR.replace(b"2012", b"2011") + b", " + REST,
        REST + b', "x\\' + PAIR,
        REST + b', "x": {' + PAIR + b"}",
        REST + b', "x": "\\"timestamp\\": [\\"2012-06-01T17:00:00\\"]"',
        PAIR.replace(b'00"]', b'00" ]') + b", " + REST,
        PAIR.replace(b", ", b" ,") + b", " + REST,
        PAIR.replace(b"06-01", b"02-30") + b", " + REST,
        PAIR.replace(T, T[:-1] + b'Z"') + b", " + REST,
        PAIR.replace(T, b'"2012-06-01T17"') + b", " + REST,
        PAIR.replace(b"]", b"") + b", " + REST,
        REST + b", " + PAIR[:-1],
        PAIR + b", " + REST.replace(b"0", b"NaN", 1),
        PAIR + b", " + REST + b', "\\ud800": 1',
    ],
)
def test_column_that_only_looks_so_is_read_as_ever(inside: bytes) -> None:
    """A name that comes twice or stands elsewhere, or a text of another layout, makes no difference."""
    body = b'{"inputs": {' + inside + b"}}"
    assert outcome(body) == usual(body)


@given(
    body=st.sampled_from(BODIES),
    at=st.integers(0, 900),
    cut=st.integers(0, 4),
    piece=st.sampled_from(PIECES) | st.binary(max_size=2),
)
@example(
    body=BODIES[1], at=len(b'{"inputs": {"timestamp": ["2012-06-01T17:00:00'), cut=0, piece=b"\\"
)
def test_spoilt_body_is_read_or_refused_as_ever(
    body: bytes, at: int, cut: int, piece: bytes
) -> None:
    """Wherever bytes are lost or others come in, rows, faults and refusals are those of the usual way."""
    spoilt = body[:at] + piece + body[at + cut :]
    assert outcome(spoilt) == usual(spoilt)

"""CSV in and out, as a body and as an uploaded file."""

import asyncio
import csv
import io
import json
import re
import tempfile
import time
import tracemalloc
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bikes import BIKES
from models.rows import NUMBER, to_json
from models.tasks import TASKS
from service import tables
from service.batches import SLICE_ROWS
from service.errors import Problem
from service.limits import Turns
from service.routes.batch import wants_csv
from service.rows import MISSING
from tests import strategies, tiny
from tests.serving import checked_csv, connect, example, tiny_app

pytestmark = pytest.mark.anyio
APP = tiny_app()
HEADER = ",".join(BIKES.field_names)


def as_csv(values: dict[str, list[Any]]) -> str:
    """Rows by column as CSV; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(values)
    for row in zip(*values.values(), strict=True):
        cells = ["" if value is None else value for value in row]
        writer.writerow([str(c).lower() if isinstance(c, bool) else c for c in cells])
    return text.getvalue()


def one_row(**changes: Any) -> str:
    """The example row of bikes as CSV."""
    return as_csv({name: [value] for name, value in example(BIKES, **changes).items()})


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ("", False),
        ("*/*", False),
        ("text/html, application/xhtml+xml, */*;q=0.8", False),
        ("text/csv", True),
        ("TEXT/CSV; header=present", True),
        ("text/*", True),
        ("text/csv, */*", True),
        ("text/csv, application/json", False),
        ("text/csv, application/json;q=1", False),
        ("text/csv, application/json;q=0.9", True),
        ("text/csv;q=0.5, */*;q=0.8", False),
        ("text/csv;q=0.1, */*;q=0.01", True),
        ("*/*, text/csv;q=0", False),
        ("text/csv;q=much", False),
    ],
)
def test_form_of_the_answer_is_the_one_that_is_accepted_most(accept: str, *, is_csv: bool) -> None:
    """Weights count, a wildcard stands for what is not named, and JSON comes without a preference."""
    assert wants_csv(accept.encode()) is is_csv


async def post(
    body: str | bytes, name: str = "bikes", query: str = "", **how: Any
) -> httpx.Response:
    """The answer to a CSV."""
    app = how.pop("app", APP)
    headers = {"content-type": "text/csv", **how}
    async with connect(app) as client:
        return await client.post(f"/predict/{name}/batch{query}", content=body, headers=headers)


def lines(answer: httpx.Response) -> list[dict[str, str]]:
    """The lines of an answer in CSV by the names of its header."""
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


@pytest.mark.parametrize("name", TASKS)
async def test_csv_is_answered_as_the_same_rows_in_json(name: str) -> None:
    """Rows of several slices get in CSV, in their order, the numbers that they get in JSON."""
    values = to_json(TASKS[name], tiny.rows(name, SLICE_ROWS + 30, np.random.default_rng(3)))
    target = TASKS[name].target
    async with connect(APP) as client:
        by_json = await client.post(f"/predict/{name}/batch", json={"inputs": values})
    wanted = by_json.json()["predictions"]
    answer = await post(as_csv(values), name)
    assert answer.json()["predictions"] == wanted
    found = lines(await post(as_csv(values), name, accept="text/csv"))
    assert [float(line[target]) for line in found] == [row[target] for row in wanted]
    assert [float(line["high"]) for line in found] == [row["interval"]["high"] for row in wanted]
    assert [line["warnings"] for line in found] == ["; ".join(row["warnings"]) for row in wanted]
    assert {line["error"] for line in found} == {""}
    if name == "admission":
        assert [line["admitted"] for line in found] == [
            str(row["admitted"]).lower() for row in wanted
        ]


async def test_faulty_row_has_its_error_in_its_place() -> None:
    """A bad row has nothing but its faults in the column error, and the pointer /<row>/<field> in JSON."""
    good, bad = one_row().splitlines()[1], one_row(humidity=101, weather="claer").splitlines()[1]
    body = f"{HEADER}\n{good}\n{bad}\nonly,three,cells\n{good}"
    found = lines(await post(body, accept="text/csv"))
    assert [bool(line["rentals"]) for line in found] == [True, False, False, True]
    assert found[1]["error"] == (
        "humidity must be between 0 and 100 %; weather must be one of clear, mist, "
        "light_precipitation, heavy_precipitation; did you mean clear?"
    )
    assert found[2]["error"] == "the row has 3 cells, and the header has 7"
    predictions = (await post(body)).json()["predictions"]
    pointers = [
        [fault.get("pointer") for fault in row["error"]["errors"]]
        for row in predictions
        if "error" in row
    ]
    assert pointers == [["/1/humidity", "/1/weather"], ["/2"]]


async def test_fault_of_the_header_points_to_the_whole_body() -> None:
    """A JSON pointer knows rows and fields, so for the header it is the empty one (RFC 6901)."""
    answer = await post("timestamp,temprature\n")
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {""}


async def test_strict_refuses_a_csv_with_a_faulty_row() -> None:
    """With ?strict=true one bad row refuses the file with 422."""
    body = one_row() + one_row(humidity=101).splitlines()[1]
    answer = await post(body, query="?strict=true", accept="text/csv")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/1/humidity"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "The CSV is empty; its first line must name the fields timestamp, temperature"),
        (b"\xff\xfe\n", 400, "The CSV is not UTF-8: byte 0"),
        (b'timestamp\n"open', 400, "The CSV cannot be read: line 2"),
        (b"timestamp,temprature\n", 422, "there is no field temprature; did you mean temperature?"),
        (HEADER.encode() + b",humidity\n", 422, "the column humidity is there twice"),
        (b"timestamp,temperature,humidity,weather\n", 422, "the column wind_speed is missing"),
        (
            b"timestamp;temperature\n2012-06-01T17:00;20,5\n",
            422,
            "the cells must have commas between them, and have semicolons",
        ),
        (
            b"timestamp\ttemperature\n",
            422,
            "the cells must have commas between them, and have tabs",
        ),
        (
            b",timestamp,temperature\n0,2012-06-01T17:00,20\n",
            422,
            "column 1 has no name; if it counts",
        ),
    ],
    ids=["empty", "encoding", "quote", "unknown", "twice", "missing", ";", "tab", "no name"],
)
async def test_csv_that_cannot_be_read_is_explained(body: bytes, status: int, words: str) -> None:
    """What is wrong with the file as a whole is said in words."""
    answer = await post(body)
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(words)


async def test_forms_of_a_csv_that_spreadsheets_write() -> None:
    """A byte order mark, line ends, blanks around cells, TRUE, empty lines and any order are taken."""
    plain = (await post(one_row(holiday=True))).json()["predictions"]
    names = [*reversed(BIKES.field_names)]
    row = example(BIKES, holiday="TRUE")
    text = ", ".join(names) + "\r\n\r\n" + " , ".join(str(row[name]) for name in names) + "\r\n"
    assert (await post(b"\xef\xbb\xbf" + text.encode())).json()["predictions"] == plain


async def test_a_quoted_csv_is_not_held_as_text() -> None:
    """One letter beyond the basic plane makes a text four times as large; nobody keeps it."""
    held = []

    class Watched(Turns):
        async def pause(self) -> None:
            """Look at the memory where others would have their turn."""
            held.append(tracemalloc.get_traced_memory()[0])

    lines = HEADER.encode() + b"\n" + (b'"' + b"a" * 2000 + b'"\n') * 1000
    body = lines + "\N{BICYCLE}".encode() * 2
    tracemalloc.start()
    await tables.read_csv(body, BIKES, Watched({}))
    tracemalloc.stop()
    assert min(held) < 2 * len(body)


@given(
    lines=st.lists(st.text(st.sampled_from("a1.-, \t\x0b\u2028"), max_size=6), max_size=6),
    end=st.sampled_from(["\n", "\r\n", "\r", "\n\r", "\n\n"]),
)
def test_plain_lines_are_what_the_csv_reader_reads(lines: list[str], end: str) -> None:
    """The short way to the cells gives what the csv module gives, or leaves the text to it."""
    text = end.join(lines)
    found = tables._plain_lines(text)
    read = [line for piece in tables._pieces(text.encode()) for line in piece]
    assert found is None or [line.split(",") for line in found] == read
    assert tables._plain_lines('a,"b"') is None
    assert tables._plain_lines("a" * (csv.field_size_limit() + 1)) is None


@given(cells=st.lists(st.text(st.sampled_from("0123456789.+-eE_ nN٣"), max_size=5), max_size=3))
def test_plain_numbers_are_those_of_single_cells(cells: list[str]) -> None:
    """The short way to a column of numbers gives what each cell gives, or leaves the column to it."""
    found = tables._plain_numbers(tuple(cells))
    assert found is None or found == [tables._number(cell.strip()) for cell in cells]


@given(cell=st.text(st.sampled_from("01.+-eE_ n٣"), max_size=6))
def test_single_cell_is_a_number_as_declared(cell: str) -> None:
    """What a request takes for a number is what the scoring of files does."""
    is_number = re.fullmatch(NUMBER, cell) is not None
    assert isinstance(tables._number(cell), float) == is_number


@pytest.mark.parametrize("form", ["{}x", ".{}x", "{}.{}x", "1e{}x", "{}.x", "+{}ex"])
def test_long_cell_that_is_no_number_costs_no_more_than_it_is_long(form: str) -> None:
    """Both matches are linear: others would wait for minutes, 10,000 times as long as for a number."""
    cell, number = form.replace("{}", "1" * 20_000), "1" * 20_000

    def seconds(text: str) -> float:
        started = time.process_time()
        assert (re.fullmatch(NUMBER, text) is None) == (tables._number(text) == text)
        return time.process_time() - started

    assert tables._number(cell) == cell
    assert seconds(cell) < 1000 * min(seconds(number) for _ in range(5))


@pytest.mark.parametrize("spoilt", [(), (" true ",)], ids=["plain", "with blanks"])
def test_truth_values_are_words_or_digits(spoilt: tuple[str, ...]) -> None:
    """In any letters, and 1 and 0 as the data sets have them; an empty cell is none of them."""
    cells = ("true", "false", "1", "0", "", *spoilt)
    found = tables._values(BIKES.field_of["holiday"], cells, len(cells))
    assert found == [True, False, True, False, MISSING, *(True for _ in spoilt)]


@pytest.mark.parametrize("field", ["timestamp", "humidity", "weather"])
async def test_empty_cell_is_a_missing_value(field: str) -> None:
    """The field of an empty cell is said to be missing, whatever its kind is."""
    (row,) = (await post(one_row(**{field: None}))).json()["predictions"]
    assert row["error"]["detail"].startswith(f"{field} is missing: ")


async def test_optional_columns_may_be_left_out() -> None:
    """A file without the optional columns is that with empty cells."""
    row = example(BIKES)
    short = {k: [v] for k, v in row.items() if k not in {"feels_like", "holiday"}}
    empty = {name: short.get(name, [None]) for name in BIKES.field_names}
    assert (await post(as_csv(short))).json() == (await post(as_csv(empty))).json()


async def test_header_alone_is_an_empty_batch() -> None:
    """A file of no rows is answered with no rows."""
    assert (await post(HEADER)).json()["predictions"] == []
    assert lines(await post(HEADER, accept="text/csv")) == []


async def test_too_many_lines_are_refused_with_the_limit() -> None:
    """413 says how many rows there may be."""
    body = one_row() + one_row().splitlines()[1] + "\n"
    answer = await post(body, app=tiny_app(batch_rows=1))
    assert answer.status_code == 413
    assert answer.json()["detail"] == "A batch may have at most 1 rows, and this one has 2."


async def test_uploaded_file_is_answered_as_the_body() -> None:
    """A file in the field `file` of a form is the same as its content sent as text/csv."""
    content = one_row() + one_row(humidity=101).splitlines()[1]
    async with connect(APP) as client:
        answer = await client.post(
            "/predict/bikes/batch",
            files={"file": ("rows.csv", content, "text/csv")},
            headers={"accept": "text/csv"},
        )
    assert answer.text == (await post(content, accept="text/csv")).text


async def test_large_uploaded_file_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows go to no disk, and an upload needs none: a container may have no folder of temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    head, row = one_row().splitlines()
    content = "\n".join([head, *[row + 1000 * " "] * 1200])
    async with connect(APP) as client:
        answer = await client.post("/predict/bikes/batch", files={"file": ("rows.csv", content)})
    assert answer.status_code == 200
    assert len(answer.json()["predictions"]) == 1200


@pytest.mark.parametrize(
    "files",
    [
        {"rows": ("rows.csv", one_row(), "text/csv")},
        [("file", ("a.csv", one_row())), ("file", ("b.csv", one_row()))],
    ],
    ids=["other-name", "two"],
)
async def test_form_without_its_one_file_is_refused(files: Any) -> None:
    """A form must have one file, in the field `file`."""
    async with connect(APP) as client:
        answer = await client.post("/predict/bikes/batch", files=files)
    assert answer.status_code in {400, 422}
    assert "one file, in the field file" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ("text/csv", True),
        ("*/*", False),
        ("text/csv, application/json;q=0.5", True),
        ("text/csv;q=0.5, application/json", False),
        ("text/csv;q=nonsense", False),
        ("Text/CSV;Q=1", True),
    ],
)
async def test_csv_is_written_when_it_is_preferred(accept: str, *, is_csv: bool) -> None:
    """Accept decides the form of the answer to any form of batch; without a preference it is JSON."""
    async with connect(APP) as client:
        answer = await client.post(
            "/predict/bikes/batch",
            json={"instances": [example(BIKES)]},
            headers={"accept": accept},
        )
    assert answer.headers["content-type"].startswith("text/csv" if is_csv else "application/json")


async def test_accept_may_come_in_several_lines() -> None:
    """Header lines of one name are one list, whichever of them names the form."""
    async with connect(APP) as client:
        answer = await client.post(
            "/predict/bikes/batch",
            json={"instances": [example(BIKES)]},
            headers=[("accept", "application/json;q=0.5"), ("accept", "text/csv")],
        )
    assert answer.headers["content-type"].startswith("text/csv")


async def test_others_have_their_turn_while_quoted_cells_are_read() -> None:
    """A CSV whose cells are quoted is read piece by piece, to the same lines, and gives way between."""
    text = ",".join(BIKES.field_names) + "\n" + '"1",2\n\n"3"\n' * 1000
    now = iter(range(1000))
    turns = Turns({}, lambda: float(next(now)))
    others = 0

    async def count() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    table = await tables.read_csv(text.encode(), BIKES, turns)
    counting.cancel()
    assert table.cells(0, 3) == [["1", "2"], ["3"], ["1", "2"]]
    assert table.n_rows == 2000
    assert others >= 6  # pieces of 3001 lines


@given(data=st.data())
@pytest.mark.parametrize("name", TASKS)
def test_cells_are_read_as_the_values_that_json_has(name: str, data: st.DataObject) -> None:
    """Good rows written as CSV are read back as what they are, floats to the last digit."""
    task = TASKS[name]
    rows = data.draw(st.lists(strategies.rows(task), min_size=1, max_size=5))
    values = {field: [row.get(field) for row in rows] for field in task.field_names}
    read = asyncio.run(tables.read_csv(as_csv(values).encode(), task, Turns({})))
    read_values = read.values(read.cells(0, len(rows)))
    for field, column in values.items():
        found = [None if value is MISSING else value for value in read_values[field]]
        assert found == column


@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Whatever is sent as CSV is a table or a Problem with a detail."""
    try:
        document = {"detail": str(checked_csv(body, BIKES).faults)}
    except Problem as problem:
        document = json.loads(problem.body("/"))
    assert document["detail"]

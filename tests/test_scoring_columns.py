import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.bikes import BIKES
from models.errors import DataError
from models.task import Task
from models.tasks import TASKS
from tests.serving import checked_csv, example
from training.scoring import columns, parts
from training.scoring.parts import Part

GOOD: dict[str, dict[str, str]] = {
    "bikes": {
        "timestamp": "2012-06-01T17:00:00",
        "temperature": "24",
        "feels_like": "25.5",
        "humidity": "55",
        "wind_speed": "1.2e1",
        "weather": "clear",
        "holiday": "false",
    },
    "admission": {"gre": "660", "gpa": "3.67", "rank": "1"},
}
ODD: dict[str, tuple[str, ...]] = {
    "timestamp": (
        "",
        "2012-06-01T17:30",
        "2012-06-01 17",
        " 2012-06-01T17:00:00 ",
        "\t2012-06-01T17:00",
        "2012-06-01T17\u3000",
        " ",
        "2012-06-01T17:00:00Z",
        "2012-06-01T17:00:00+05:30",
        "2012-06-01",
        "2012-02-30T01:00:00",
        "1969-12-31T23:00:00",
        "1338570000",
        "tomorrow",
    ),
    "number": (
        "",
        " ",
        "\u00a0",
        " 3 ",
        "+3.",
        ".5",
        "3e0",
        " 7 ",
        "nan",
        "inf",
        "1e999",
        "-99",
        "1,5",
        "abc",
        "0x10",
        "true",
        ".",
    ),
    "integer": (
        "",
        " ",
        " 3 ",
        "3.0",
        "3.5",
        "3.0000000000000004",
        "1.9999999999",
        "nan",
        "99999",
        "-1",
        "1e2",
        "three",
    ),
    "category": ("", " ", "mist", " mist ", "\tmist\u00a0", "Mist", "rain", "1"),
    "boolean": ("", " ", "\u3000", "true", "TRUE", " False ", "1", "0", "2", "yes"),
}


def _odd_rows(task: Task) -> list[dict[str, str]]:
    """Good rows, each with one odd cell; but no NaN where a value may be missing (it is one, see below)."""
    good = {name: str(value) for name, value in example(task).items()} | GOOD.get(task.name, {})
    odd = [(f, cell) for f in task.fields for cell in ODD[f.kind] if f.required or cell != "nan"]
    return [good, *(good | {f.name: cell} for f, cell in odd)]


def _csv(header: list[str], lines: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([header, *lines])
    return text.getvalue().encode()


def _ours(task: Task, path: Path) -> tuple[dict[str, np.ndarray[Any, Any]], dict[int, str]]:
    """The columns of the good rows of a file, and why the others are not."""
    found: list[columns.Checked] = []
    reasons: dict[int, str] = {}
    for part in parts.plan(task, path.name, path):
        first = part.first - 1
        for batch, unreadable in parts.read(task, part):
            found.append(columns.check(task, batch, unreadable))
            reasons |= {first + i: reason for i, reason in found[-1].reasons.items()}
            first += batch.num_rows
    return {n: np.concatenate([c.columns[n] for c in found]) for n in task.field_names}, reasons


@pytest.mark.parametrize("name", TASKS)
def test_a_csv_is_judged_as_the_service_judges_it(tmp_path: Path, name: str) -> None:
    """A row that a request may have is scored with the same values, and no other row is."""
    task = TASKS[name]
    body = _csv([*task.field_names], [[*row.values()] for row in _odd_rows(task)])
    path = tmp_path / "rows.csv"
    path.write_bytes(body)
    theirs = checked_csv(body, task)
    ours, reasons = _ours(task, path)
    assert set(reasons) == set(theirs.faults)
    good = [i for i in range(len(_odd_rows(task))) if i not in reasons]
    for field in task.field_names:
        np.testing.assert_array_equal(ours[field], theirs.columns[field][good])


@pytest.mark.parametrize(
    ("field", "cell", "reason"),
    [
        ("temperature", "77", "temperature must be a number from -30 to 50 °C, and is 77"),
        (
            "temperature",
            "50.00000000000001",
            "temperature must be a number from -30 to 50 °C, and is 50.00000000000001",
        ),
        ("temperature", "", "temperature is missing"),
        ("weather", " ", "weather is missing"),
        ("humidity", "wet", "humidity must be a number from 0 to 100 %, and is wet"),
        (
            "weather",
            "rain",
            f"weather must be one of {', '.join(BIKES.fields[5].choices)}, and is rain",
        ),
        ("holiday", "maybe", "holiday must be true or false, and is maybe"),
        (
            "timestamp",
            "2012-02-30T01:00:00",
            "timestamp names a date that does not exist: 2012-02-30",
        ),
    ],
)
def test_reason_says_what_is_wrong_with_which_field(
    tmp_path: Path, field: str, cell: str, reason: str
) -> None:
    """A reason names the field, what would be right, and what is there."""
    row = GOOD["bikes"] | {field: cell}
    path = tmp_path / "rows.csv"
    path.write_bytes(_csv([*row], [[*row.values()]]))
    _, reasons = _ours(BIKES, path)
    assert reasons == {0: reason}


def test_lines_that_are_no_rows_are_told_of_one_by_one(tmp_path: Path) -> None:
    """Too few cells, an empty line, a stray quote or byte cost their own line only."""
    good = ",".join(GOOD["admission"].values()).encode()
    lines = [b"gre,gpa,rank", good, b"660,3.67", b"", good, b'"660,3.67,1', b"\xff,3,1", good]
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\r\n".join(lines) + b"\r\n")
    ours, reasons = _ours(TASKS["admission"], path)
    assert ours["gre"].tolist() == [660] * 3
    assert reasons[1] == "the line has 2 cells, the header has 3"
    assert reasons[2] == "the line is empty"
    assert reasons[4].startswith("the line cannot be read")
    assert reasons[5] == "the line is not UTF-8 text"


@pytest.mark.parametrize("beside", ["2", "2,too,many"], ids=["rows", "lines"])
def test_line_that_is_no_row_is_the_same_whatever_is_in_the_rows_around(
    tmp_path: Path, beside: str
) -> None:
    """Rows have the numbers of their lines; Arrow alone reads on behind a break in a cell."""
    text = f'gre,gpa,rank,note\n660,3,1,\n660,3,2,"two\nlines"\n660,3,3,\n\n660,3,{beside},\n\n'
    path = tmp_path / "rows.csv"
    path.write_text(text, encoding="utf-8")
    ours, reasons = _ours(TASKS["admission"], path)
    assert ours["rank"].tolist() == [1, 3, *[2] * (beside == "2")]
    reasons.pop(5, None)
    assert reasons == {
        1: "the line cannot be read: unexpected end of data",
        2: "the line has 1 cells, the header has 4",
        4: "the line is empty",
        6: "the line is empty",
    }


@pytest.mark.parametrize(
    ("block", "faulty"),
    [
        pytest.param("\n", [0], id="nothing"),
        pytest.param("\r\n\n", [0, 1], id="only empty lines"),
        pytest.param("660,3,1\r660,3,2\n660,3,3\n\n660,3,4\n", [0, 2], id="two old ends of lines"),
    ],
)
def test_lines_are_counted_as_the_plan_counts_them(
    tmp_path: Path, block: str, faulty: list[int]
) -> None:
    """Arrow leaves out empty lines, and for it a carriage return ends a line, too: the sum may be right."""
    path = tmp_path / "rows.csv"
    path.write_text(f"gre,gpa,rank\n{block}", encoding="utf-8", newline="")
    ours, reasons = _ours(TASKS["admission"], path)
    assert list(reasons) == faulty
    assert ours["rank"].tolist() == [3, 4][: block.count("660") // 2]


HOUR = np.datetime64("2012-06-01T13", "h")


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["2012-06-01T13:20:00", None]),
        pa.array(["2012-06-01T13:20:00", None]).dictionary_encode(),
        pa.array(["2012-06-01T13:20:00", None], pa.large_string()),
        pa.array([HOUR.astype("datetime64[ns]"), None], pa.timestamp("ns")),
        pa.array([HOUR.astype("datetime64[s]"), None], pa.timestamp("s")),
        pa.array(["2012-06-01T17:20:00Z"]).cast(pa.timestamp("us", "UTC")),
    ],
    ids=["text", "dictionary", "large-text", "ns", "s", "utc"],
)
def test_every_form_of_a_time_in_parquet_is_the_same_hour(column: pa.Array) -> None:
    """Text, timestamps of any unit, with a zone or without, mean one local hour; null means none."""
    field = BIKES.fields[0]
    table = pa.record_batch({"timestamp": column})
    columns.check_schema(_only(field.name), table.schema, "file")
    checked = columns.check(_only(field.name), table, {})
    assert checked.columns["timestamp"].tolist() == [HOUR.item()]
    assert len(checked.reasons) == len(column) - 1


@pytest.mark.parametrize("name", ["weather", "holiday", "humidity"])
def test_column_with_a_dictionary_is_read_as_one_without(name: str) -> None:
    """Each row has what its own text means, and a null, also among the values, means none."""
    texts = {
        "weather": ["mist", None, "rain", " clear ", "mist"],
        "holiday": ["true", None, "maybe", "0", "true"],
        "humidity": ["81.5", None, "101", " 40", "wet"],
    }[name]
    plain = pa.array(texts, pa.string())
    places = pa.array([0, 1, 2, 3, 4, None], pa.int8())
    coded = pa.DictionaryArray.from_arrays(places, plain)
    found = columns.check(_only(name), pa.record_batch({name: coded}), {})
    wanted = columns.check(_only(name), pa.record_batch({name: pa.array([*texts, None])}), {})
    np.testing.assert_array_equal(found.columns[name], wanted.columns[name], strict=True)
    assert found.reasons == wanted.reasons
    assert len(found.reasons) == {"weather": 3, "holiday": 1, "humidity": 4}[name]


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    "column", [pa.array([True, None]), pa.array(["true", None])], ids=["boolean", "text"]
)
def test_boolean_is_missed_where_it_is_required(column: pa.Array, *, required: bool) -> None:
    """A row without it is rejected, as the service rejects it, and is not scored as one of neither kind."""
    fields = tuple(
        replace(field, required=required and field.name == "holiday") for field in BIKES.fields
    )
    batch = pa.RecordBatch.from_arrays([column], names=["holiday"])
    found = columns.check(replace(BIKES, fields=fields), batch, {})
    assert found.reasons == ({1: "holiday is missing"} if required else {})
    assert found.columns["holiday"].tolist() == ([1] if required else [1, -1])


def test_nan_of_an_optional_field_is_a_missing_one() -> None:
    """Data frames write a missing number as NaN."""
    table = pa.record_batch({"feels_like": pa.array([np.nan, None, 20.0, 99.0])})
    checked = columns.check(_only("feels_like"), table, {})
    np.testing.assert_array_equal(checked.columns["feels_like"], [np.nan, np.nan, 20.0])
    assert set(checked.reasons) == {3}


@pytest.mark.parametrize("beside", ["20", "2x", '"2'], ids=["numbers", "texts", "lines"])
@pytest.mark.parametrize("cell", ["nan", "NaN", " -nan", "nan(0)"])
def test_nan_in_a_csv_is_the_same_whatever_is_in_the_rows_around(
    tmp_path: Path, cell: str, beside: str
) -> None:
    """It is a missing value of an optional field and none of a required one, beside good and bad rows."""
    good = GOOD["bikes"]
    rows = [good | {"feels_like": cell}, good | {"humidity": cell}, good | {"temperature": beside}]
    lines = [",".join(row.values()) for row in [{name: name for name in good}, *rows]]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    ours, reasons = _ours(BIKES, tmp_path / "rows.csv")
    assert set(reasons) == ({1} if beside == "20" else {1, 2})
    assert np.isnan(ours["feels_like"][0])


def _only(name: str) -> Task:
    """The task `bikes` as if it had one field."""
    fields = tuple(field for field in BIKES.fields if field.name == name)
    return replace(BIKES, fields=fields)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (
            {"gre": pa.int64(), "gpa": pa.float32()},
            "the column rank is missing; needed are gre, gpa",
        ),
        (
            {"gre": pa.bool_(), "gpa": pa.float32(), "rank": pa.int8()},
            "gre is of type bool; it must",
        ),
    ],
)
def test_file_without_the_fields_is_refused(schema: dict[str, pa.DataType], words: str) -> None:
    """What is wrong with a whole file is said once, before anything is scored."""
    with pytest.raises(DataError, match=words):
        columns.check_schema(TASKS["admission"], pa.schema([*schema.items()]), "file")


def test_parts_of_a_csv_hold_each_line_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the lines are, each is in one part, and the parts number them through."""
    monkeypatch.setattr(parts, "PART_BYTES", 100)
    monkeypatch.setattr(parts, "BLOCK_BYTES", 30)
    lines = [f"{200 + i},{i % 5 / 2}{'0' * (i % 7)},{1 + i % 4}" for i in range(301)]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["gre,gpa,rank", *lines]), encoding="utf-8")
    planned = parts.plan(TASKS["admission"], "rows.csv", path)
    assert len(planned) > 10
    assert [part.first for part in planned] == _starts(planned)
    ours, reasons = _ours(TASKS["admission"], path)
    assert not reasons
    assert ours["gre"].tolist() == [200 + i for i in range(301)]


def _starts(planned: list[Part]) -> list[int]:
    return [1 + sum(part.rows for part in planned[:i]) for i in range(len(planned))]


def test_csv_that_becomes_shorter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that were there when the parts were planned, and no longer are, end the scoring in one line."""
    task, path = TASKS["admission"], tmp_path / "rows.csv"
    body = _csv(["gre", "gpa", "rank"], [["660", "3.67", "1"]] * 3)
    path.write_bytes(body)
    (part,) = parts.plan(task, "rows.csv", path)
    path.write_bytes(body[:-10])
    with pytest.raises(DataError, match=r"rows\.csv: has become shorter while it was read"):
        list(parts.read(task, part))
    monkeypatch.setattr(parts, "_line_end", lambda *_: len(body))
    with pytest.raises(DataError, match=r"rows\.csv: has become shorter while it was read"):
        parts.plan(task, "rows.csv", path)

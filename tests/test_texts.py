"""Columns of texts, taken from the bytes of a body: nothing but time is saved."""

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bikes import BIKES, WEATHERS
from service import batches, texts
from service.errors import Problem
from service.limits import Turns
from service.texts import Taken
from tests.serving import example

PLAIN: dict[str, list[Any]] = {
    "timestamp": ["2012-06-01T17:00:00", "2011-02-28 05:59:59", "2100-12-31T23:00:00"],
    "temperature": [24.0, -3, 1e1],
    "feels_like": [25.0, None, 0],
    "humidity": [55.0, 0, 100],
    "wind_speed": [12.0, 0.0, 1],
    "weather": ["clear", "heavy_precipitation", "mist"],
    "holiday": [False, None, True],
}
WRONG: dict[str, Any] = {
    "timestamp": [
        "2012-02-30T17:00:00",
        "2012-06-01T24:00:00",
        "2012-06-01T17",
        "2012-06-01T17:00",
        7,
    ],
    "weather": ["clar", "Clear", "", 1, None, '"', "\x00", "clear, mist", "\u0063lear\n"],
    "humidity": [101, True, None, "55"],
}
FRAGMENTS = (
    '"timestamp"',
    '"timestamp": [',
    '"timestamp": ["2012-06-01T17:00:00"], ',
    '"weather": "mist", ',
    '"inputs": {}, ',
    '"inputs"',
    '"x": {"weather": ["mist", "clear"]}, ',
)
PIECES = (*FRAGMENTS, *'}{][",: \\0-\x00\x01\x03é', '["', '", "', "NaN", "null", "\\u0063")


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Bodies by columns, most with some rows that are wrong, in plain and in other JSON, or spoilt."""
    order = draw(st.permutations(sorted(PLAIN)))
    columns = {name: [*PLAIN[name]] for name in order}
    for name in draw(st.lists(st.sampled_from(sorted(WRONG)), max_size=2)):
        columns[name][draw(st.integers(0, 2))] = draw(st.sampled_from(WRONG[name]))
    separators = draw(st.sampled_from([(", ", ": "), (",", ":"), (" , ", ": "), (", ", " :")]))
    ascii_only, indent = draw(st.booleans()), draw(st.sampled_from([None, None, None, 1]))
    text = json.dumps(
        {"inputs": columns}, separators=separators, ensure_ascii=ascii_only, indent=indent
    )
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(text)))
        stop = start + draw(st.sampled_from([0, 0, 1, 2, 30]))
        text = text[:start] + draw(st.sampled_from(["", *PIECES])) + text[stop:]
    return text.encode()


def read(body: bytes) -> Any:
    """The columns and faults of a body, in one piece and in two, or why it is refused."""
    pieces = []
    try:
        for n_pieces in (1, 2):
            batch = batches.read_json(body, BIKES, 100)
            ends = [batch.n_rows * i // n_pieces for i in range(n_pieces + 1)]
            for start, stop in pairwise(ends):
                rows = asyncio.run(batch.piece(start, stop, Turns({})))
                columns = {name: (c.dtype, c.tobytes()) for name, c in rows.columns.items()}
                pieces.append((columns, rows.faults))
    except Problem as problem:
        return problem.document("/")
    return pieces


@pytest.fixture
def every_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies of any size are looked at."""
    monkeypatch.setattr(texts, "_LENGTHS", range(1_000_000))


@given(body=bodies())
def test_body_is_read_as_if_nothing_were_taken(body: bytes) -> None:
    """Every column, every fault and every refusal is that of the plain way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "_LENGTHS", range(1_000_000))
        found = read(body)
        patch.setattr(texts, "parse", lambda _, __: None)
        assert found == read(body)


@pytest.mark.usefixtures("every_body")
@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
@pytest.mark.parametrize("form", ["%sT17:00:00", "%s 17:00:00", "%sT17:00"])
def test_what_is_written_plainly_is_taken(separators: tuple[str, str], form: str) -> None:
    """As Python and JavaScript write it: both columns, and the values are those that were sent."""
    columns = PLAIN | {
        "timestamp": [form % day for day in ("2012-06-01", "1970-01-01", "2012-02-29")]
    }
    document = texts.parse(json.dumps({"inputs": columns}, separators=separators).encode(), BIKES)
    days, weather = (document["inputs"].pop(name) for name in ("timestamp", "weather"))
    assert document["inputs"].items() <= columns.items()
    assert isinstance(days, Taken)
    assert [days[i] for i in range(3)] == ["2012-06-01T17", "1970-01-01T17", "2012-02-29T17"]
    assert isinstance(weather, Taken)
    assert weather.array.tolist() == [WEATHERS.index(value) for value in columns["weather"]]
    assert [weather[1:][i] for i in range(2)] == columns["weather"][1:]


def _doubled(text: str) -> str:
    return text.replace('"humidity"', '"weather": ["mist", "mist", "mist"], "humidity"')


@pytest.mark.usefixtures("every_body")
@pytest.mark.parametrize(
    "change",
    [
        _doubled,
        lambda text: text.replace('"clear"', '"\\u0063lear"'),
        lambda text: text.replace('"clear"', "7"),
        lambda text: text.replace('"clear", ', '"clear"; '),
        lambda text: text.replace('{"inputs"', '{"x": {"weather": ["mist"]}, "inputs"'),
        lambda text: text.replace('{"inputs": {', '{"inputs": {"x": {"weather": ["mist"]}, '),
        lambda text: text + "}",
    ],
)
def test_what_is_written_otherwise_is_not_taken(change: Callable[[str], str]) -> None:
    """A field that is there twice or elsewhere, an escape, a number, and what is no JSON."""
    text = json.dumps({"inputs": {name: PLAIN[name] for name in ("weather", "humidity")}})
    assert texts.parse(text.encode(), BIKES) is not None
    assert texts.parse(change(text).encode(), BIKES) is None


def test_small_bodies_are_left_alone() -> None:
    """Where there is nothing to be gained."""
    columns = {name: [value] for name, value in example(BIKES).items()}
    assert texts.parse(json.dumps({"inputs": columns}).encode(), BIKES) is None
    many = {name: values * 100 for name, values in columns.items()}
    assert texts.parse(json.dumps({"inputs": many}).encode(), BIKES) is not None

"""The log: one line a request in two forms, events, and a reader that stands still."""

import io
import json
import logging
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from models.bikes import BIKES
from models.rows import columns_of
from service import logs, request_log
from service.exchange import Exchange
from service.logs import EventLog, LineWriter
from service.registry import Event
from service.request_log import RequestLog, console_line, trace_id
from service.schemas import BikesRequest
from tests.asgi import http_scope
from tests.serving import VERSION, example, tiny_served

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
NOW = "2026-01-02T03:04:05.678Z"

json_line = partial(request_log.json_line, now=NOW, inputs=False)


def exchange(**changes: Any) -> Exchange:
    """A request for a row that was answered."""
    made = Exchange(b"abc-1")
    made.route, made.status, made.rows = "/predict/admission", 200, 1
    made.served = tiny_served("admission")
    made.columns = {"gre": np.array([712]), "gpa": np.array([3.71]), "rank": np.array([2])}
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def scope(trace: str = "", **more: Any) -> dict[str, Any]:
    """Its scope, with a header traceparent."""
    headers = [(b"traceparent", trace.encode())] if trace else []
    return http_scope("/predict/admission", headers=headers) | more


def said(line: str) -> dict[str, Any]:
    """What a line says, but for the milliseconds, which pass."""
    found: dict[str, Any] = json.loads(line)
    assert found.pop("ms") >= 0
    return found


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="answered"),
        pytest.param({"status": 422, "rows": 0}, id="a faulty row"),
        pytest.param({"status": 503, "rows": 0, "served": None}, id="shed"),
        pytest.param({"status": 0, "rows": 0, "served": None}, id="the client is gone"),
    ],
)
def test_line_made_by_hand_is_what_structlog_would_make(changes: dict[str, Any]) -> None:
    """The common cases are written by hand, for their cost, and read like every other line."""
    made = exchange(seconds=0.0123456, **changes)
    line = request_log.line_by_hand(made, NOW)
    assert json.loads(line) == json.loads(json_line(made, scope()))
    assert list(json.loads(line)) == list(json.loads(json_line(made, scope())))
    assert list(json.loads(line))[:3] == ["timestamp", "level", "event"]
    assert line.endswith("}\n")


def test_line_says_who_what_and_how_long() -> None:
    """Id, method, route, status, model, version, rows, trace and caller of a request; never its values."""
    line = json_line(exchange(), scope(f"00-{TRACE}-00f067aa0ba902b7-01", caller="us"))
    assert said(line) == {
        "timestamp": NOW,
        "level": "info",
        "event": "request",
        "request_id": "abc-1",
        "method": "POST",
        "route": "/predict/admission",
        "status": 200,
        "model": "admission",
        "version": VERSION,
        "rows": 1,
        "trace_id": TRACE,
        "caller": "us",
    }
    assert "712" not in line


def test_members_of_a_line_are_those_of_the_guide() -> None:
    """The guide lists every member that the line of a request can have, and no other."""
    made = exchange()
    line = json_line(made, scope(f"00-{TRACE}-00f067aa0ba902b7-01", caller="us"), inputs=True)
    guide = (Path(__file__).parent.parent / "docs/guides/operate.md").read_text(encoding="utf-8")
    table = guide.split("| member | what it is |", 1)[1].split("\n\n", 1)[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert re.findall(r"`(\w+)`", "".join(cells)) == list(json.loads(line))


def test_inputs_are_written_only_where_the_setting_asks() -> None:
    """With `log_inputs` the values of the fields stand in the line, of a batch the first twenty."""
    one = exchange().columns or {}
    many = {name: np.repeat(column, 500) for name, column in one.items()}
    line = json_line(exchange(columns=many), scope(), inputs=True)
    assert said(line)["inputs"] == {"gre": [712] * 20, "gpa": [3.71] * 20, "rank": [2] * 20}
    assert "inputs" not in said(json_line(exchange(columns={}), scope(), inputs=True))


def test_inputs_of_a_row_and_of_a_batch_are_written_as_they_are_sent() -> None:
    """Neither the model's codes (of weather 1, which is mist, and in UCI's data clear) nor None."""
    sent = example(BIKES, weather="mist", holiday=None)
    row = BikesRequest.model_validate(sent).__dict__
    wanted = {
        "timestamp": ["2012-06-01T17"],
        "temperature": [24.0],
        "feels_like": [25.0],
        "humidity": [55.0],
        "wind_speed": [12.0],
        "weather": ["mist"],
        "holiday": [None],
    }
    served = tiny_served("bikes")
    for changes in ({"row": row, "columns": None}, {"columns": columns_of([row], BIKES)}):
        line = json_line(exchange(served=served, **changes), scope(), inputs=True)
        assert said(line)["inputs"] == wanted


def test_request_that_no_route_took_and_nobody_waited_for() -> None:
    """Without a route, a model or an answer the line says so; the path itself is never repeated."""
    found = said(json_line(exchange(route="none", status=0, served=None, rows=0), scope()))
    assert (found["route"], found["status"]) == ("none", 499)
    assert not {"model", "version", "rows"} & found.keys()


def test_line_for_a_terminal_is_read_by_people() -> None:
    """Time, status, request and milliseconds in columns, the rest as key=value."""
    line = console_line(exchange(), scope(), NOW, inputs=False)
    assert line.startswith("03:04:05.678 200 POST /predict/admission ")
    assert " ms  request_id=abc-1 model=admission version=" in line


@pytest.mark.parametrize(
    ("header", "found"),
    [
        pytest.param(f"00-{TRACE}-00f067aa0ba902b7-01", TRACE, id="valid"),
        pytest.param(f"00-{'0' * 32}-00f067aa0ba902b7-01", "", id="all zeros"),
        pytest.param(f"00-{TRACE.upper()}-00f067aa0ba902b7-01", "", id="capitals"),
        pytest.param(f"00-{TRACE}-00f067aa0ba902b7", "", id="cut off"),
        pytest.param('"},{"level":"error', "", id="an injection"),
        pytest.param("", "", id="none"),
    ],
)
def test_trace_id_of_the_request(header: str, found: str) -> None:
    """The W3C trace id of a request is in its line, if it is one."""
    assert trace_id(scope(header)) == found


@pytest.mark.anyio
async def test_lines_are_handed_over_together() -> None:
    """The log costs a request an append; lines are written ten times a second, or at the end."""
    written: list[str] = []
    log = RequestLog(written.append)
    for _ in range(3):
        log(exchange(), scope())
    assert written == []
    log.flush()
    assert len(written) == 1
    assert [said(line)["status"] for line in written[0].splitlines()] == [200, 200, 200]


@pytest.mark.anyio
async def test_lines_of_single_rows_are_like_all_others() -> None:
    """They are made later, in order, and say when the request was over; trace and caller are kept."""
    written: list[str] = []
    log = RequestLog(written.append)
    before = datetime.now(UTC)
    row = {"gre": 712, "gpa": 3.71, "rank": 2}
    log(exchange(row=row, seconds=0.25), scope())
    log(exchange(row=row), scope(f"00-{TRACE}-00f067aa0ba902b7-01"))
    log(exchange(row=row), scope(caller="us"))
    log(exchange(row=row, status=0), scope())
    log.flush()
    plain, traced, called, left = [json.loads(line) for line in written[0].splitlines()]
    assert plain.pop("ms") == 250.0
    passed = datetime.fromisoformat(plain.pop("timestamp")) - before
    assert abs(passed.total_seconds() - 0.25) < 10
    assert plain == {k: v for k, v in called.items() if k not in {"ms", "timestamp", "caller"}}
    assert (traced["trace_id"], called["caller"], left["status"]) == (TRACE, "us", 499)


@pytest.mark.anyio
async def test_many_lines_are_not_kept_waiting() -> None:
    """However fast requests come, no more than some hundreds of lines are made at once."""
    written: list[str] = []
    log = RequestLog(written.append)
    for _ in range(1000):
        log(exchange(row={"gre": 712}), scope())
    assert len(written) >= 3
    log.flush()
    assert sum(text.count("\n") for text in written) == 1000


class Stuck(io.StringIO):
    """A stream whose reader stands still until `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def write(self, text: str) -> int:
        """Wait, then take it."""
        self.go.wait()
        return super().write(text)


def test_reader_that_stands_still_holds_nobody_up() -> None:
    """What a slow reader cannot take is dropped and counted; what was kept comes when it goes on."""
    stream = Stuck()
    dropped: list[int] = []
    writer = LineWriter(stream)
    writer.on_drop = dropped.append
    for _ in range(500):
        writer.write("a line\nand another\n")
    assert sum(dropped) >= 2 * 290
    stream.go.set()
    writer.flush()
    assert stream.getvalue().count("\n") == 2 * 500 - sum(dropped)


@pytest.fixture
def logged() -> Iterator[tuple[io.StringIO, LineWriter]]:
    """Where everything is logged to, as JSON; afterwards logging is as it was."""
    root, configured = logging.getLogger(), structlog.get_config()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    yield stream, logs.configure(stream, console=False)
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    structlog.configure(**configured)


def test_events_and_foreign_records_are_lines_of_one_form(
    logged: tuple[io.StringIO, LineWriter],
) -> None:
    """What the registry does, and what a library logs, with its traceback, is a line of JSON each."""
    stream, writer = logged
    event_log = EventLog()
    event_log(Event("swapped", "bikes", VERSION, previous="older", seconds=0.012345))
    event_log(Event("refused", "bikes", VERSION, previous="older", reason="torn"))
    event_log(Event("unreadable", "bikes", VERSION, reason="no such disk"))
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        logging.getLogger("a.library").exception("request %s failed", "abc-1")
    writer.flush()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "model swapped"),
        ("error", "model version refused"),
        ("error", "store unreadable"),
        ("error", "request abc-1 failed"),
    ]
    assert lines[0]["version"] == VERSION
    assert (lines[1]["reason"], lines[1]["previous"]) == ("torn", "older")
    assert "ZeroDivisionError" in lines[3]["exception"]
    assert all(list(line)[:3] == ["timestamp", "level", "event"] for line in lines)


def test_record_that_cannot_be_formatted_does_not_reach_who_logged_it(
    logged: tuple[io.StringIO, LineWriter], capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong format, or text that is no Unicode, costs its line and is told on standard error."""
    stream, writer = logged
    root = logging.getLogger()  # to which pytest adds handlers that raise
    root.handlers[:] = [handler for handler in root.handlers if type(handler) is logs._Handler]
    log = logging.getLogger("a.library")
    log.warning("%d items", "many")
    log.warning("in %s", "\udcff")
    log.warning("next")
    writer.flush()
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["next"]
    assert capsys.readouterr().err.count("--- Logging error ---") == 2

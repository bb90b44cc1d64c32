"""The client: typed answers, and retries where there was no answer."""

import json
import math
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from models.admission import ADMISSION
from models.bikes import BIKES
from models.errors import InputError, SettingsError
from models.tasks import TASKS
from service.client import CHUNK, Client, RefusedError
from service.schemas import AdmissionRow, BikesRow, FailedRow
from service.settings import Settings
from tests import tiny
from tests.process import ROOT
from tests.serving import example

Answer = Callable[[httpx.Request], httpx.Response]
BUSY = {
    "type": "/problems/unavailable",
    "title": "The service cannot answer now",
    "status": 503,
    "detail": "128 of 128 places for single rows are taken.",
    "instance": "/predict/admission",
}
ANSWERED = {
    "probability": 0.5,
    "admitted": True,
    "threshold": 0.5,
    "interval": {"level": 0.9, "low": 0.4, "high": 0.6},
    "warnings": [],
    "model": {"name": "admission", "version": "v"},
}


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    """A client of a running service."""
    with Client(url) as connected:
        yield connected


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client waited between its attempts; it does not really wait."""
    made: list[float] = []
    monkeypatch.setattr("service.client.time.sleep", made.append)
    return made


def scripted(
    *answers: httpx.Response | Exception, attempts: int = 3
) -> tuple[Client, list[httpx.Request]]:
    """A client that gets these answers one after the other, and the requests that it sent."""
    left, sent = list(answers), []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        given = left.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    transport = httpx.MockTransport(answer)
    return Client("http://service", attempts=attempts, transport=transport), sent


def test_answers_are_typed(client: Client) -> None:
    """A row is answered by an object with the documented members, at the requested level."""
    bikes = client.predict("bikes", example(BIKES, timestamp=datetime(2012, 6, 1, 17)), level=0.8)  # noqa: DTZ001
    admission = client.predict("admission", example(ADMISSION), explain=True)
    assert bikes == client.predict("bikes", example(BIKES), level=0.8)
    assert bikes.interval.level == 0.8
    assert bikes.interval.low <= bikes.rentals <= bikes.interval.high
    assert admission.explanation is not None
    total = admission.explanation.baseline + sum(admission.explanation.contributions.values())
    assert math.isclose(total, admission.probability, rel_tol=1e-6)
    assert client.ready()
    assert client.card("bikes").fields[0].name == "timestamp"


def test_time_with_a_zone_is_converted(client: Client) -> None:
    """A time with a zone is converted to the same moment in Washington."""
    there = example(BIKES, timestamp=datetime(2012, 6, 1, 21, tzinfo=UTC))
    assert client.predict("bikes", there) == client.predict("bikes", example(BIKES))


def test_many_rows_are_sent_in_chunks(client: Client, url: str) -> None:
    """Rows from any iterator are answered in their order over several requests, bad ones in place."""
    rows = [example(ADMISSION, gre=gre) for gre in (200, 300, 400, 900, 500, 900, 700, 800, 201)]
    with Client(url, chunk=4) as chunked:
        found = chunked.predict_many("admission", iter(rows))
    assert len(found) == 9
    failed = [row for row in found if isinstance(row, FailedRow)]
    assert [row.error.detail for row in failed] == ["gre must be between 200 and 800"] * 2
    pointers = [row.error.errors[0].pointer for row in failed]
    assert pointers == ["/instances/3/gre", "/instances/5/gre"]
    for row, answer in zip(rows, found, strict=True):
        if isinstance(answer, AdmissionRow):
            alone = client.predict("admission", row)
            assert math.isclose(answer.probability, alone.probability, rel_tol=1e-5)
    assert all(isinstance(row, BikesRow) for row in client.predict_many("bikes", [example(BIKES)]))
    assert Settings().batch_rows == CHUNK


def test_frame_goes_in_and_comes_out(client: Client, url: str) -> None:
    """A data frame is answered by one with its index, whatever stands for a missing value in it."""
    frame = pd.DataFrame([example(BIKES) | {"note": "not a field"}] * 5, index=list("abcde"))
    frame["timestamp"] = pd.to_datetime(frame["timestamp"])
    frame["feels_like"] = [np.nan, 25.0, 25.0, np.nan, 25.0]
    frame["holiday"] = pd.array([None, False, False, None, True], dtype="boolean")
    frame["humidity"] = [55, 55, 101, 55, 55]
    with Client(url, chunk=2) as chunked:
        found = chunked.predict_frame("bikes", frame)
    assert isinstance(found, pd.DataFrame)
    assert list(found.index) == list("abcde")
    assert list(found.columns) == ["rentals", "low", "high", "warnings", "error"]
    assert found["error"].notna().tolist() == [False, False, True, False, False]
    assert found["error"]["c"] == "humidity must be between 0 and 100 %"
    row = example(BIKES, feels_like=None, holiday=None)
    assert math.isclose(found["rentals"]["a"], client.predict("bikes", row).rentals, rel_tol=1e-5)
    assert math.isnan(found["rentals"]["c"])


def test_level_reaches_rows_and_frames(client: Client) -> None:
    """The intervals of many rows have the level that was asked for, as that of one has."""
    row = example(ADMISSION)
    wanted = client.predict("admission", row, level=0.6).interval
    (many,) = client.predict_many("admission", [row], level=0.6)
    assert isinstance(many, AdmissionRow)
    assert many.interval.level == 0.6
    frame = client.predict_frame("admission", pd.DataFrame([row]), level=0.6)
    assert many.interval.low == frame["low"][0] == pytest.approx(wanted.low, rel=1e-5)
    assert many.interval.high == frame["high"][0] == pytest.approx(wanted.high, rel=1e-5)


def test_infinite_number_is_the_fault_of_its_row(client: Client) -> None:
    """A number that JSON cannot express fails its own row only."""
    rows = [example(ADMISSION), example(ADMISSION, gpa=math.inf)]
    good, bad = client.predict_many("admission", rows)
    assert isinstance(good, AdmissionRow)
    assert isinstance(bad, FailedRow)
    assert bad.error.detail == "gpa must be a finite number, not NaN or Infinity"
    found = client.predict_frame("admission", pd.DataFrame(rows))
    assert found["error"].notna().tolist() == [False, True]


class Unspeakable:
    """A value that no text can be made of."""

    def __str__(self) -> str:
        raise RuntimeError


UNSENDABLE: dict[str, tuple[Any, str]] = {
    "half a surrogate pair": ("\ud800", "gpa must be a number, and is text"),
    "5,000 digits": (10**5000, "gpa must be a finite number, not NaN or Infinity"),
    "a decimal that signals": (Decimal("sNaN"), "gpa must be a number, and is text"),
    "an array": (np.array([3.0, 4.0]), "gpa must be a number, and is text"),
    "a frame": (pd.DataFrame({"gpa": [3.0]}), "gpa must be a number, and is text"),
    "keys that are no text": ({(1, 2): 3}, "gpa must be a number, and is an object"),
    "a list of itself": ([], "gpa must be a number, and is a list"),
    "a class": (float, "gpa must be a number, and is text"),
    "no text": (Unspeakable(), "gpa must be a number, and is text"),
}
UNSENDABLE["a list of itself"][0].append(UNSENDABLE["a list of itself"][0])


@pytest.mark.parametrize("kind", UNSENDABLE)
def test_value_that_cannot_be_sent_is_the_fault_of_its_row(client: Client, kind: str) -> None:
    """Whatever a row contains, the other rows are answered."""
    value, words = UNSENDABLE[kind]
    good, bad, also = client.predict_many(
        "admission", [example(ADMISSION, **changes) for changes in ({}, {"gpa": value}, {})]
    )
    assert isinstance(good, AdmissionRow)
    assert good == also
    assert isinstance(bad, FailedRow)
    assert bad.error.detail == words


@pytest.mark.parametrize("name", ["\ud800", (1, 2), None, b"gre"])
def test_name_that_cannot_be_sent_is_the_fault_of_its_row(client: Client, name: Any) -> None:
    """The same holds for whatever is used as the name of a field."""
    good, bad = client.predict_many("admission", [example(ADMISSION), {name: 1}])
    assert isinstance(good, AdmissionRow)
    assert isinstance(bad, FailedRow)
    assert "there is no field" in str(bad.error.errors)


@pytest.mark.parametrize(
    "gpas", [[], [3.0], [5.0], [3.0, 5.0]], ids=["none", "good", "bad", "both"]
)
def test_frame_of_answers_has_the_same_types_whatever_they_are(
    client: Client, gpas: list[float]
) -> None:
    """Parts can be put together or written to one file, and a column of the decision always selects."""
    rows = [example(ADMISSION, gpa=gpa) for gpa in gpas]
    found = client.predict_frame("admission", pd.DataFrame(rows, columns=ADMISSION.field_names))
    types = ["float64", "boolean", "float64", "float64", "string", "string"]
    assert [str(of_column) for of_column in found.dtypes] == types
    assert len(found[found["admitted"]]) + len(found[~found["admitted"]]) == gpas.count(3.0)


def test_type_checkers_take_a_name_that_is_not_written_out(client: Client) -> None:
    """A name from a loop or a setting is a text; what every answer has, they know then, too."""
    for name, task in TASKS.items():
        answer = client.predict(name, example(task))
        (row,) = client.predict_many(name, [example(task)])
        assert not isinstance(row, FailedRow)
        assert answer.interval.low == pytest.approx(row.interval.low, rel=1e-5)


def test_type_checkers_read_the_package() -> None:
    """Each package says that it is typed (PEP 561), which its classifier claims."""
    for package in ("models", "service", "training"):
        assert (ROOT / package / "py.typed").exists()


def test_frame_of_admissions_has_the_decision(client: Client) -> None:
    """The frame of a model with a threshold says who is admitted."""
    frame = pd.DataFrame(tiny.rows("admission", 50, np.random.default_rng(1)))
    found = client.predict_frame("admission", frame)
    assert (found["admitted"] == (found["probability"] >= 0.5)).all()


def test_refusal_is_raised_in_the_services_words(client: Client) -> None:
    """A row that cannot be taken raises at once, with status, words and pointers."""
    with pytest.raises(RefusedError, match=r"gpa must be between 0 and 4") as refused:
        client.predict("admission", example(ADMISSION, gpa=5))
    assert refused.value.status == 422
    assert refused.value.problem is not None
    assert refused.value.problem.errors is not None
    assert refused.value.problem.errors[0].pointer == "/gpa"


@pytest.mark.parametrize("status", [429, 502, 503])
def test_busy_service_is_asked_again_when_it_says(pauses: list[float], status: int) -> None:
    """After such a status the client waits as long as Retry-After says, and asks again."""
    busy = httpx.Response(status, json=BUSY, headers={"Retry-After": "2"})
    client, sent = scripted(busy, busy, httpx.Response(200, json=ANSWERED))
    assert client.predict("admission", {"gre": 660}).probability == 0.5
    assert len(sent) == 3
    assert all(2.0 <= pause <= 2.5 for pause in pauses)


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        pytest.param(lambda: format_datetime(in_seconds(7), usegmt=True), 5.0, 8.75, id="a date"),
        pytest.param(lambda: f"{in_seconds(7):%a %b %d %H:%M:%S %Y}", 5.0, 8.75, id="of C"),
        pytest.param(lambda: format_datetime(in_seconds(90), usegmt=True), 10.0, 12.5, id="late"),
        pytest.param(lambda: format_datetime(in_seconds(-9), usegmt=True), 0.2, 0.25, id="past"),
        pytest.param(lambda: "Fri, 99 Nov 99999999999999999999 00:00:00 GMT", 0.2, 0.25, id="none"),
        pytest.param(lambda: "soon", 0.2, 0.25, id="a word"),
    ],
)
def test_retry_after_may_be_a_date(
    pauses: list[float], said: Callable[[], str], least: float, most: float
) -> None:
    """Proxies say with a date when to come back; what says nothing is answered by the usual pause."""
    busy = httpx.Response(503, json=BUSY, headers={"Retry-After": said()})
    client, _ = scripted(busy, httpx.Response(200, json=ANSWERED))
    assert client.predict("admission", {"gre": 660}).admitted
    assert least <= pauses[0] <= most


def in_seconds(seconds: float) -> datetime:
    """The moment in so many seconds."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize("number", [0, 1, 3])
def test_other_number_of_answers_than_rows_is_no_answer(number: int) -> None:
    """Whoever asks for two rows gets two answers or an error, never answers to other rows."""
    row = {name: value for name, value in ANSWERED.items() if name != "model"}
    body = {"predictions": [row] * number, "model": ANSWERED["model"]}
    client, _ = scripted(*[httpx.Response(200, json=body)] * 2)
    rows = [example(ADMISSION)] * 2
    with pytest.raises(RefusedError, match=r"status 200, and not as this service does$"):
        client.predict_many("admission", rows)
    with pytest.raises(RefusedError, match=r"status 200, and not as this service does$"):
        client.predict_frame("admission", pd.DataFrame(rows))


def test_broken_connection_is_tried_again_after_growing_pauses(pauses: list[float]) -> None:
    """A connection that breaks is tried again, each pause longer than the one before."""
    client, _ = scripted(
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("closed"),
        httpx.Response(200, json=ANSWERED),
    )
    assert client.predict("admission", {}).admitted
    assert 0.2 <= pauses[0] <= 0.25
    assert 0.4 <= pauses[1] <= 0.5


def test_batch_whose_connection_is_cut_is_asked_again(pauses: list[float]) -> None:
    """A batch is retried after no answer, half an answer, or a proxy's 502 for a broken replica."""
    row: dict[str, Any] = {"probability": 0.5, "admitted": True, "threshold": 0.5, "warnings": []}
    row["interval"] = {"level": 0.9, "low": 0.4, "high": 0.6}
    body = json.dumps({"predictions": [row] * 3, "model": {"name": "admission", "version": "v"}})
    whole = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    answers = ["", whole[: len(whole) // 2], "HTTP/1.1 502 Bad Gateway\r\n\r\n", whole]

    def serve() -> None:
        for answer in answers:
            with server.accept()[0] as connection, connection.makefile("rb") as file:
                head = b"".join(iter(file.readline, b"\r\n")).decode().lower()
                sent = file.read(int(head.partition("content-length: ")[2].split()[0]))
                bodies.append(len(json.loads(sent)["instances"]))
                connection.sendall(answer.encode())

    bodies: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        with Client(f"http://127.0.0.1:{server.getsockname()[1]}") as client:
            found = client.predict_many("admission", [example(ADMISSION)] * 3)
        thread.join()
    assert [type(answer) for answer in found] == [AdmissionRow] * 3
    assert (bodies, len(pauses)) == ([3] * 4, 3)


def test_last_attempt_says_what_happened(pauses: list[float]) -> None:
    """When the attempts are used up, the caller gets the last refusal or the last fault."""
    client, _ = scripted(*[httpx.Response(503, json=BUSY)] * 3)
    with pytest.raises(RefusedError, match="128 of 128 places"):
        client.predict("admission", {})
    client, _ = scripted(*[httpx.ConnectError("refused")] * 3)
    with pytest.raises(httpx.ConnectError, match=r"^http://service gives no answer: refused$"):
        client.predict("admission", {})
    assert len(pauses) == 4


@pytest.mark.parametrize(("attempts", "asked"), [(-1, 1), (0, 1), (1, 1), (2, 2)])
def test_attempts_are_how_often_is_asked(pauses: list[float], attempts: int, asked: int) -> None:
    """At least once; after the last attempt there is no pause."""
    client, sent = scripted(*[httpx.Response(503, json=BUSY)] * 3, attempts=attempts)
    with pytest.raises(RefusedError):
        client.predict("admission", {})
    assert (len(sent), len(pauses)) == (asked, asked - 1)


def test_answer_that_is_damaged_on_its_way_is_none(pauses: list[float]) -> None:
    """Whatever keeps an answer from being read is asked for again, and in the end one kind of error."""

    def damaged(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=b"not gzip")

    client = Client("http://service", attempts=3, transport=httpx.MockTransport(damaged))
    with pytest.raises(httpx.TransportError, match=r"^http://service gives no answer: Error -3"):
        client.predict("admission", {})
    assert len(pauses) == 2


@pytest.mark.parametrize("status", [200, 301, 404])
@pytest.mark.parametrize("text", ["<html>", "", '{"probability":0.5,', '{"hello":1}'])
def test_answer_of_a_stranger_is_named_by_address_and_status(
    pauses: list[float], status: int, text: str
) -> None:
    """An answer that is not the service's, even with status 200, is reported in one line."""
    client, sent = scripted(httpx.Response(status, text=text))
    with pytest.raises(RefusedError) as refused:
        client.predict("admission", {})
    address = "http://service/predict/admission?level=0.9"
    said = f"{address} answers with HTTP status {status}, and not as this service does"
    assert str(refused.value) == said
    assert refused.value.problem is None
    assert (len(sent), pauses) == (1, [])


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "",
        "http://",
        "/x",
        "ftp://x",
        "http://[::1",
        "http://x/?a=b",
        "http://x#a",
    ],
)
def test_address_that_cannot_be_one_is_refused_before_anything_is_asked(url: str) -> None:
    """A URL without a scheme is refused at once, and not retried like a broken connection."""
    with pytest.raises(SettingsError, match=r"^url ") as refused:
        Client(url)
    assert repr(url) in str(refused.value)


def test_name_of_a_model_leads_to_no_other_route(client: Client) -> None:
    """Whatever a name is, what is asked is the card of a model of that name."""
    with pytest.raises(RefusedError, match=r"^There is no route /models/\.\./health/live"):
        client.card("../health/live")


def test_password_of_an_address_is_in_no_error(url: str) -> None:
    """Whoever goes through a proxy that asks for one finds it in no log."""
    place = url.removeprefix("http://")
    said: list[str] = []
    for address, name in (
        ("http://user:secret@[::1", ""),
        ("ftp://user:secret@host", ""),
        ("http://user:secret@127.0.0.1:1", "bikes"),
        (f"http://user:secret@{place}/elsewhere", "bikes"),
    ):
        refusal = pytest.raises((SettingsError, RefusedError, httpx.TransportError))
        with refusal as refused, Client(address, attempts=1) as asking:
            asking.card(name)
        said.append(str(refused.value))
    assert not any("secret" in words for words in said), said
    assert said[2].startswith("http://127.0.0.1:1 gives no answer: ")


@pytest.mark.parametrize("key", ["schl\u00fcssel", "a\nb"])
def test_key_that_no_header_can_have_is_refused_without_repeating_it(key: str) -> None:
    """A key stays secret in the error, too."""
    with pytest.raises(SettingsError) as refused:
        Client(key=key)
    assert str(refused.value) == "key must be printable ASCII text"


def test_call_that_no_service_could_answer_is_one_line(client: Client) -> None:
    """An unknown model, something that is no row, and an ambiguous frame are refused without a request."""
    frame = pd.DataFrame([example(ADMISSION)])
    twice = pd.concat([frame, frame[["gre"]]], axis=1)
    rows: Any = frame
    wrong: Any = "bike"
    tasks = " and ".join(TASKS)
    calls: dict[str, Callable[[], Any]] = {
        f"there is no model 'bike'; there are {tasks}": lambda: client.predict_frame("bike", frame),
        "a row must be a dict of fields and values, and is a str; a data frame goes to "
        "predict_frame": lambda: client.predict_many("admission", rows),
        f"there is no model 'bike'; there are {tasks} ": lambda: client.predict_many(wrong, []),
        "a frame must be of pandas, and is a list; rows go to predict_many": (
            lambda: client.predict_frame("admission", [example(ADMISSION)])
        ),
        "a frame must be of pandas, and is a Table of pyarrow; give its to_pandas()": (
            lambda: client.predict_frame("admission", pa.Table.from_pandas(frame))
        ),
        "the frame has more than one column gre": lambda: client.predict_frame("admission", twice),
    }
    for words, call in calls.items():
        with pytest.raises(InputError) as refused:
            call()
        assert str(refused.value) == words.strip()


def test_values_of_other_libraries_are_taken(client: Client) -> None:
    """Decimals of a database, the nanoseconds of pandas and its hours, a time in a row of any kind."""
    decimal = example(ADMISSION, gpa=Decimal("3.67"))
    assert client.predict("admission", decimal) == client.predict("admission", example(ADMISSION))
    same = client.predict("bikes", example(BIKES))
    hour = np.datetime64("2012-06-01T17")
    times: list[Any] = [hour, hour.astype("datetime64[ns]"), pd.Period("2012-06-01 17:00", "h")]
    for time in times:
        assert client.predict("bikes", example(BIKES, timestamp=time)) == same
    times = [np.datetime64("2012-06-01"), np.datetime64("NaT", "ns"), {17}]
    for time in times:
        with pytest.raises(RefusedError, match="timestamp"):
            client.predict("bikes", example(BIKES, timestamp=time))


def test_key_is_sent() -> None:
    """Every request carries the key, without the line end that it had in its file."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["X-API-Key"])
        return httpx.Response(200)

    with Client("http://service", key="k\n", transport=httpx.MockTransport(answer)) as client:
        assert client.ready()
    assert seen == ["k"]


def test_service_that_is_not_there_is_not_ready(pauses: list[float]) -> None:
    """`ready` asks once, and is false if nobody answers."""
    client, sent = scripted(httpx.ConnectError("refused"))
    assert not client.ready()
    assert len(sent) == 1


def test_threads_share_a_client(client: Client) -> None:
    """Several threads may ask through one client at once."""
    found: list[Any] = []
    ask = lambda: found.append(client.predict("admission", example(ADMISSION)))  # noqa: E731
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(answer == found[0] for answer in found)

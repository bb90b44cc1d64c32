"""A client of the service in Python, over httpx, which the extra `client` brings.

    with Client("http://127.0.0.1:8000") as client:
        answer = client.predict("admission", {"gre": 660, "gpa": 3.67, "rank": 1})
        answer.probability, answer.interval.low, answer.interval.high

A prediction changes nothing, so one that got no answer (because a connection broke, or the service is
overloaded or being replaced) is retried, after the time that the service names or a growing pause.
"""

import json
import math
import random
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date
from email.utils import parsedate_to_datetime
from itertools import islice
from types import TracebackType
from typing import Any, Literal, Self, SupportsFloat, TypeVar, overload
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from models.errors import InputError, ProjectError, SettingsError
from models.interval import DEFAULT_LEVEL
from models.task import Task
from models.tasks import TASKS
from service.card_schema import Card
from service.schemas import (
    ANSWERS,
    BATCH_ANSWERS,
    AdmissionAnswer,
    AdmissionRow,
    BikesAnswer,
    BikesRow,
    FailedRow,
    ProblemDocument,
)

CHUNK = 10_000
"""Rows of one request, the most that a service takes by default; more are sent in several."""

_TRY_AGAIN = frozenset({429, 502, 503})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0

_TEXTS = "warnings", "error"
"""The columns of text in the frame of answers."""

Row = Mapping[str, Any]
_Form = TypeVar("_Form", bound=BaseModel)


class RefusedError(ProjectError):
    """The service did not answer; the message says why.

    status : of the HTTP answer.
    problem : what the service said, or None if the answer was not the service's own.
    """

    def __init__(self, status: int, problem: ProblemDocument | None, url: str = "") -> None:
        stranger = f"{url} answers with HTTP status {status}, and not as this service does"
        super().__init__(problem.detail if problem else stranger)
        self.status = status
        self.problem = problem


class Client:
    """Asks the service at `url`. May be shared by threads; ends with `close` or a `with` block.

    Raises SettingsError for a `url` or `key` that no request can have.

    key : an API key, if the service asks for one; space around it, as files have, is left out.
    timeout : seconds to wait for a connection, and then for every next part of an answer; an answer that
        comes in many parts may take longer. attempts : how often one is asked for, at least once.
    chunk : rows of one request of a batch, for a service that takes fewer than most do.
    transport : for tests, and for those who need one of their own.
    """

    def __init__(  # noqa: PLR0913 - all but the address are rarely given
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        timeout: float = 30.0,
        attempts: int = 5,
        chunk: int = CHUNK,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        _check(url, key)
        headers = {} if key is None else {"X-API-Key": key.strip()}
        self._http = httpx.Client(
            base_url=url, headers=headers, timeout=timeout, transport=transport
        )
        self._attempts = max(attempts, 1)
        self._chunk = max(chunk, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ready(self) -> bool:
        """Whether every model can answer, asked once."""
        try:
            return self._http.get("/health/ready").is_success
        except httpx.RequestError:
            return False

    def card(self, name: str) -> Card:
        """The card of a model: its fields, how good it is, what it is for. Raises as `predict`."""
        return _read(self._ask("GET", f"/models/{quote(name, safe='', errors='replace')}"), Card)

    @overload
    def predict(
        self, name: Literal["bikes"], row: Row, *, level: float = ..., explain: bool = ...
    ) -> BikesAnswer: ...
    @overload
    def predict(
        self, name: Literal["admission"], row: Row, *, level: float = ..., explain: bool = ...
    ) -> AdmissionAnswer: ...
    @overload
    def predict(
        self, name: str, row: Row, *, level: float = ..., explain: bool = ...
    ) -> BikesAnswer | AdmissionAnswer: ...
    def predict(
        self, name: str, row: Row, *, level: float = DEFAULT_LEVEL, explain: bool = False
    ) -> BaseModel:
        """The answer to one row; a time may be a `datetime`.

        level : of the interval; explain : whether the answer says what each field added.
        Raises InputError for what is no row of a model that there is, RefusedError where the service
        says no, httpx.TransportError where nobody answers, or not in a form that can be read.
        """
        path = f"/predict/{_task(name).name}"
        answer = self._post(path, _instance(row), level=level, explain=explain)
        return _read(answer, ANSWERS[name])

    @overload
    def predict_many(
        self, name: Literal["bikes"], rows: Iterable[Row], *, level: float = ...
    ) -> list[BikesRow | FailedRow]: ...
    @overload
    def predict_many(
        self, name: Literal["admission"], rows: Iterable[Row], *, level: float = ...
    ) -> list[AdmissionRow | FailedRow]: ...
    @overload
    def predict_many(
        self, name: str, rows: Iterable[Row], *, level: float = ...
    ) -> list[BikesRow | FailedRow] | list[AdmissionRow | FailedRow]: ...
    def predict_many(
        self, name: str, rows: Iterable[Row], *, level: float = DEFAULT_LEVEL
    ) -> Sequence[BaseModel]:
        """The answers to rows, in their order; a bad row has a FailedRow in its place.

        Any number of rows: they are read and sent in chunks. Raises as `predict`.
        """
        _task(name)
        found: list[BaseModel] = []
        for chunk in _chunks(rows, self._chunk):
            body = {"instances": [_instance(row) for row in chunk]}
            answers = self._batch(name, body, level, len(chunk))
            _renumber(answers, len(found))
            found += answers
        return found

    def predict_frame(self, name: str, frame: Any, *, level: float = DEFAULT_LEVEL) -> Any:
        """The answers to the rows of a pandas data frame, as a frame with the same index.

        Its columns: the answer (`rentals`; or `probability` and `admitted`), `low`, `high`,
        `warnings`, and `error`, which is missing for a row that was answered. They have the same types
        whatever the answers are: float64, boolean, string. Columns of `frame` that are no fields of
        the model are not sent. Raises as `predict`.
        """
        task = _task(name)
        if not (hasattr(frame, "columns") and hasattr(frame, "index")):
            kind = type(frame)
            words = f"a frame must be of pandas, and is a {kind.__name__}"
            if hasattr(frame, "to_pandas"):
                library = kind.__module__.partition(".")[0]
                raise InputError(f"{words} of {library}; give its to_pandas()")
            raise InputError(f"{words}; rows go to predict_many")
        fields = [field for field in task.field_names if field in frame.columns]
        for field in fields:
            if list(frame.columns).count(field) > 1:
                raise InputError(f"the frame has more than one column {field}")
        columns = {field: [_json(value) for value in frame[field].tolist()] for field in fields}
        answers: list[dict[str, Any]] = []
        for start in range(0, len(frame), self._chunk):
            end = min(start + self._chunk, len(frame))
            part = {key: values[start:end] for key, values in columns.items()}
            found = self._batch(name, {"inputs": part}, level, end - start)
            answers += [_cells(row) for row in found]
        types = dict.fromkeys(task.answer_names, "float64") | dict.fromkeys(_TEXTS, "string")
        if task.decision:
            types[task.decision] = "boolean"
        made = {name: [cells.get(name) for cells in answers] for name in types}
        return type(frame)(made, index=frame.index).astype(types)

    def _batch(self, name: str, body: Any, level: float, n_rows: int) -> Sequence[BaseModel]:
        """The answers to `n_rows` rows. Raises RefusedError for any other number of answers."""
        answer = self._post(f"/predict/{_task(name).name}/batch", body, level=level)
        predictions: Sequence[BaseModel] = getattr(
            _read(answer, BATCH_ANSWERS[name]), "predictions", ()
        )
        if len(predictions) != n_rows:
            raise RefusedError(answer.status_code, None, _public(answer.url))
        return predictions

    def _post(self, path: str, body: Any, *, level: float, explain: bool = False) -> httpx.Response:
        query = {"level": str(level)} | ({"explain": "true"} if explain else {})
        # httpx would raise for an infinite number, of one row; the service has words for it. Nor does
        # half of a surrogate pair fail more than its row: no field takes the "?" that is sent for it.
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        content = text.encode(errors="replace")
        headers = {"Content-Type": "application/json"}
        return self._ask("POST", path, content=content, headers=headers, params=query)

    def _ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        """An answer, asked for until there is one. Raises RefusedError, httpx.TransportError."""
        for attempt in range(1, self._attempts + 1):
            try:
                answer = self._http.request(method, path, **how)
            except httpx.RequestError as error:
                if attempt == self._attempts:
                    words = f"{_public(self._http.base_url)} gives no answer: {error}"
                    if isinstance(error, httpx.TransportError):
                        error.args = (words,)
                        raise
                    # as one that is compressed, and damaged
                    raise httpx.RemoteProtocolError(words, request=error.request) from error
                answer = None
            if answer is not None and answer.is_success:
                return answer
            if answer is not None and (
                answer.status_code not in _TRY_AGAIN or attempt == self._attempts
            ):
                raise RefusedError(answer.status_code, _problem(answer), _public(answer.url))
            time.sleep(_pause(attempt, answer))
        raise AssertionError("the last attempt returns or raises")


def _check(url: str, key: str | None) -> None:
    """Raises SettingsError. What is wrong with a key is said without it."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise SettingsError(f"url is {_public(url)!r}: {error}") from None
    if address.scheme not in {"http", "https"} or not address.host:
        words = "url must begin with http:// or https:// and a host"
        raise SettingsError(f"{words}, and is {_public(url)!r}")
    if address.query or address.fragment:
        raise SettingsError(f"url must end with a path, and is {_public(url)!r}")
    if key is not None and not (key.isascii() and key.strip().isprintable()):
        raise SettingsError("key must be printable ASCII text")


def _public(url: httpx.URL | str) -> str:
    """An address for a message: without the name and password that it may have for a proxy."""
    return re.sub("//[^/]*@", "//", str(url))


def _task(name: str) -> Task:
    if name not in TASKS:
        raise InputError(f"there is no model {name!r}; there are {' and '.join(TASKS)}")
    return TASKS[name]


def _read(answer: httpx.Response, form: type[_Form]) -> _Form:
    """What the service says. Raises RefusedError for what is not its answer."""
    try:
        return form.model_validate_json(answer.content)
    except ValidationError:
        raise RefusedError(answer.status_code, None, _public(answer.url)) from None


def _pause(attempt: int, answer: httpx.Response | None) -> float:
    """Seconds until the next attempt: what the service says, else doubling, and a little at random."""
    said = answer.headers.get("Retry-After", "") if answer is not None else ""
    pause = _seconds(said)
    if pause is None:
        pause = _FIRST_PAUSE * 2 ** (attempt - 1)
    return min(pause, _LONGEST_PAUSE) * random.uniform(1.0, 1.25)  # noqa: S311 - no secret


def _seconds(said: str) -> float | None:
    """The seconds of a Retry-After header, a number or a date (RFC 9110, section 10.2.3).

    None for anything else, and for a date that has passed, be it by this machine's clock only.
    """
    if said.isdecimal():
        return float(said)
    try:
        moment = parsedate_to_datetime(said).replace(tzinfo=UTC)  # a date of HTTP is always of UTC
    except (ValueError, OverflowError):
        return None
    left = moment.timestamp() - time.time()
    return left if left > 0.0 else None


def _problem(answer: httpx.Response) -> ProblemDocument | None:
    try:
        return ProblemDocument.model_validate_json(answer.content)
    except ValidationError:
        return None


def _instance(row: Row) -> dict[str, Any]:
    """A row as JSON has it."""
    if not hasattr(row, "items"):
        words = f"a row must be a dict of fields and values, and is a {type(row).__name__}"
        raise InputError(f"{words}; a data frame goes to predict_frame")
    return {
        field if isinstance(field, str) else str(field): _json(value)
        for field, value in row.items()
    }


def _json(value: Any) -> Any:
    """A value as JSON has it: times as text, NumPy's scalars as Python's, NaN, NaT and NA as null.

    What cannot be sent, as an object that no text can be made of, is sent as the name of its type: the
    service then refuses its row and no other.
    """
    if type(value) is str or (type(value) is float and value == value):  # noqa: PLR0124 - nearly all
        return value
    try:
        return _plain(value)
    except Exception:  # noqa: BLE001  # an object may raise anything
        return f"a {type(value).__name__}"


def _plain(value: Any) -> Any:
    """As `_json`, or whatever the value raises. Of a list or dict the kind alone is sent."""
    if getattr(value, "dtype", None) == "datetime64[ns]":  # as Python it would be a number
        value = value.astype("datetime64[us]")
    if hasattr(value, "item"):
        value = value.item()
    if value is None or type(value).__name__ == "NAType" or value != value:  # noqa: PLR0124 - NaN, NaT
        return None
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        return math.inf  # as it is to the service
    if isinstance(value, str | float | int):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple | dict):
        return type(value)()
    return float(value) if isinstance(value, SupportsFloat) else str(value)


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _renumber(answers: Sequence[BaseModel], first: int) -> None:
    """Let the pointers of faulty rows count from the first of all rows, not of those of their request."""
    for i, row in enumerate(answers):
        if isinstance(row, FailedRow):
            for entry in row.error.errors:
                pointer = entry.pointer or ""
                entry.pointer = pointer.replace(f"/instances/{i}", f"/instances/{first + i}", 1)


def _cells(row: BaseModel) -> dict[str, Any]:
    """An answer of a batch as the cells of a table."""
    if isinstance(row, FailedRow):
        return {"warnings": "", "error": "; ".join(entry.detail for entry in row.error.errors)}
    told = row.model_dump()
    ends = told["interval"]
    return told | {
        "low": ends["low"],
        "high": ends["high"],
        "warnings": "; ".join(told["warnings"]),
    }

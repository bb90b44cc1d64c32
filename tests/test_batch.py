"""POST /predict/{name}/batch, by rows and by columns."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.admission import ADMISSION
from models.bikes import BIKES
from models.model import Model
from models.rows import to_json
from models.tasks import TASKS
from service import batches, fault_messages, limits, replies, rows
from service.batches import SLICE_ROWS
from service.errors import Problem
from service.query import Options
from service.schemas import BATCH_ANSWERS
from tests import tiny
from tests.serving import VERSION, connect, example, tiny_app, tiny_served

pytestmark = pytest.mark.anyio
APP = tiny_app()


async def post(name: str, body: Any, query: str = "") -> Any:
    """The answer to a batch."""
    async with connect(APP) as client:
        return await client.post(f"/predict/{name}/batch{query}", json=body)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("form", ["instances", "inputs"])
async def test_answers_are_the_models_in_order(name: str, form: str) -> None:
    """A batch of several slices has exactly what Model.predict gives for all rows, in their order."""
    columns = tiny.rows(name, 1201, np.random.default_rng(7))
    values = to_json(TASKS[name], columns)
    by_rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    answer = await post(name, {form: by_rows if form == "instances" else values}, "?level=0.8")
    assert answer.status_code == 200
    assert answer.headers["X-Model-Version"] == f"{name}/{VERSION}"
    body = answer.json()
    BATCH_ANSWERS[name].model_validate_json(answer.content, strict=True, extra="forbid")
    assert body["model"] == {"name": name, "version": VERSION}
    wanted = tiny_served(name).model.predict(columns, 0.8)
    found = body["predictions"]
    target = TASKS[name].target
    assert np.allclose([row[target] for row in found], wanted.value, rtol=1e-5, atol=0)
    assert np.allclose([row["interval"]["low"] for row in found], wanted.low, rtol=1e-4, atol=1e-6)
    assert {row["interval"]["level"] for row in found} == {0.8}


async def test_one_slice_is_the_models_answer_to_the_bit() -> None:
    """A batch of one slice has the very float64 of Model.predict."""
    columns = tiny.rows("bikes", 100, np.random.default_rng(8))
    body = (await post("bikes", {"inputs": to_json(BIKES, columns)})).json()
    wanted = tiny_served("bikes").model.predict(columns)
    assert [row["rentals"] for row in body["predictions"]] == wanted.value.tolist()
    assert [row["interval"]["high"] for row in body["predictions"]] == wanted.high.tolist()


async def test_bad_row_does_not_fail_its_neighbours() -> None:
    """A bad row comes back in its place with its pointers; the others are answered."""
    rows = [
        example(BIKES),
        example(BIKES, humidity=101, temprature=1),
        "no row",
        example(BIKES, timestamp="2026-07-01T12:00:00"),
    ]
    found = (await post("bikes", {"instances": rows})).json()["predictions"]
    assert "rentals" in found[0]
    assert {fault["pointer"] for fault in found[1]["error"]["errors"]} == {
        "/instances/1/humidity",
        "/instances/1/temprature",
    }
    assert found[2]["error"]["errors"][0]["pointer"] == "/instances/2"
    assert "rentals" in found[3]
    assert found[3]["warnings"][0].startswith("timestamp is later")


async def test_bad_cell_of_a_column_points_at_itself() -> None:
    """In a batch by columns the pointer of a fault is /inputs/<field>/<row>."""
    inputs = {field: [value, value] for field, value in example(BIKES).items()}
    inputs["weather"][1] = "claer"
    found = (await post("bikes", {"inputs": inputs})).json()["predictions"]
    assert "rentals" in found[0]
    (fault,) = found[1]["error"]["errors"]
    assert fault["pointer"] == "/inputs/weather/1"
    assert fault["detail"].endswith("did you mean clear?")


async def test_number_beyond_all_floats_is_refused_as_in_a_single_row() -> None:
    """A whole number of 400 digits is infinite to both, and the others of its column are answered."""
    rows = [example(ADMISSION), example(ADMISSION, gre=10**400), example(ADMISSION, gpa=-(10**400))]
    found = (await post("admission", {"instances": rows})).json()["predictions"]
    assert "probability" in found[0]
    words = [row["error"]["errors"][0]["detail"] for row in found[1:]]
    assert words == [
        f"{name} must be a finite number, not NaN or Infinity" for name in ("gre", "gpa")
    ]


@pytest.mark.parametrize("n_rows", [1, 3])
@pytest.mark.parametrize("field", ["humidity", "gre"])
async def test_field_that_no_row_has_is_missing_in_each(field: str, n_rows: int) -> None:
    """A column without a single value is no column of values that were left out on purpose."""
    task = BIKES if field in BIKES.field_names else ADMISSION
    row = {name: value for name, value in example(task).items() if name != field}
    found = (await post(task.name, {"instances": [row] * n_rows})).json()["predictions"]
    words = [answer["error"]["detail"].partition(":")[0] for answer in found]
    assert words == [f"{field} is missing"] * n_rows


@pytest.mark.parametrize("day", ["2012-06-01", "2012-07-04"])
@pytest.mark.parametrize(
    "holidays", [[True, ...], [False, ..., None], [...], [None], [True, True], [..., True]]
)
async def test_optional_field_that_some_rows_leave_out_is_as_alone(
    holidays: list[Any], day: str
) -> None:
    """Whoever leaves out whether it is a holiday gets the calendar's answer, whatever the others say."""
    there = [{} if holiday is ... else {"holiday": holiday} for holiday in holidays]
    row = example(BIKES, timestamp=f"{day}T17:00:00")
    del row["holiday"]
    body = {"instances": [row | own for own in there]}
    found = (await post("bikes", body)).json()["predictions"]
    async with connect(APP) as client:
        alone = [(await client.post("/predict/bikes", json=row | own)).json() for own in there]
    wanted = [answer["rentals"] for answer in alone]
    assert [answer["rentals"] for answer in found] == pytest.approx(wanted, rel=1e-5)


async def test_rows_of_one_layout_in_any_order() -> None:
    """Rows whose members stand in another order, or are other ones, are each read by name."""
    row = example(BIKES)
    turned = dict(reversed(row.items()))
    other = {("wind" if name == "wind_speed" else name): value for name, value in row.items()}
    twice = (await post("bikes", {"instances": [row, row]})).json()["predictions"]
    assert (await post("bikes", {"instances": [row, turned]})).json()["predictions"] == twice
    found = (await post("bikes", {"instances": [row, other]})).json()["predictions"]
    assert found[0]["rentals"] == pytest.approx(twice[0]["rentals"])
    assert {fault["pointer"] for fault in found[1]["error"]["errors"]} == {
        "/instances/1/wind",
        "/instances/1/wind_speed",
    }


async def test_strict_refuses_the_whole_batch() -> None:
    """With ?strict=true one bad row refuses the batch, and every fault is listed."""
    rows = [example(BIKES), example(BIKES, humidity=101), example(BIKES, wind_speed=-1)]
    answer = await post("bikes", {"instances": rows}, "?strict=true")
    assert answer.status_code == 422
    pointers = [fault["pointer"] for fault in answer.json()["errors"]]
    assert pointers == ["/instances/1/humidity", "/instances/2/wind_speed"]


@pytest.mark.parametrize("form", ["instances", "inputs"])
async def test_too_many_rows_are_refused_with_the_limit(form: str) -> None:
    """More rows than the setting allows: 413 that says the limit and what came."""
    row = example(BIKES)
    body = {
        "instances": {"instances": [row] * 4},
        "inputs": {"inputs": {field: [value] * 4 for field, value in row.items()}},
    }[form]
    async with connect(tiny_app(batch_rows=3)) as client:
        answer = await client.post("/predict/bikes/batch", json=body)
    assert answer.status_code == 413
    assert answer.json()["detail"] == "A batch may have at most 3 rows, and this one has 4."


@pytest.mark.parametrize("name", TASKS)
async def test_empty_batch_has_no_predictions(name: str) -> None:
    """A batch of no rows is a batch."""
    empty: dict[str, list[Any]] = {field: [] for field in TASKS[name].field_names}
    bodies: list[Any] = [{"instances": []}, {"inputs": empty}]
    for body in bodies:
        answer = await post(name, body)
        assert (answer.status_code, answer.json()["predictions"]) == (200, [])


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "must be"),
        ({"instances": [], "inputs": {}}, 400, "must be"),
        ([], 400, "must be"),
        ({"instance": []}, 422, "did you mean instances?"),
        ({"instances": {}}, 422, "instances must be a list, and is an object"),
        ({"inputs": []}, 422, "inputs must be an object of lists, and is a list"),
        ({"inputs": {"gre": [1]}}, 422, "gpa is missing (and 1 more)"),
        ({"inputs": {"gre": 1, "gpa": [], "rank": []}}, 422, "gre must be a list"),
        ({"inputs": {"gre": [1, 2], "gpa": [], "rank": []}}, 422, "gre 2, gpa 0, rank 0 values"),
    ],
    ids=["none", "two", "list", "name", "no-list", "no-object", "missing", "scalar", "lengths"],
)
async def test_body_that_is_no_batch_is_explained(body: Any, status: int, words: str) -> None:
    """A body of another form is refused in words that say the form."""
    answer = await post("admission", body)
    assert answer.status_code == status
    assert words in answer.json()["detail"]


async def test_nan_is_the_fault_of_its_row() -> None:
    """NaN, which JSON does not have but clients send, fails its row and no other."""
    text = json.dumps({"instances": [example(BIKES), example(BIKES, humidity=float("nan"))]})
    async with connect(APP) as client:
        answer = await client.post("/predict/bikes/batch", content=text)
    good, bad = answer.json()["predictions"]
    assert "rentals" in good
    assert bad["error"]["detail"] == "humidity must be a finite number, not NaN or Infinity"


@pytest.mark.parametrize("form", ["alone", "instances", "inputs"])
async def test_many_unknown_fields_are_counted(form: str) -> None:
    """Of thousands of names that are no fields the first are told one by one, and the others counted."""
    strange = example(BIKES, humidity=101) | {f"field{i}": [] for i in range(5000)}
    async with connect(APP) as client:
        if form == "alone":
            problem = (await client.post("/predict/bikes", json=strange)).json()
            at, wrong = "", {"/humidity": "humidity must be between 0 and 100 %"}
        elif form == "instances":
            body: Any = {"instances": [strange, example(BIKES)]}
            answer = await client.post("/predict/bikes/batch", json=body)
            problem, good = answer.json()["predictions"]
            problem, at = problem["error"], "/instances/0"
            wrong = {"/instances/0/humidity": "humidity must be between 0 and 100 %"}
            assert "rentals" in good
        else:
            columns = {name: [value] for name, value in example(BIKES).items()}
            body = {"inputs": columns | {f"field{i}": [1] for i in range(5000)}}
            problem = (await client.post("/predict/bikes/batch", json=body)).json()
            at, wrong = "/inputs", {}
    found = {fault["pointer"]: fault["detail"] for fault in problem["errors"]}
    unknown = [f"{at}/field{i}" for i in range(fault_messages.MOST_UNKNOWN)]
    assert list(found) == [*wrong, *unknown, at]
    assert wrong.items() <= found.items()
    assert found[at] == f"there are {5000 - fault_messages.MOST_UNKNOWN} more fields that are none"


@pytest.mark.parametrize(
    ("path", "body", "at"),
    [
        ("", "{%s}", ""),
        ("/batch", '{"instances": [{%s}]}', "/instances/0"),
        ("/batch", '{"inputs": {%s}}', "/inputs"),
        ("/batch", "{%s}", ""),
    ],
)
async def test_a_long_name_is_not_sent_back(path: str, body: str, at: str) -> None:
    """The fault of a name that is no field and too long to be a misspelling points at its object."""
    async with connect(APP) as client:
        answer = await client.post(f"/predict/bikes{path}", content=body % f'"{"~" * 60_000}": []')
    assert len(answer.content) < 2000
    error = answer.json()
    faults = (error["predictions"][0]["error"] if "predictions" in error else error)["errors"]
    assert {fault["pointer"] for fault in faults if "~" in fault["detail"]} == {at}


def test_a_field_with_a_long_name_has_its_pointer() -> None:
    """What a task declares is pointed at, however long its name; what it does not is told of once."""
    name = "weeks_since_the_start_of_the_campaign_or_the_last_promotion"
    task = replace(ADMISSION, fields=(replace(ADMISSION.field_of["gre"], name=name),))
    for columns, told in (({}, "is missing"), ({name: 1}, "must be a list, and is a number")):
        with pytest.raises(Problem) as caught:
            batches.read_json(json.dumps({"inputs": {**columns, "gree": 1}}).encode(), task, 10)
        found = [(fault.pointer, fault.detail) for fault in caught.value.faults]
        assert found[0][0] == "/inputs/gree"
        assert found[1:] == [(f"/inputs/{name}", f"{name} {told}")]


class Work:
    """A clock that goes on with the work alone, and what others had to wait for their turns by it."""

    def __init__(self) -> None:
        self.now = self.last_turn = self.longest = 0.0
        self.turns = 0

    def costs(self, seconds: float, step: Any) -> Any:
        """A step that takes so long by this clock."""

        def slow(*args: Any) -> Any:
            self.now += seconds
            return step(*args)

        return slow

    async def give_way(self, _: Any) -> None:
        """A turn of the others."""
        self.longest = max(self.longest, self.now - self.last_turn)
        self.last_turn = self.now
        self.turns += 1


FAULTY = {
    "row": example(BIKES, humidity=101),
    "unknown field": example(BIKES, humdity=50),
    "no row": 7,
}


@pytest.mark.parametrize("bad", FAULTY.values(), ids=FAULTY)
@pytest.mark.parametrize("form", ["instances", "inputs"])
@pytest.mark.parametrize("cost", [0.00005, 0.003, 0.02])
async def test_turn_ends_in_time_whatever_a_row_costs(
    monkeypatch: pytest.MonkeyPatch, form: str, bad: Any, cost: float
) -> None:
    """Where every row is faulty others wait for TURN_SECONDS and one row more, on any machine."""
    work, n_rows = Work(), 300
    body: Any = {"instances": [bad] * n_rows}
    if form == "inputs":
        if not isinstance(bad, dict) or "humdity" in bad:
            bad = example(BIKES, weather=7)
        body = {"inputs": {name: [value] * n_rows for name, value in bad.items()}}
    monkeypatch.setattr(limits, "give_way", work.give_way)
    monkeypatch.setattr(rows, "judge", work.costs(cost, rows.judge))
    batch = batches.read_json(json.dumps(body).encode(), BIKES, n_rows)
    turns = limits.Turns({}, lambda: work.now)
    reply = await batches.answer(turns, tiny_served("bikes"), batch, Options(), as_csv=False)
    assert reply.body.count(b'{"error":') == n_rows
    assert work.now == pytest.approx(n_rows * cost)
    assert work.longest <= limits.TURN_SECONDS + 1.01 * cost
    assert work.turns <= work.now / limits.TURN_SECONDS + 1


async def test_turn_ends_between_the_steps_of_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no row is faulty others wait for TURN_SECONDS and one step of one slice at most."""
    work, cost, n_rows = Work(), 0.003, 3 * SLICE_ROWS
    monkeypatch.setattr(limits, "give_way", work.give_way)
    monkeypatch.setattr(rows, "_look_at", work.costs(cost, rows._look_at))
    monkeypatch.setattr(Model, "predict", work.costs(cost, Model.predict))
    monkeypatch.setattr(replies, "rows_json", work.costs(cost, replies.rows_json))
    body = json.dumps({"instances": [example(ADMISSION)] * n_rows}).encode()
    batch = batches.read_json(body, ADMISSION, n_rows)
    turns = limits.Turns({}, lambda: work.now)
    reply = await batches.answer(turns, tiny_served("admission"), batch, Options(), as_csv=False)
    assert len(reply.values) == n_rows
    assert work.now == pytest.approx(9 * cost)
    assert work.longest <= limits.TURN_SECONDS + cost


async def test_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop turns while a batch is worked on, as often as the time for a turn is over."""
    monkeypatch.setattr(limits, "TURN_SECONDS", 0.0)
    turns = 0
    body = {"instances": [example(ADMISSION, gre=1)] * 100}
    async with connect(APP) as client:
        request = asyncio.ensure_future(client.post("/predict/admission/batch", json=body))
        while not request.done():
            await asyncio.sleep(0)
            turns += 1
    assert len(request.result().json()["predictions"]) == 100
    assert turns >= 100


@pytest.mark.parametrize("wrong", [True, False, "1", None, [], {}])
@pytest.mark.parametrize("right", [1, 0.0, 55.5])
async def test_value_that_is_no_number_fails_its_row_alone(wrong: Any, right: float) -> None:
    """Between numbers, also whole ones and zeros, what is none is found, true and false among them."""
    inputs = {field: [value] * 3 for field, value in example(BIKES).items()}
    inputs["humidity"] = [right, wrong, right]
    found = (await post("bikes", {"inputs": inputs})).json()["predictions"]
    assert ["rentals" in row for row in found] == [True, False, True]
    assert found[1]["error"]["errors"][0]["pointer"] == "/inputs/humidity/1"


@pytest.mark.parametrize("wrong", [0, 1, "T", "false", [], {}, 0.0, 10**400])
async def test_value_that_is_no_truth_value_fails_its_row_alone(wrong: Any) -> None:
    """Among true, false and null, what only looks like them is found."""
    rows = [example(BIKES, holiday=value) for value in (True, wrong, None, False)]
    inputs = {field: [row[field] for row in rows] for field in rows[0]}
    found = (await post("bikes", {"inputs": inputs})).json()["predictions"]
    assert ["rentals" in row for row in found] == [True, False, True, True]
    assert found[1]["error"]["errors"][0]["pointer"] == "/inputs/holiday/1"
    alone = (await post("bikes", {"instances": [rows[0]]})).json()["predictions"]
    assert found[0]["rentals"] == pytest.approx(alone[0]["rentals"])

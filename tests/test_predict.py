"""POST /predict/{name}."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models import drift
from models.admission import ADMISSION
from models.bikes import BIKES
from models.tasks import TASKS
from service.app import Service, create_app
from service.registry import Registry
from service.schemas import ANSWERS, REQUESTS
from service.settings import Settings
from tests.serving import VERSION, connect, example, tiny_app, tiny_served

pytestmark = pytest.mark.anyio
APP = tiny_app()


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("level", [None, 0.5, 0.8, 0.99])
async def test_answer_is_the_models(name: str, level: float | None) -> None:
    """An answer has exactly what Model.predict_one gives, at the level that was asked for."""
    row = example(TASKS[name])
    async with connect(APP) as client:
        query = {} if level is None else {"level": str(level)}
        answer = await client.post(f"/predict/{name}", json=row, params=query)
    assert answer.status_code == 200
    request = REQUESTS[name].model_validate(row)
    wanted = tiny_served(name).model.predict_one(vars(request), level or 0.9)
    body = answer.json()
    assert body[TASKS[name].target] == wanted.value
    assert body["interval"] == {
        "level": level or 0.9,
        "low": wanted.low,
        "high": wanted.high,
    }
    assert body["model"] == {"name": name, "version": VERSION}
    ANSWERS[name].model_validate_json(answer.content, strict=True, extra="forbid")


async def test_headers_name_request_and_model() -> None:
    """Every answer carries the caller's sane request id, or a new one, and the model's version."""
    async with connect(APP) as client:
        given = await client.post(
            "/predict/bikes", json=example(BIKES), headers={"X-Request-ID": "abc-1"}
        )
        made = await client.post(
            "/predict/bikes", json=example(BIKES), headers={"X-Request-ID": "a b\tc"}
        )
        failed = await client.post("/predict/bikes", content=b"{")
    assert given.headers["X-Request-ID"] == "abc-1"
    assert made.headers["X-Request-ID"] not in ("", "a b\tc")
    assert failed.headers["X-Request-ID"] != made.headers["X-Request-ID"]
    for answer in (given, made, failed):
        assert answer.headers["X-Model-Version"] == f"bikes/{VERSION}"


async def test_admission_is_decided_at_the_threshold() -> None:
    """`admitted` says whether the probability reaches the threshold, which is in the answer."""
    async with connect(APP) as client:
        for gre in (200, 500, 800):
            row = example(ADMISSION, gre=gre)
            body = (await client.post("/predict/admission", json=row)).json()
            assert body["admitted"] == (body["probability"] >= body["threshold"])


async def test_yes_or_no_has_the_name_that_the_task_gives_it() -> None:
    """A task names its own yes or no, in a row, a batch, a CSV and a tensor."""
    served = tiny_served("admission")
    task = replace(ADMISSION, decision="taken")
    renamed = replace(served, model=replace(served.model, task=task))
    app = create_app(Registry({"bikes": tiny_served("bikes"), "admission": renamed}), Settings())
    row, path = example(ADMISSION), "/predict/admission"
    tensors = [
        {"name": f.name, "shape": [1], "datatype": "FP64", "data": [row[f.name]]}
        for f in task.fields
    ]
    async with connect(app) as client:
        one = (await client.post(path, json=row)).json()
        batch = (await client.post(f"{path}/batch", json={"instances": [row]})).json()
        as_csv = {"Accept": "text/csv"}
        lines = await client.post(f"{path}/batch", json={"instances": [row]}, headers=as_csv)
        outputs = (await client.post("/v2/models/admission/infer", json={"inputs": tensors})).json()
    assert one["taken"] is batch["predictions"][0]["taken"] is (one["probability"] >= 0.5)
    assert lines.text.startswith("probability,taken,low")
    assert "taken" in [output["name"] for output in outputs["outputs"]]
    assert "admitted" not in f"{one}{batch}{lines.text}{outputs}"


@pytest.mark.parametrize("name", TASKS)
def test_answer_class_has_what_the_task_answers(name: str) -> None:
    """The documented answer has the task's target, and its yes or no with the threshold if it has one."""
    task = TASKS[name]
    decided = {task.decision, "threshold"} if task.threshold is not None else set()
    common = {"interval", "warnings", "explanation", "model"}
    assert set(ANSWERS[name].model_fields) == {task.target, *decided, *common}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"timestamp": "2026-07-01T12:00:00"}, ["timestamp is later than"]),
        ({"timestamp": "1999-07-01T12:00:00"}, ["timestamp is earlier than"]),
        ({"temperature": 49.5, "wind_speed": 119}, ["temperature is above", "wind_speed is above"]),
        ({"feels_like": None}, []),
    ],
    ids=["later", "earlier", "two", "missing"],
)
async def test_warnings_name_the_field(changes: dict[str, Any], words: list[str]) -> None:
    """An input outside the training range is answered, with a warning that names its field."""
    async with connect(APP) as client:
        answer = await client.post("/predict/bikes", json=example(BIKES, **changes))
    found = answer.json()["warnings"]
    assert len(found) == len(words)
    assert all(text.startswith(start) for text, start in zip(found, words, strict=True))


async def test_choice_that_no_training_row_has_is_warned_of_in_every_form() -> None:
    """An answer for weather that the model never saw is a guess: single, batch, CSV and v2 say so alike."""
    app, row = _without_rain(), example(BIKES, weather="light_precipitation")
    seen = example(BIKES, weather="mist")
    cells = ",".join(str(value) for value in row.values())
    table = f"{','.join(row)}\n{cells}\n".replace("False", "false")
    v2 = [
        {"name": name, "shape": [1], "datatype": _DATATYPES[type(value)], "data": [value]}
        for name, value in row.items()
    ]
    async with connect(app) as client:
        one = await client.post("/predict/bikes", json=row)
        known = await client.post("/predict/bikes", json=seen)
        many = await client.post("/predict/bikes/batch", json={"instances": [seen, row]})
        how = {"Content-Type": "text/csv", "Accept": "text/csv"}
        lines = await client.post("/predict/bikes/batch", content=table, headers=how)
        infer = await client.post("/v2/models/bikes/infer", json={"inputs": v2})
    words = "weather is none of what the model was trained on (clear, mist)"
    assert one.json()["warnings"] == [words]
    assert [p["warnings"] for p in many.json()["predictions"]] == [[], [words]]
    assert words in lines.text
    told = {of["name"]: of["data"] for of in infer.json()["outputs"]}
    assert told["warnings"] == [words]
    assert known.json()["warnings"] == []


_DATATYPES = {str: "BYTES", float: "FP64", bool: "BOOL"}


def _without_rain() -> Service:
    """The service of a model that was trained on clear and misty hours of any date and temperature."""
    of = tiny_served("bikes")
    rows = {**of.model.background, "weather": of.model.background["weather"] % 2}
    manifest = {"recipe": {"name": "tiny"}, "reference": drift.reference(BIKES, rows)}
    wide = dict.fromkeys(of.model.ranges, (-1000000.0, 1000000.0))
    served = replace(of, manifest=manifest, model=replace(of.model, ranges=wide))
    return create_app(Registry({"bikes": served}), Settings())


async def test_offset_and_minutes() -> None:
    """A time with an offset is converted to Washington's; minutes are dropped."""
    texts = ["2012-06-01T17:00:00", "2012-06-01 17:59", "2012-06-01T21:30:00Z", "2012-06-02T02+05"]
    async with connect(APP) as client:
        answers = [
            (await client.post("/predict/bikes", json=example(BIKES, timestamp=text))).json()
            for text in texts
        ]
    assert len({answer["rentals"] for answer in answers}) == 1
    assert np.isfinite(answers[0]["rentals"])


async def test_whole_numbers_may_have_a_point() -> None:
    """JSON makes no difference between 660 and 660.0, and neither does the service."""
    async with connect(APP) as client:
        answers = [
            await client.post("/predict/admission", json=example(ADMISSION, gre=gre))
            for gre in (660, 660.0)
        ]
    assert answers[0].json() == answers[1].json()

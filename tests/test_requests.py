"""Properties of the prediction routes: whatever is sent, the answer keeps the contract."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tasks import TASKS
from service.schemas import ANSWERS, BATCH_ANSWERS, REQUESTS, ProblemDocument
from tests import strategies
from tests.asgi import Recorder, http_scope, receive_of
from tests.serving import tiny_app, tiny_served
from tests.test_inference import tensors as tensors_of
from tests.test_tables import as_csv

APP = tiny_app()
MODELS = {name: tiny_served(name).model for name in TASKS}


def ask(path: str, body: Any, content_type: bytes = b"application/json") -> Recorder:
    """The answer to a request in process; `body` is bytes or is sent as JSON.

    The tests are plain functions: what Hypothesis raises to end an example must not pass through an
    event loop, which would write it to the log.
    """
    recorder = Recorder()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    scope = http_scope(path, headers=[(b"content-type", content_type)])
    asyncio.run(APP(scope, receive_of(content), recorder))
    return recorder


def check_problem(answer: Recorder) -> dict[str, Any]:
    """The document of an answer that must be a problem of the caller's making."""
    assert 400 <= answer.status < 500
    assert answer.headers["content-type"] == "application/problem+json"
    document = json.loads(answer.body)
    ProblemDocument.model_validate(document, strict=True, extra="forbid")
    assert document["status"] == answer.status
    assert b"Traceback" not in answer.body
    assert b"pydantic" not in answer.body
    return dict(document)


@pytest.mark.parametrize("name", TASKS)
@given(data=st.data())
def test_good_row_is_answered_by_the_model(name: str, data: st.DataObject) -> None:
    """Every row of the declared form is answered, and by what Model.predict_one says, exactly."""
    row = data.draw(strategies.rows(TASKS[name]))
    answer = ask(f"/predict/{name}", row)
    assert answer.status == 200, answer.body
    body = json.loads(answer.body)
    ANSWERS[name].model_validate(body, strict=True, extra="forbid")
    request = REQUESTS[name].model_validate_json(json.dumps(row))
    wanted = MODELS[name].predict_one(vars(request))
    assert body[TASKS[name].target] == wanted.value
    assert (body["interval"]["low"], body["interval"]["high"]) == (wanted.low, wanted.high)
    assert wanted.low <= wanted.value <= wanted.high


@pytest.mark.parametrize("name", TASKS)
@given(data=st.data())
def test_strange_row_is_answered_or_explained(name: str, data: st.DataObject) -> None:
    """A row with anything in it is answered, or refused by a document that names the place."""
    row = data.draw(strategies.strange_rows(TASKS[name]))
    answer = ask(f"/predict/{name}", row)
    if answer.status != 200:
        document = check_problem(answer)
        for fault in document.get("errors", ()):
            name_of_field = fault["pointer"][1:].replace("~1", "/").replace("~0", "~")
            assert name_of_field in row or name_of_field in TASKS[name].field_names


@pytest.mark.parametrize("name", TASKS)
@given(data=st.data())
def test_row_of_a_batch_is_answered_as_alone(name: str, data: st.DataObject) -> None:
    """A batch answers each row as it is answered alone, be it a forecast or what is wrong."""
    some = st.lists(strategies.rows(TASKS[name]) | strategies.strange_rows(TASKS[name]), max_size=5)
    rows = data.draw(some)
    whole = ask(f"/predict/{name}/batch", {"instances": rows})
    assert whole.status == 200, whole.body
    body = json.loads(whole.body)
    BATCH_ANSWERS[name].model_validate(body, strict=True, extra="forbid")
    assert len(body["predictions"]) == len(rows)
    for row, found in zip(rows, body["predictions"], strict=True):
        single = ask(f"/predict/{name}", row)
        alone = json.loads(single.body)
        if single.status == 200:
            target = TASKS[name].target
            assert found[target] == pytest.approx(alone[target], rel=1e-5)
            assert found["warnings"] == alone["warnings"]
        elif isinstance(row, dict):
            assert found["error"]["detail"] == alone["detail"]
        else:
            assert "error" in found


@pytest.mark.parametrize("name", TASKS)
@given(data=st.data())
def test_row_has_one_verdict_whichever_way_it_comes(name: str, data: st.DataObject) -> None:
    """Alone, in a CSV and as tensors a row has the same faults in the same words, or the same answer."""
    task = TASKS[name]
    row = dict.fromkeys(task.field_names) | data.draw(strategies.rows(task))
    for field in data.draw(st.lists(st.sampled_from(task.fields), max_size=2)):
        row[field.name] = data.draw(strategies.edges(field))
    columns = {field: [value] for field, value in row.items()}
    single = ask(f"/predict/{name}", row)
    batch = ask(f"/predict/{name}/batch", as_csv(columns).encode(), b"text/csv")
    tensors = ask(f"/v2/models/{name}/infer", {"inputs": tensors_of(name, columns)})
    alone, inferred = json.loads(single.body), json.loads(tensors.body)
    (found,) = json.loads(batch.body)["predictions"]
    if single.status == 200:
        outputs = {output["name"]: output["data"][0] for output in inferred["outputs"]}
        assert found[task.target] == outputs[task.target]
        assert found[task.target] == pytest.approx(alone[task.target], rel=1e-5)
        assert found["warnings"] == alone["warnings"]
        assert outputs["warnings"] == "; ".join(alone["warnings"])
    else:
        faults = [fault["detail"] for fault in alone["errors"]]
        assert [fault["detail"] for fault in found["error"]["errors"]] == faults
        assert inferred["error"] == f"row 0: {faults[0]}"


@pytest.mark.parametrize("name", TASKS)
@given(data=st.data())
def test_columns_are_the_same_batch_as_rows(name: str, data: st.DataObject) -> None:
    """A batch by columns has the answers of the same batch by rows."""
    rows = data.draw(st.lists(strategies.rows(TASKS[name]), min_size=1, max_size=5))
    columns = {field: [row.get(field) for row in rows] for field in TASKS[name].field_names}
    by_rows = ask(f"/predict/{name}/batch", {"instances": rows})
    by_columns = ask(f"/predict/{name}/batch", {"inputs": columns})
    assert by_columns.status == 200
    assert json.loads(by_columns.body) == json.loads(by_rows.body)


@pytest.mark.parametrize("name", TASKS)
@given(data=st.data())
def test_strange_batch_is_answered_or_explained(name: str, data: st.DataObject) -> None:
    """A batch of any form is answered, or refused by a document."""
    answer = ask(f"/predict/{name}/batch", data.draw(strategies.batches(TASKS[name])))
    if answer.status == 200:
        BATCH_ANSWERS[name].model_validate_json(answer.body, strict=True, extra="forbid")
    else:
        check_problem(answer)


@given(
    path=st.sampled_from(
        [f"/predict/{name}{end}" for name in sorted(TASKS) for end in ("", "/batch")]
    ),
    body=st.binary(max_size=200) | strategies.json_values().map(lambda v: json.dumps(v).encode()),
    content_type=st.sampled_from(
        [b"application/json", b"text/csv", b"multipart/form-data; boundary=x", b"", b"text/\xff"]
    ),
)
def test_arbitrary_bytes_are_refused_in_words(path: str, body: bytes, content_type: bytes) -> None:
    """Whatever the bytes and their type, the answer is the caller's fault in words, never a 5xx."""
    answer = ask(path, body, content_type)
    if answer.status != 200:
        check_problem(answer)

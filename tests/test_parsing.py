"""How much a body may hold: what no batch within the limits has is refused before it is parsed."""

import json
from typing import Any

import pytest

from models.bikes import BIKES
from models.tasks import TASKS
from service import parsing
from service.errors import Problem
from service.inference_schema import InferenceRequest
from service.parsing import VALUES_A_ROW, check_csv, json_of
from tests.serving import connect, example, tiny_app

pytestmark = pytest.mark.anyio
APP = tiny_app()
MANY = 300_000
HEADER = ",".join(BIKES.field_names).encode() + b"\n"
BATCH, V2 = "/predict/bikes/batch", "/v2/models/bikes/infer"


@pytest.mark.parametrize(
    ("path", "kind", "body", "count"),
    [
        (BATCH, "application/json", b'{"instances":[%b{}]}' % (b"0," * MANY), f"{MANY} values"),
        (BATCH, "application/json", b'{"inputs":{"humidity":[%b1]}}' % (b"1," * MANY), "values"),
        (
            BATCH,
            "application/json",
            b'{"instances":[%b{}]}' % (b'{"of": 1},' * 30_000),
            "30002 objects, more than 2 for each",
        ),
        (BATCH, "application/json", b"{" + b'"a":1,' * MANY, f"{MANY} values"),
        (BATCH, "text/csv", HEADER + b"\n" * MANY, "cells and lines, more than 20 for each"),
        (BATCH, "text/csv", HEADER + b"," * MANY, "cells and lines"),
        (BATCH, "text/csv", b"a," * MANY + b"a\r\n", "cells and lines"),
        (V2, "application/json", b'{"inputs":[%b{}]}' % (b"{}," * MANY), f"{MANY} values"),
        (
            BATCH,
            "application/json",
            b'{"instances":[%b0]}' % ((b"[" * 300 + b"]" * 300 + b",") * 1000),
            "300001 lists, more than 10 for each",
        ),
    ],
)
async def test_more_than_any_batch_has_is_refused(
    path: str, kind: str, body: bytes, count: str
) -> None:
    """413 in every form of batch, with the limit and what came."""
    async with connect(APP) as client:
        answer = await client.post(path, content=body, headers={"Content-Type": kind})
    assert answer.status_code == 413
    document = answer.json()
    words = document["error"] if path == V2 else document["detail"]
    assert words.startswith("A batch may have at most 10000 rows, and this body has ")
    assert count in words


@pytest.mark.parametrize("path", ["/predict/bikes", BATCH, V2])
@pytest.mark.parametrize(
    ("encoding", "advice"),
    [
        ("utf-8-sig", "it begins with a byte order mark; send UTF-8 without one"),
        ("utf-16", "it seems to be UTF-16 or UTF-32; send UTF-8"),
        ("utf-16-le", "it seems to be UTF-16 or UTF-32; send UTF-8"),
        ("utf-32-be", "it seems to be UTF-16 or UTF-32; send UTF-8"),
        ("cp037", "expected value at line 1 column 1"),
    ],
)
async def test_json_in_another_encoding_is_refused_with_the_right_one(
    path: str, encoding: str, advice: str
) -> None:
    """As some programs of Windows write it; in an editor nothing looks wrong."""
    body = json.dumps({"instances": [example(BIKES)]}).encode(encoding)
    async with connect(APP) as client:
        answer = await client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    document = answer.json()
    words = document["error"] if path == V2 else document["detail"]
    assert words == f"The body is not JSON: {advice}."


async def test_a_full_batch_of_wide_rows_is_answered() -> None:
    """As many rows as are allowed, laid out wide and with columns of others, are not too much."""
    row = example(BIKES) | {f"other_{i}": i for i in range(10)}
    async with connect(tiny_app(batch_rows=2000)) as client:
        answer = await client.post(
            BATCH, content=json.dumps({"instances": [row] * 2000}, indent=4).encode()
        )
    assert answer.status_code == 200
    assert len(answer.json()["predictions"]) == 2000


def test_what_is_short_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small limit of rows a small body is told its rows, not its values."""
    body = json.dumps(list(range(1000))).encode()
    assert json_of(body, 1) == list(range(1000))
    check_csv(b"\n" * 1000, 1)
    monkeypatch.setattr(parsing, "_SHORT", 10)
    with pytest.raises(Problem, match="this body has 999 values, more than 20"):
        json_of(body, 1)
    with pytest.raises(Problem, match="this body has 1000 cells and lines"):
        check_csv(b"\n" * 1000, 1)


def test_the_limit_leaves_every_task_room() -> None:
    """A row of any task, with its line end, has half as many values as it may have, or fewer."""
    most = max(len(task.fields) for task in TASKS.values())
    assert 2 * (most + len("\r\n")) <= VALUES_A_ROW


@pytest.mark.parametrize("member", ["inputs", "outputs"])
def test_the_first_faulty_tensor_ends_the_reading(member: str) -> None:
    """Of thousands of faulty tensors one is described: to describe all took minutes."""
    tensor = {"name": "humidity", "shape": [1], "datatype": "FP64"}
    request: dict[str, Any] = {"inputs": [tensor], member: [{}] * 60_000}
    with pytest.raises(ValueError, match=f"{member}.0.name") as caught:
        InferenceRequest.model_validate(request)
    assert caught.value.error_count() <= 3  # type: ignore[attr-defined]  # pydantic's


async def test_texts_beyond_the_shape_are_not_read() -> None:
    """A binary tensor of a million empty texts that says it has one: refused at the second."""
    texts = b"\0\0\0\0" * 1_000_000
    tensor = {
        "name": "weather",
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(texts)},
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    async with connect(APP) as client:
        answer = await client.post(
            V2, content=head + texts, headers={"Inference-Header-Content-Length": str(len(head))}
        )
    assert answer.status_code == 400
    words = "input weather: the shape says 1 elements, and there are 2"
    assert answer.json() == {"error": words}

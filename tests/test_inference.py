"""The Open Inference Protocol v2: its messages as the specification has them, every failure its error."""

import asyncio
import json
import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.rows import to_json
from models.tasks import TASKS
from service.app import create_app
from service.inference_schema import InferenceResponse, ModelMetadata
from service.keys import Keyring, KeysLayer, digest_of
from service.limits import Gate, Limits, LimitsLayer
from service.registry import Registry
from service.settings import Settings
from tests import strategies, tiny
from tests.asgi import Recorder, http_scope, receive_of
from tests.serving import VERSION, connect, example, tiny_app, tiny_served

pytestmark = pytest.mark.anyio
APP = tiny_app()
DATATYPES = {
    "timestamp": "BYTES",
    "number": "FP64",
    "integer": "INT64",
    "category": "BYTES",
    "boolean": "BOOL",
}


def tensors(name: str, values: dict[str, list[Any]], *, nested: bool = False) -> list[Any]:
    """Columns as the inputs of a request."""
    return [
        {
            "name": field.name,
            "datatype": DATATYPES[field.kind],
            "shape": [len(values[field.name]), 1] if nested else [len(values[field.name])],
            "data": [[v] for v in values[field.name]] if nested else values[field.name],
        }
        for field in TASKS[name].fields
        if field.name in values
    ]


def admission(**changes: Any) -> dict[str, Any]:
    """A request of one row, with changes to the input `gpa`."""
    row = {field: [value] for field, value in example(TASKS["admission"]).items()}
    inputs = tensors("admission", row)
    inputs[1] |= changes
    return {"inputs": inputs}


async def infer(body: Any, name: str = "admission", **how: Any) -> Any:
    """The answer to a request."""
    async with connect(APP) as client:
        return await client.post(f"/v2/models/{name}/infer", json=body, **how)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"live": True, "ready": True}),
        ("/v2/models/bikes/ready", {"name": "bikes", "ready": True}),
        (f"/v2/models/bikes/versions/{VERSION}/ready", {"name": "bikes", "ready": True}),
    ],
    ids=["live", "ready", "model", "version"],
)
async def test_health_is_said_with_true(path: str, wanted: dict[str, Any]) -> None:
    """What is ready says so with 200 and the members of the specification."""
    async with connect(APP) as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.json()) == (200, wanted)


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
async def test_server_names_its_extensions(path: str) -> None:
    """The server's metadata name the binary extension, by which clients choose the form."""
    async with connect(APP) as client:
        answer = (await client.get(path)).json()
    assert answer["name"]
    assert answer["extensions"] == ["binary_tensor_data"]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("end", ["", f"/versions/{VERSION}"])
async def test_metadata_are_the_real_inputs_and_outputs(name: str, end: str) -> None:
    """A model's metadata are its fields and answers, and the version that may be asked for."""
    async with connect(APP) as client:
        answer = await client.get(f"/v2/models/{name}{end}")
    found = ModelMetadata.model_validate_json(answer.content, strict=True, extra="forbid")
    task = TASKS[name]
    assert found.versions == [VERSION]
    assert [(t.name, t.datatype, t.shape) for t in found.inputs] == [
        (field.name, DATATYPES[field.kind], [-1]) for field in task.fields
    ]
    decision = ["admitted"] if name == "admission" else []
    assert [t.name for t in found.outputs] == [task.target, *decision, "low", "high", "warnings"]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
@pytest.mark.parametrize("end", ["", f"/versions/{VERSION}"], ids=["model", "version"])
async def test_answers_are_the_models(name: str, nested: bool, end: str) -> None:  # noqa: FBT001
    """Flat or nested, with or without a version, the outputs are what Model.predict says."""
    columns = tiny.rows(name, 700, np.random.default_rng(3))
    if name == "bikes":
        columns["holiday"] = np.maximum(columns["holiday"], 0)
    inputs = tensors(name, to_json(TASKS[name], columns), nested=nested)
    body = {"id": "42", "parameters": {"level": 0.8}, "inputs": inputs}
    async with connect(APP) as client:
        answer = await client.post(f"/v2/models/{name}{end}/infer", json=body)
    found = InferenceResponse.model_validate_json(answer.content, extra="forbid")
    assert (found.id, found.model_name, found.model_version) == ("42", name, VERSION)
    outputs = {tensor.name: tensor for tensor in found.outputs}
    assert all(tensor.shape == [700] for tensor in found.outputs)
    wanted = tiny_served(name).model.predict(columns, 0.8)
    for output, values in {TASKS[name].target: wanted.value, "low": wanted.low}.items():
        assert outputs[output].datatype == "FP64"
        assert outputs[output].data == pytest.approx(values.tolist(), rel=1e-5)


async def test_chosen_outputs_come_in_their_order() -> None:
    """With `outputs` those come back and no other; without an id there is none in the answer."""
    body = admission() | {"outputs": [{"name": "high"}, {"name": "admitted"}]}
    answer = (await infer(body)).json()
    assert [output["name"] for output in answer["outputs"]] == ["high", "admitted"]
    assert answer["outputs"][1]["datatype"] == "BOOL"
    assert answer["outputs"][1]["data"] in ([True], [False])
    assert "id" not in answer


async def test_missing_optional_values_are_filled() -> None:
    """An optional input may be left out, or have null or NaN in it."""
    row = {field: [value, value] for field, value in example(TASKS["bikes"]).items()}
    without = {k: v for k, v in row.items() if k not in ("feels_like", "holiday")}
    with_null = row | {"feels_like": [None, None], "holiday": [None, None]}
    with_nan = without | {"feels_like": [float("nan")] * 2}
    forms = [without, with_null, with_nan]
    async with connect(APP) as client:
        answers = [
            await client.post(
                "/v2/models/bikes/infer", content=json.dumps({"inputs": tensors("bikes", form)})
            )
            for form in forms
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].json() == answers[1].json() == answers[2].json()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "the body must be an object, and is a list"),
        ({}, "inputs is missing"),
        ({"inputs": []}, "input gre is missing"),
        ({"inputs": None}, "inputs must be a list, and is null"),
        ({"inputs": [1]}, "inputs/0 must be an object, and is a number"),
        ({"inputs": [{"name": "gre"}]}, "inputs/0/shape is missing"),
        ({**admission(), "id": 5}, "id must be text, and is a number"),
        ({**admission(), "outputs": {}}, "outputs must be a list, and is an object"),
        ({**admission(), "parameters": {"level": "0.9"}}, "parameters/level must be a number, and"),
        (
            {**admission(), "parameters": {"binary_data_output": 1}},
            "parameters/binary_data_output must be true or false, and is a number",
        ),
        ({**admission(), "outputs": [{"name": "probabilty"}]}, "did you mean probability?"),
        ({**admission(), "parameters": {"level": 0.2}}, "level must be a number from 0.5 to 0.99"),
        (admission(name="gpaa"), "there is no input gpaa; did you mean gpa?"),
        (admission(name="gre"), "input gre is there twice"),
        (admission(datatype="FP8"), "inputs/1/datatype must be one of BOOL, UINT8, UINT16"),
        (admission(datatype="BYTES"), "input gpa: must be FP64, and is BYTES"),
        (admission(shape=[1, 2]), "input gpa: the shape must be [rows] or [rows, 1]"),
        (admission(datatype=None), "inputs/1/datatype must be one of BOOL, UINT8, UINT16"),
        (admission(shape=[]), "inputs/1/shape must be [rows] or [rows, 1]"),
        (admission(shape=[1, 1, 1]), "inputs/1/shape must be [rows] or [rows, 1]"),
        (admission(shape=[-1]), f"inputs/1/shape/0 must be a whole number from 0 to {2**63 - 1}"),
        (admission(shape=[1, 2**63]), "inputs/1/shape/1 must be a whole number from 0 to 92233"),
        (admission(shape=[2**64]), "inputs/1/shape/0 must be a whole number from 0 to 9223372"),
        (admission(shape=[1.5]), "inputs/1/shape/0 must be a whole number from 0 to 9223372"),
        (
            admission(data=None, parameters={"binary_data_size": 10**30}),
            "inputs/1/parameters/binary_data_size must be a whole number from 0 to 922337",
        ),
        (admission(data=[10**30]), "row 0: gpa must be between 0 and 4"),
        (admission(shape=[2]), "input gpa: the shape says 2 elements, and there are 1"),
        (admission(shape=[2], data=[1, 2]), "must have as many rows, and have gre 1, gpa 2, rank"),
        (admission(data=[[3.1]]), "input gpa: the data must be flat, or nested as the shape says"),
        (admission(data=[4.5]), "row 0: gpa must be between 0 and 4"),
        (admission(data=["4"]), "row 0: gpa must be a number, and is text"),
        (admission(data=None), "input gpa: must have either data or binary_data_size"),
        (admission(parameters={"binary_data_size": 8}), "must have either data or binary_data_"),
        (
            admission(data=None, parameters={"binary_data_size": 8}),
            "input gpa: has binary_data_size 8, and 0 bytes are left of the body",
        ),
    ],
)
async def test_bad_request_is_400_with_its_error(body: Any, words: str) -> None:
    """A request that cannot be taken: 400, and an error that says what is wrong and where."""
    answer = await infer(body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]


UINT8 = "must be a whole number from 0 to 255, as UINT8 says"
INT8 = "must be a whole number from -128 to 127, as INT8 says"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "gre", "datatype": "UINT8", "data": [255, 660]}, f"gre: element 1 {UINT8}"),
        ({"name": "gre", "datatype": "UINT8", "data": [201, -1]}, f"gre: element 1 {UINT8}"),
        ({"name": "gpa", "datatype": "INT8", "data": [3, 3.67]}, f"gpa: element 1 {INT8}"),
        ({"name": "gpa", "datatype": "INT8", "data": [3, math.nan]}, f"gpa: element 1 {INT8}"),
        ({"name": "gpa", "datatype": "INT8", "data": [-math.inf, 3]}, f"gpa: element 0 {INT8}"),
        ({"name": "gpa", "datatype": "UINT64", "data": [3, 10**400]}, "gpa: element 1 must be"),
        ({"name": "gpa", "datatype": "UINT64", "data": [3, 4.0]}, ""),
        ({"name": "gpa", "datatype": "INT8", "data": [3, "4"]}, "row 1: gpa must be a number, and"),
        (
            {"name": "gpa", "datatype": "INT8", "data": [3, True]},
            "row 1: gpa must be a number, and",
        ),
        ({"name": "gre", "datatype": "INT16", "data": [800, 660.0]}, ""),
        ({"name": "gre", "datatype": "INT16", "data": [800, 660.5]}, "row 1: gre must be a whole"),
        ({"name": "rank", "datatype": "UINT8", "data": [4, 300]}, "row 1: rank must be between"),
    ],
)
async def test_data_are_of_the_declared_datatype(changes: dict[str, Any], words: str) -> None:
    """JSON data that an integer datatype cannot hold are refused, as their bytes could not be written."""
    values = {field: [value] * 2 for field, value in example(TASKS["admission"]).items()}
    inputs = [
        tensor | changes if tensor["name"] == changes["name"] else tensor
        for tensor in tensors("admission", values)
    ]
    async with connect(APP) as client:
        content = json.dumps({"inputs": inputs})
        answer = await client.post("/v2/models/admission/infer", content=content)
    assert answer.status_code == (400 if words else 200)
    assert words in answer.json().get("error", "")


async def test_null_is_a_missing_value_in_a_tensor_of_integers() -> None:
    """An optional field may be null, whatever datatype its tensor has."""
    inputs = tensors("bikes", {field: [v] * 2 for field, v in example(TASKS["bikes"]).items()})
    feels_like = next(tensor for tensor in inputs if tensor["name"] == "feels_like")
    feels_like |= {"datatype": "INT8", "data": [None, 24]}
    assert (await infer({"inputs": inputs}, "bikes")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v2/nothing", 404, "There is no route /v2/nothing"),
        ("GET", "/v2/models/bike", 404, "There is no model bike; did you mean bikes?"),
        ("GET", "/v2/models/bike/ready", 404, "did you mean bikes?"),
        ("GET", "/v2/models/bikes/versions/1", 404, f"1 of bikes is not loaded; {VERSION} is"),
        ("GET", "/v2/models/bikes/versions/1/ready", 404, "is not loaded"),
        ("POST", "/v2/models/bikes/versions/1/infer", 404, "is not loaded"),
        ("POST", "/v2/models/bike/infer", 404, "did you mean bikes?"),
        ("GET", "/v2/models/bikes/infer", 405, "takes POST"),
        ("POST", "/v2", 405, "takes GET"),
    ],
)
async def test_failure_under_v2_is_an_error_of_the_protocol(
    method: str, path: str, status: int, words: str
) -> None:
    """Every failure under /v2 is {"error": ...}, with a status that says whose fault it is."""
    async with connect(APP) as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]


async def test_too_many_rows_and_wrong_types_keep_their_status() -> None:
    """Too many rows: 413; another type or encoding of the body: 415."""
    async with connect(tiny_app(batch_rows=1)) as client:
        values = {field: [v, v] for field, v in example(TASKS["admission"]).items()}
        body = {"inputs": tensors("admission", values)}
        large = await client.post("/v2/models/admission/infer", json=body)
    text = await infer(None, headers={"Content-Type": "text/csv"})
    packed = await infer(None, headers={"Content-Encoding": "gzip"})
    assert large.status_code == 413
    assert large.json() == {"error": "A batch may have at most 1 rows, and this one has 2."}
    assert (text.status_code, packed.status_code) == (415, 415)
    assert "gzip" in packed.json()["error"]


def _binary(*columns: bytes) -> tuple[bytes, bytes]:
    """A request with the columns gre, gpa and rank behind the JSON, and the length of that."""
    inputs = admission()["inputs"]
    for tensor, column in zip(inputs, columns, strict=True):
        del tensor["data"]
        tensor["parameters"] = {"binary_data_size": len(column)}
    text = json.dumps({"inputs": inputs}).encode()
    return text + b"".join(columns), b"%d" % len(text)


GRE, GPA, RANK = struct.pack("<q", 660), struct.pack("<d", 3.67), struct.pack("<q", 1)


async def test_tensors_behind_the_json_are_the_same_request() -> None:
    """A request with its tensors behind the JSON has the answer of the same request in JSON."""
    body, length = _binary(GRE, GPA, RANK)
    async with connect(APP) as client:
        answer = await client.post(
            "/v2/models/admission/infer",
            content=body,
            headers={
                "Content-Type": "application/octet-stream",
                "Inference-Header-Content-Length": length.decode(),
            },
        )
    assert answer.json() == (await infer(admission())).json()


@pytest.mark.parametrize(
    ("columns", "cut", "words"),
    [
        ((GRE, GPA[:4], RANK), 0, "input gpa: 4 bytes are not 1 elements of FP64"),
        ((GRE, GPA, RANK), 1, "input rank: has binary_data_size 8, and 7 bytes are left"),
        ((GRE, GPA, RANK), -1, "1 bytes follow the last tensor"),
        ((GRE, struct.pack("<d", float("nan")), RANK), 0, "gpa must be a finite number"),
    ],
    ids=["size", "short", "long", "nan"],
)
async def test_tensors_that_do_not_fit_are_refused(
    columns: tuple[bytes, ...], cut: int, words: str
) -> None:
    """Bytes that are not the tensors which the JSON names are refused by their input's name."""
    body, length = _binary(*columns)
    body = body[: len(body) - cut] if cut >= 0 else body + b"x"
    headers = {"Inference-Header-Content-Length": length.decode()}
    async with connect(APP) as client:
        answer = await client.post("/v2/models/admission/infer", content=body, headers=headers)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


@given(
    length=st.none() | st.integers(0, 400) | st.sampled_from(["-1", "x", "9" * 30]),
    body=st.binary(max_size=100)
    | strategies.json_values().map(lambda v: json.dumps(v).encode())
    | st.builds(
        lambda changes, tail: json.dumps(admission(**changes)).encode() + tail,
        st.dictionaries(
            st.sampled_from(["name", "shape", "datatype", "data", "parameters"]),
            strategies.json_values()
            | st.sampled_from([[1], [1, 1], [0], "BYTES", "FP32", {"binary_data_size": 4}]),
        ),
        st.binary(max_size=12),
    ),
)
def test_arbitrary_bodies_are_the_callers_fault(length: Any, body: bytes) -> None:
    """Whatever the body, the answer is outputs or an error, never a 5xx."""
    headers = [] if length is None else [(b"inference-header-content-length", str(length).encode())]
    recorder = Recorder()
    scope = http_scope("/v2/models/admission/infer", headers=headers)
    asyncio.run(APP(scope, receive_of(body), recorder))
    if recorder.status != 200:
        assert 400 <= recorder.status < 500
        assert list(json.loads(recorder.body)) == ["error"]
        assert b"nput should" not in recorder.body


async def test_no_rows_are_an_answer_of_no_rows() -> None:
    """Inputs of shape [0] have outputs of shape [0]."""
    values: dict[str, list[Any]] = {field: [] for field in TASKS["admission"].field_names}
    answer = await infer({"inputs": tensors("admission", values)})
    assert answer.status_code == 200
    assert all((o["shape"], o["data"]) == ([0], []) for o in answer.json()["outputs"])


async def test_what_layers_refuse_is_an_error_of_the_protocol() -> None:
    """A missing key, a large body and a full house are refused in the protocol's form, too."""
    keyring = Keyring(listed=f"me:sha256:{digest_of(b'key').decode()}")
    full = Gate("batches", 0, 1000)
    tight = Limits(full, Gate("batches", 1, 10), frozenset({"/v2/models/bikes/infer"}))
    layers: list[Any] = [
        lambda app: KeysLayer(app, keyring),
        lambda app: LimitsLayer(app, tight),
    ]
    registry = Registry({name: tiny_served(name) for name in TASKS})
    async with connect(create_app(registry, Settings(), layers=layers)) as client:
        statuses = []
        for name, key in (("bikes", ""), ("bikes", "key"), ("admission", "key")):
            answer = await client.post(
                f"/v2/models/{name}/infer", json=admission(), headers={"X-API-Key": key}
            )
            assert list(answer.json()) == ["error"]
            statuses.append(answer.status_code)
    assert statuses == [401, 503, 413]


async def test_server_that_leaves_is_not_ready() -> None:
    """A server about to leave lives and is not ready, and says when to ask again."""
    app = create_app(Registry({"bikes": tiny_served("bikes")}), Settings())
    app.drain()
    async with connect(app) as client:
        live, ready = await client.get("/v2/health/live"), await client.get("/v2/health/ready")
    assert (live.status_code, ready.status_code) == (200, 503)
    assert ready.json() == {"error": "The server is not ready."}
    assert ready.headers["Retry-After"] == "1"

"""The request classes are the tasks' declarations, and the OpenAPI document explains everything."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from models.task import Field
from models.tasks import TASKS
from service.app import create_app
from service.errors import Fault
from service.fault_messages import faults_of
from service.inference_schema import InferenceRequest
from service.metrics import Metrics
from service.registry import Registry
from service.routes.documented import problems
from service.schemas import REQUESTS
from service.settings import Settings
from tests.serving import example, tiny_served

REGISTRY = Registry({name: tiny_served(name) for name in TASKS})
DOCUMENT = create_app(REGISTRY, Settings(), metrics=Metrics(REGISTRY)).openapi()
FIELDS = [(name, field) for name, task in TASKS.items() for field in task.fields]
JSON_TYPES = {
    "timestamp": "string",
    "number": "number",
    "integer": "integer",
    "category": "string",
    "boolean": "boolean",
}


def test_schemas_have_plain_names() -> None:
    """Whoever makes a client from the document gets classes by these names; none tells a module."""
    assert [name for name in DOCUMENT["components"]["schemas"] if not name.isalpha()] == []


@pytest.mark.parametrize("name", TASKS)
def test_request_class_has_the_fields_of_the_task(name: str) -> None:
    """A request has the fields of its task, in order, and the same of them are required."""
    schema = REQUESTS[name].model_json_schema()
    task = TASKS[name]
    assert tuple(schema["properties"]) == task.field_names
    assert schema["required"] == [field.name for field in task.fields if field.required]
    assert schema["additionalProperties"] is False
    REQUESTS[name].model_validate(example(task))


@pytest.mark.parametrize("form", [*REQUESTS.values(), InferenceRequest])
def test_what_is_wrong_is_said_without_the_values(form: type[BaseModel]) -> None:
    """A traceback that a fault of ours brings into the log has no input in it."""
    wrong = {name: {"a": "planted"} for name in (*form.model_fields, "unknown")}
    with pytest.raises(ValidationError) as refused:
        form.model_validate(wrong)
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=[f"{n}-{f.name}" for n, f in FIELDS])
def test_field_of_a_request_is_the_declared_one(name: str, field: Field) -> None:
    """Type, range, choices, unit, example and description of a field are those of the task."""
    schema = REQUESTS[name].model_json_schema()["properties"][field.name]
    (value,) = [s for s in schema.get("anyOf", [schema]) if s.get("type") != "null"]
    assert value["type"] == JSON_TYPES[field.kind]
    if field.kind != "timestamp":
        assert value.get("minimum") == field.low
        assert value.get("maximum") == field.high
    else:
        assert f"{field.low:g} to {field.high:g}" in schema["description"]
    assert tuple(value.get("enum", ())) == field.choices
    assert schema.get("unit") == field.unit
    assert schema["examples"] == [field.example]
    assert schema["description"].startswith(field.description.partition(";")[0])
    assert ("anyOf" in schema) is (not field.required)


@pytest.mark.parametrize("value", [1.9999999999999998, 2.0000000001])
def test_number_that_is_nearly_whole_is_refused(value: float) -> None:
    """The model reads a whole number as an integer, and would take 1.9999999999999998 for 1."""
    with pytest.raises(ValidationError) as refused:
        REQUESTS["admission"].model_validate(example(TASKS["admission"], rank=value))
    faults = faults_of(refused.value, TASKS["admission"])
    assert faults == [Fault("rank must be a whole number", "/rank")]


def _properties() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each property of each schema of the document, with its place."""
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for property_, described in schema.get("properties", {}).items():
            yield f"{name}.{property_}", described


PROPERTIES = dict(_properties())


@pytest.mark.parametrize(("place", "schema"), list(PROPERTIES.items()), ids=PROPERTIES)
def test_every_property_is_explained(place: str, schema: dict[str, Any]) -> None:
    """Each property says what it is, and gives an example where a reference does not."""
    assert schema.get("description"), place
    variants = [schema, *schema.get("anyOf", [])]
    refers = any("$ref" in variant or "$ref" in variant.get("items", {}) for variant in variants)
    nested = any("anyOf" in variant.get("items", {}) for variant in variants)
    assert refers or nested or schema.get("examples") or "const" in schema, place


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


OPERATIONS = dict(_operations())


@pytest.mark.parametrize(("place", "operation"), list(OPERATIONS.items()), ids=OPERATIONS)
def test_every_operation_is_explained(place: str, operation: dict[str, Any]) -> None:
    """Each route has a name, a summary, a tag, described parameters and the problems of every route."""
    assert operation["summary"], place
    assert operation["tags"], place
    assert operation["operationId"].isidentifier()
    assert all(parameter.get("description") for parameter in operation.get("parameters", []))
    assert {"431", "500"} <= operation["responses"].keys()
    assert "security" in operation


def test_every_answer_has_a_form() -> None:
    """A client made from the document returns what came: where no form is told, it returns nothing."""
    for operation in OPERATIONS.values():
        content = operation["responses"]["200"]["content"]
        assert all(described.get("schema") for described in content.values())


@pytest.mark.parametrize("name", TASKS)
def test_rows_of_a_batch_are_described(name: str) -> None:
    """A row is such an object, or anything, as a bad one is answered in its place; the parts have names."""
    (body,) = (
        o["requestBody"] for o in OPERATIONS.values() if o["operationId"] == f"predict_{name}_batch"
    )
    rows, columns = body["content"]["application/json"]["schema"]["oneOf"]
    form = REQUESTS[name].__name__
    assert rows["properties"]["instances"]["items"] == {
        "anyOf": [{"$ref": f"#/components/schemas/{form}"}, {}]
    }
    inputs = columns["properties"]["inputs"]["properties"]
    fields = DOCUMENT["components"]["schemas"][form]["properties"]
    assert {field: column["items"] for field, column in inputs.items()} == {
        field: {"anyOf": [schema, {}]} for field, schema in fields.items()
    }
    assert all(
        schema["title"].isalpha() for schema in (rows, columns, columns["properties"]["inputs"])
    )


def test_operations_have_names_of_their_own() -> None:
    """A client made from the document has one method a route."""
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Each object in a part of the document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _objects(entry)


def test_numbers_of_the_document_are_of_double_precision() -> None:
    """A client made from the document in Go loses no digit: a number without format is a float32 there."""
    numbers = [part for part in _objects(DOCUMENT) if part.get("type") == "number"]
    assert numbers
    assert all(number["format"] == "double" for number in numbers)


def test_references_of_the_document_lead_somewhere() -> None:
    """Each reference in the document is to a component that it has, and each component is referred to."""
    components = DOCUMENT["components"]
    assert {part["$ref"] for part in _objects(DOCUMENT) if "$ref" in part} == {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "responses")
        for name in components[kind]
    }


def test_example_of_a_problem_is_one_of_its_kind() -> None:
    """The example of each problem carries the status under which it is documented."""
    found = problems(*range(400, 600))
    assert found
    for status, response in found.items():
        (content,) = response["content"].values()
        assert content["example"]["status"] == status

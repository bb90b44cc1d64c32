"""Failures: the tables of docs/reference/errors.md are what the service says, and nothing leaks."""

import json
import re
from typing import Any

import pytest

from models.errors import InputError
from models.tasks import TASKS
from service.app import create_app
from service.errors import BY_STATUS, KINDS, NO_REQUEST, problem_of
from service.registry import Registry
from service.schemas import ProblemDocument
from service.settings import Settings
from tests.process import ROOT
from tests.serving import connect, example, tiny_app, tiny_served

pytestmark = pytest.mark.anyio
APP = tiny_app()


def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading of the document, their cells without code marks."""
    text = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (.*) \|$", section, re.MULTILINE)[1:]
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


FIELDS = table("What is said about a field")
REQUESTS = table("What is said about a request")


def test_kinds_are_documented_in_their_order() -> None:
    """The document has every kind of problem with its type, status, title and remedy."""
    wanted = [[f"`{k.type}`", str(k.status), k.title, k.remedy] for k in KINDS]
    assert table("Kinds") == wanted


def test_kinds_have_types_and_statuses_of_their_own() -> None:
    """No two kinds share a type, no two of a route's a status, and they stand by rising status."""
    statuses = [kind.status for kind in KINDS]
    assert statuses == sorted(statuses)
    assert len({kind.type for kind in KINDS}) == len(KINDS)
    assert [kind for kind in KINDS if kind not in BY_STATUS.values()] == [NO_REQUEST]


@pytest.mark.parametrize(("sent", "detail"), FIELDS, ids=[sent for sent, _ in FIELDS])
async def test_documented_fault_of_a_field_is_said(sent: str, detail: str) -> None:
    """Each bad value of the document is refused in the document's words, with its pointer."""
    change = sent.strip("`")
    name = str(json.loads(change.partition(":")[0]))
    row = {k: v for k, v in example(TASKS["bikes"]).items() if k != name}
    async with connect(APP) as client:
        answer = await client.post("/predict/bikes", content=f"{json.dumps(row)[:-1]}, {change}}}")
    assert answer.status_code == 422
    assert answer.json()["detail"] == detail
    assert {"pointer": f"/{name}", "detail": detail} in answer.json()["errors"]


@pytest.mark.parametrize(
    ("request_", "body", "status", "detail"), REQUESTS, ids=[f"{r[0]}-{r[1]}" for r in REQUESTS]
)
async def test_documented_fault_of_a_request_is_said(
    request_: str, body: str, status: str, detail: str
) -> None:
    """Each bad request of the document is refused with the document's status and words."""
    line, _, content_type = request_.partition(", ")
    method, path = line.strip("`").split(" ")
    async with connect(APP) as client:
        answer = await client.request(
            method,
            path,
            content=body.strip("`").replace("\\n", "\n"),
            headers={"Content-Type": content_type} if content_type else {},
        )
    assert (answer.status_code, answer.json()["detail"]) == (int(status), detail)
    assert answer.headers["content-type"] == "application/problem+json"
    ProblemDocument.model_validate_json(answer.content, strict=True, extra="forbid")
    assert answer.json()["instance"] == path.partition("?")[0]


async def test_type_of_a_problem_leads_to_its_explanation() -> None:
    """The `type` of every kind is a route that explains it, and one route lists them all."""
    async with connect(APP) as client:
        listed = (await client.get("/problems")).json()
        for kind, told in zip(KINDS, listed, strict=True):
            answer = await client.get(kind.type)
            assert (answer.status_code, answer.json()) == (200, told)
            assert (told["status"], told["remedy"]) == (kind.status, kind.remedy)


class PanicError(BaseException):
    """As an extension written in Rust raises when it finds a fault of its own."""


@pytest.mark.parametrize("kind", [RuntimeError, PanicError])
async def test_fault_of_the_service_leaks_nothing(
    kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that fails is a 500 that says nothing of the cause, which goes to the log."""

    def fail(*_: Any) -> None:
        raise kind("secret")

    monkeypatch.setattr("service.served.Served.outside_of_one", fail)
    monkeypatch.setattr("service.served.Served.outside", fail)
    async with connect(tiny_app()) as client:
        for path, body in (
            ("/predict/bikes", example(TASKS["bikes"])),
            ("/predict/bikes/batch", {"instances": [example(TASKS["bikes"])]}),
        ):
            answer = await client.post(path, json=body)
            assert answer.status_code == 500
            assert answer.json()["type"] == "/problems/internal"
            assert "secret" not in answer.text
            assert kind.__name__ not in answer.text


async def test_path_that_was_asked_for_is_quoted_safely() -> None:
    """`instance` is the path as it was sent, percent-encoded, whatever is in it."""
    async with connect(APP) as client:
        answer = await client.get("/models/%3Cscript%3E%0D%0A%C3%A4")
    assert answer.status_code == 404
    assert answer.json()["instance"] == "/models/%3Cscript%3E%0D%0A%C3%A4"


async def test_answer_to_head_has_no_body() -> None:
    """HEAD has the status and headers of the refusal, and no body."""
    async with connect(APP) as client:
        answer = await client.head("/nothing")
    assert (answer.status_code, answer.content) == (404, b"")
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/health/live",
        "/health/ready",
        "/models",
        "/models/bikes",
        "/openapi.json",
        "/problems",
        "/static/reference.js",
        "/v2",
        "/v2/health/ready",
    ],
)
async def test_head_is_answered_as_get_without_the_body(path: str) -> None:
    """Monitors ask with HEAD: status and headers are those of GET, and nothing follows."""
    async with connect(APP) as client:
        got, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    ours = {"x-request-id"}
    assert {**head.headers, **dict.fromkeys(ours)} == {**got.headers, **dict.fromkeys(ours)}


async def test_head_is_counted_by_its_route() -> None:
    """The observers see the method that was asked with and the route that answered."""
    seen: list[tuple[str, str]] = []
    registry = Registry({name: tiny_served(name) for name in TASKS})
    app = create_app(
        registry,
        Settings(),
        observers=[lambda exchange, scope: seen.append((scope["method"], exchange.route))],
    )
    async with connect(app) as client:
        await client.head("/models/bikes")
    assert seen == [("HEAD", "/models/{name}")]


async def test_refused_method_lists_what_is_taken() -> None:
    """Allow has every method of the route."""
    async with connect(APP) as client:
        assert (await client.put("/models")).headers["allow"] == "GET, HEAD"
        assert (await client.head("/predict/bikes")).headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/predict/bikes", "/predict/bikes/batch"])
async def test_packed_body_is_refused_for_that(path: str) -> None:
    """A body under gzip is no broken JSON: 415 says what is taken; `identity` says that it is plain."""
    body = {"instances": []} if path.endswith("batch") else example(TASKS["bikes"])
    async with connect(APP) as client:
        packed = await client.post(path, json=body, headers={"Content-Encoding": "gzip"})
        plain = await client.post(path, json=body, headers={"Content-Encoding": "Identity"})
    assert (packed.status_code, plain.status_code) == (415, 200)
    assert "Content-Encoding says gzip" in packed.json()["detail"]
    assert packed.headers["accept-encoding"] == "identity"


def test_input_error_of_a_model_is_the_callers_fault() -> None:
    """What a model refuses is a 422 with the model's words."""
    problem = problem_of(InputError("level must be between 0.5 and 0.99"), "/x")
    assert (problem.kind.status, problem.detail) == (422, "level must be between 0.5 and 0.99")

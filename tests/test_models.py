"""GET /models, /models/{name} and /models/{name}/versions."""

import json
from pathlib import Path

import pytest

from models.bundle import ARTIFACTS
from models.store import Store
from models.tasks import TASKS
from service.app import create_app
from service.card import card
from service.card_schema import Card, Models, Versions
from service.registry import Registry
from service.served import Served
from service.settings import Settings
from service.shipped import Shipped
from tests import tiny
from tests.serving import VERSION, connect, tiny_app, tiny_served

pytestmark = pytest.mark.anyio
APP = tiny_app()

MANIFEST = {
    "created": "20260102T030405Z",
    "recipe": {"name": "tiny", "hidden": [12, 8]},
    "seed": 3,
    "data": {"file": "hour.csv", "sha256": "ab" * 32, "rows": 17379},
    "history": [{"epoch": 1, "training": 0.5, "validation": 0.6}],
    "distillation": {"networks": 8, "rows": 10000, "difference": 1.9, "answer": 182.7},
    "evaluation": {
        "protocol": "p3",
        "description": "days 20 to the end of every month",
        "rows": 6000,
        "metrics": {"rmse": 40.0},
        "baseline": {"description": "mean of the hour of the week", "metrics": {"rmse": 90.0}},
        "coverage": {"level": 0.9, "coverage": 0.91},
    },
    "reference": {"humidity": [1, 2, 3]},
    "weights": {"sha256": "cd" * 32, "bytes": 1000},
    "libraries": {"numpy": "2.3.0"},
    "git_commit": None,
    "canary": {"rows": {}},
    "model": {"encoder": {}},
}


async def test_listing_names_every_model() -> None:
    """The listing names each model with its version and the routes to go on with."""
    async with connect(APP) as client:
        answer = await client.get("/models")
        Models.model_validate_json(answer.content, strict=True, extra="forbid")
        listed = answer.json()["models"]
        assert [model["name"] for model in listed] == list(TASKS)
        for model in listed:
            assert model["version"] == VERSION
            assert (await client.get(model["card"])).status_code == 200
            assert (await client.get(model["predict"])).status_code == 405


@pytest.mark.parametrize("name", TASKS)
async def test_card_describes_the_fields(name: str) -> None:
    """A card has what a form needs: each field with unit, range, choices, example, training range."""
    async with connect(APP) as client:
        answer = await client.get(f"/models/{name}")
    assert answer.headers["X-Model-Version"] == f"{name}/{VERSION}"
    Card.model_validate_json(answer.content)
    body = answer.json()
    task, ranges = TASKS[name], tiny_served(name).model.ranges
    for field, told in zip(task.fields, body["fields"], strict=True):
        assert told["name"] == field.name
        assert told["example"] == field.example
        assert told["required"] is field.required
        assert (told.get("low"), told.get("high")) == (field.low, field.high)
        assert told.get("unit") == field.unit
        assert tuple(told.get("choices", ())) == field.choices
        assert ("training_range" in told) is (field.name in ranges)
    assert body["answer"]["field"] == task.target
    assert body["limits_of_use"] == list(task.limits_of_use)


def test_remarks_of_the_training_are_limits_of_use() -> None:
    """What the rows did not suffice for is told to whoever asks the model, not to its trainer alone."""
    told = card(Served("bikes", VERSION, tiny.model("bikes"), {"remarks": ["No row has rain."]}))
    assert told["limits_of_use"][-1] == "No row has rain."


async def test_card_says_what_a_reviewer_asks() -> None:
    """A card has metrics with their protocol, coverage, data, recipe; and no bulk of the manifest."""
    told = card(Served("bikes", VERSION, tiny.model("bikes"), MANIFEST))
    Card.model_validate_json(json.dumps(told), extra="forbid")
    assert told["created"] == "2026-01-02T03:04:05Z"
    assert told["evaluation"] == MANIFEST["evaluation"]
    assert told["training"]["data"] == MANIFEST["data"]
    assert told["training"]["recipe"] == MANIFEST["recipe"]
    assert told["training"]["distillation"] == MANIFEST["distillation"]
    assert told["training"]["weights"] == MANIFEST["weights"]
    assert not {"reference", "canary", "model"} & told["training"].keys()
    network = tiny.model("bikes").head.network
    assert told["network"]["members"] == network.n_members == 3
    assert told["network"]["hidden"] == [12, 8]
    parameters = 3 * (network.n_inputs * 12 + 12 + 12 * 8 + 8 + 8 * 2 + 2)
    assert told["network"]["parameters"] == parameters


@pytest.mark.parametrize("name", TASKS)
def test_card_of_a_carried_model_is_complete(name: str) -> None:
    """The cards of the repository's models have metrics beside a baseline, and where they come from."""
    bundle = Shipped(ARTIFACTS).load(name)
    told = card(Served.of(name, bundle.version, bundle))
    found = Card.model_validate_json(json.dumps(told), extra="forbid")
    assert found.evaluation is not None
    assert found.evaluation.baseline is not None
    assert found.evaluation.metrics.keys() <= found.evaluation.baseline.metrics.keys()
    assert found.evaluation.coverage_by_level or found.evaluation.reliability
    assert found.training.data is not None
    assert found.training.recipe is not None
    assert found.training.recipe["task"] == name
    assert sum(found.network.links.values()) == found.network.members


@pytest.mark.parametrize("path", ["/models", "/models/bikes", "/models/bikes/versions"])
async def test_client_that_has_it_gets_no_body(path: str) -> None:
    """With the ETag of what it has a client gets 304, with another one the content."""
    async with connect(APP) as client:
        first = await client.get(path)
        tag = first.headers["ETag"]
        for known, status in ((tag, 304), (f'"x", W/{tag}', 304), ("*", 304), ('"x"', 200)):
            again = await client.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.headers["ETag"]) == (status, tag), known
            assert bool(again.content) is (status == 200)


@pytest.mark.parametrize("end", ["", "/versions"])
async def test_unknown_model_is_met_with_the_nearest_name(end: str) -> None:
    """A model that is not there: 404, with the name that was probably meant, or all names."""
    async with connect(APP) as client:
        near = await client.get(f"/models/bike{end}")
        far = await client.get(f"/models/weather{end}")
    assert near.status_code == far.status_code == 404
    assert near.json()["detail"] == "There is no model bike; did you mean bikes?"
    assert far.json()["detail"] == f"There is no model weather; known are {', '.join(TASKS)}"


async def test_versions_are_those_of_the_store(tmp_path: Path) -> None:
    """The versions of a model are listed, the newest first, with the one that answers."""
    store = Store(tmp_path)
    published = [store.publish(tiny.model("bikes", seed), {}) for seed in (1, 2)]
    store.activate("bikes", published[0])
    registry = Registry(store=store, prepare=Served.of)
    registry.fill(["bikes"])
    async with connect(create_app(registry, Settings())) as client:
        answer = await client.get("/models/bikes/versions")
    Versions.model_validate_json(answer.content, strict=True, extra="forbid")
    newest_first = sorted(published, reverse=True)
    assert answer.json() == {
        "name": "bikes",
        "current": published[0],
        "versions": newest_first,
    }

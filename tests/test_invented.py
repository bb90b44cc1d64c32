"""A task of a kind that the project does not have works in every command and route."""

import asyncio
import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import DataError, SettingsError, StoreError, TrainingError
from models.features import Category, Number
from models.store import Store
from models.task import Field
from models.tasks import TASKS
from service.app import create_app
from service.registry import Registry
from service.served import Served
from service.settings import Settings
from tests.conftest import Run
from tests.invented import INVENTED, RECIPES, installed
from tests.serving import connect, example
from training import catalogue, cli, data, evaluate, overrides, product, protocols
from training.data import Dataset
from training.distil import Student
from training.progress import Nobody

OF_KIND = [(name, protocol) for name, t in INVENTED.items() for protocol in protocols.of_task(t)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the data of both tasks, which are installed meanwhile."""
    folder = tmp_path_factory.mktemp("invented")
    with installed(folder):
        yield folder


@pytest.fixture
def train(folder: Path, train: Run) -> Run:
    """The command, which knows both tasks."""
    del folder
    return train


@pytest.fixture
def store(folder: Path, train: Run) -> Path:
    """A store with a version of both tasks, trained for the first test that asks for it."""
    store = folder / "store"
    for name in INVENTED:
        if not (store / name).exists():
            status, _, err = train(name, "--store", store, "--plots", folder / "plots")
            assert status == 0, err
    return store


@pytest.mark.parametrize("name", INVENTED)
def test_is_trained_and_published(store: Path, name: str) -> None:
    """The bundle is loaded again, with scores that are better than those of the simple baseline."""
    bundle, metric = Store(store).load(name), "rmse" if name == "espresso" else "log_loss"
    told = bundle.manifest["evaluation"]
    assert told["metrics"][metric] < told["baseline"]["metrics"][metric]
    assert told["protocol"] == ("p2" if name == "espresso" else "cv")
    said = bundle.model.predict(data.read(name).columns)
    assert (said.low <= said.value).all()
    assert (said.value <= said.high).all()


def test_intervals_hold_the_outcomes_of_new_rows(folder: Path) -> None:
    """Nine in ten outcomes of rows that nobody learned from lie inside, clustered by row."""
    made = evaluate.evaluate(RECIPES["espresso"], data.read("espresso"), "p2", 3, 1, Nobody())
    found = [score.interval for score in made.scores if score.interval is not None]
    assert np.mean([one["coverage"] for one in found]) == pytest.approx(0.9, abs=0.08)
    for one in found:
        assert [n for n, _ in one["per_day"]] == [1] * one["rows"]
        assert list(one["groups"]) == ["size"]


@pytest.mark.parametrize(("name", "protocol"), OF_KIND)
def test_is_evaluated(train: Run, name: str, protocol: str) -> None:
    """Every protocol of its kind gives metrics beside a baseline, as a table and as JSON."""
    arguments = ("evaluate", name, "--protocol", protocol, "--set", "epochs=2")
    status, out, err = train(*arguments)
    assert status == 0, err
    word = (
        "RMSE, duration" if name == "espresso" else "share of the training rows that were churned"
    )
    assert word in out
    assert "by day" not in out
    told = json.loads(train(*arguments, "--json")[1])
    assert told["protocol"] == protocol
    assert (told["reference"] is None) is (name == "espresso")


def test_bootstrapped_recipe_of_a_yes_or_no(train: Run, tmp_path: Path) -> None:
    """Its intervals are calibrated on simulated rows, as those of admission are."""
    few = ("--set", "bootstrap=true", "--set", "epochs=2")
    status, out, err = train("churn", "--store", tmp_path, *few)
    assert status == 0, err
    assert "churn: published" in out


@pytest.mark.parametrize("name", INVENTED)
def test_has_a_report(train: Run, tmp_path: Path, name: str) -> None:
    """The page has its pictures and words of its own, without the lecture and without peers."""
    status, _, err = train("report", name, "--to", tmp_path)
    assert status == 0, err
    page = re.sub(r"base64,[^\"]+", "", (tmp_path / f"{name}.html").read_text("utf-8"))
    assert page.count("<img alt=") == (4 if name == "espresso" else 2)
    assert "Made up." in page
    for word in ("lecture", "rentals", "admitted", "21 days", "hour"):
        assert word not in page


@pytest.mark.parametrize("name", INVENTED)
def test_is_searched(train: Run, tmp_path: Path, name: str) -> None:
    """A search chooses by the metric and the protocol of the task's kind."""
    vary = ("--vary", "rate=0.001..0.01", "--trials", 1, "--out", tmp_path / "search.jsonl")
    status, out, err = train("search", name, *vary)
    assert status == 0, err
    assert f"judge it: train evaluate {name}" in out
    assert ("RMSE, duration" if name == "espresso" else "log loss") in out


@pytest.mark.parametrize("name", INVENTED)
def test_files_are_scored(train: Run, store: Path, tmp_path: Path, name: str) -> None:
    """`train score` answers the rows of a file with the columns of the task."""
    row, file, out = example(INVENTED[name]), tmp_path / "rows.csv", tmp_path / "answers"
    with file.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([row.keys(), row.values()])
    status, _, err = train("score", name, file, "--out", out, "--store", store, "--format", "csv")
    assert status == 0, err
    (part,) = out.rglob("part-*.csv")
    head, answer = part.read_text("utf-8").splitlines()
    assert INVENTED[name].target in head
    assert "nan" not in answer


async def _asked(store: Path, name: str) -> dict[str, Any]:
    """What each route answers about a row, the task's example."""
    row, found = example(INVENTED[name]), Store(store)
    served = {n: Served.of(n, found.current(n) or "", found.load(n)) for n in INVENTED}
    tensors = [{"name": key, "shape": [1], "data": [value]} for key, value in row.items()]
    for tensor, (_, kind) in zip(tensors, _inputs(name), strict=True):
        tensor["datatype"] = kind
    async with connect(create_app(Registry(served), Settings())) as client:
        lines, as_csv = f"{','.join(row)}\n{','.join(map(str, row.values()))}\n", "text/csv"
        answers = {
            "row": await client.post(f"/predict/{name}?explain=true", json=row),
            "batch": await client.post(f"/predict/{name}/batch", json={"instances": [row, {}]}),
            "csv": await client.post(
                f"/predict/{name}/batch", content=lines, headers={"Content-Type": as_csv}
            ),
            "card": await client.get(f"/models/{name}"),
            "metadata": await client.get(f"/v2/models/{name}"),
            "v2": await client.post(f"/v2/models/{name}/infer", json={"inputs": tensors}),
            "document": await client.get("/openapi.json"),
        }
    return {key: answer.raise_for_status().json() for key, answer in answers.items()}


def _inputs(name: str) -> list[tuple[str, str]]:
    kinds = {"integer": "INT64", "number": "FP64", "category": "BYTES"}
    return [(field.name, kinds[field.kind]) for field in INVENTED[name].fields]


@pytest.mark.parametrize("name", INVENTED)
def test_is_served(store: Path, name: str) -> None:
    """A row with its explanation, a batch as JSON and as CSV, and the tensors of v2 have one answer."""
    told, task = asyncio.run(_asked(store, name)), INVENTED[name]
    row, (first, failed) = told["row"], told["batch"]["predictions"]
    (from_csv,) = told["csv"]["predictions"]
    value = pytest.approx(row[task.target], rel=1e-5)
    explained = row["explanation"]
    assert explained["baseline"] + sum(explained["contributions"].values()) == value
    assert row["interval"]["low"] <= row[task.target] <= row["interval"]["high"]
    assert first[task.target] == value
    assert from_csv[task.target] == value
    assert "error" in failed
    outputs = {output["name"]: output["data"] for output in told["v2"]["outputs"]}
    assert outputs[task.target] == [value]
    for answer in (row, first, from_csv, outputs):
        assert ("churned" in answer) is (name == "churn")


@pytest.mark.parametrize("name", INVENTED)
def test_is_described(store: Path, name: str) -> None:
    """The card, the metadata of v2 and the OpenAPI document name its fields and its answer."""
    told, task = asyncio.run(_asked(store, name)), INVENTED[name]
    assert told["card"]["answer"]["field"] == task.target
    assert [field["name"] for field in told["card"]["fields"]] == list(task.field_names)
    inputs = [(tensor["name"], tensor["datatype"]) for tensor in told["metadata"]["inputs"]]
    assert inputs == _inputs(name)
    words = json.dumps(told["document"]["paths"][f"/predict/{name}/batch"])
    columns = [task.target, *([task.decision] if task.decision else []), "low, high"]
    assert f"with the columns {', '.join(columns)}" in words
    assert json.dumps(example(task)) in words


def _below_zero() -> Dataset:
    """The seconds above or below 30: a quantity that may be negative."""
    dataset = data.read("espresso")
    task = replace(dataset.task, bounds=(-np.inf, np.inf))
    return replace(dataset, task=task, targets={"duration": dataset.targets["duration"] - 30.0})


def test_quantity_that_may_be_below_zero(folder: Path) -> None:
    """It is judged on the scale of the quantity itself, without an RMSLE."""
    recipe = replace(RECIPES["espresso"], links=("identity",), interval_link="identity")
    made = evaluate.evaluate(recipe, _below_zero(), "p2", 0, 1, Nobody())
    assert made.as_json()["metrics"]["rmsle"] is None
    (found,) = {score.interval["rows"] for score in made.scores if score.interval}
    assert found == 12


def test_command_takes_a_quantity_that_may_be_below_zero(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounds may be infinite: `identity` has a place for all between them, the other scales have not."""
    recipe = replace(RECIPES["espresso"], links=("identity",), interval_link="identity")
    monkeypatch.setitem(TASKS, "espresso", _below_zero().task)
    assert overrides.check(recipe) is recipe
    for changed in (replace(recipe, links=("log",)), replace(recipe, interval_link="sqrt")):
        with pytest.raises(SettingsError, match=r"for values of either sign: identity$"):
            overrides.check(changed)


@pytest.mark.parametrize("setting", ["links", "interval_link"])
def test_scale_that_has_no_place_for_a_quantity_is_refused(folder: Path, setting: str) -> None:
    """A link that takes no number below 0 is named with what to set instead."""
    scales: dict[str, Any] = {"links": ("identity",), "interval_link": "identity"}
    scales[setting] = RECIPES["espresso"].__dict__[setting]
    recipe = replace(RECIPES["espresso"], **scales)
    with pytest.raises(TrainingError, match=f"^{setting}: sqrt takes no number below 0"):
        evaluate.evaluate(recipe, _below_zero(), "p2", 0, 1, Nobody())


def test_yes_or_no_with_a_timestamp(folder: Path, bikes: Dataset) -> None:
    """It is judged as a yes or no; the time is a field like others."""
    dataset, rows = data.read("churn"), np.arange(240)
    when = Field("when", "timestamp", "When", "2011-01-01T00", low=1970, high=2100)
    task = replace(dataset.task, fields=(*dataset.task.fields, when))
    columns = {**dataset.columns, "when": bikes.hours[rows]}
    made = evaluate.evaluate(
        RECIPES["churn"], replace(dataset, task=task, columns=columns), "cv", 0, 1, Nobody()
    )
    assert made.mean(lambda score: score.metrics)["log_loss"] < 0.7


def test_student_without_a_timestamp_is_refused(train: Run, tmp_path: Path) -> None:
    """No rows can be made up around a time that there is not."""
    status, _, err = train("espresso", "--store", tmp_path, "--set", "student=true")
    assert status == 2
    assert "its rows are made up around a timestamp" in err


@pytest.mark.parametrize("command", [("all", "--store"), ("report", "espresso", "--to")])
def test_recipe_of_the_catalogue_is_checked_like_a_changed_one(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Whoever writes a recipe down is told as whoever sets it."""
    recipe = replace(RECIPES["espresso"], student=Student())
    monkeypatch.setitem(catalogue.RECIPES, "espresso", recipe)
    monkeypatch.setattr(cli, "TASKS", {"espresso": INVENTED["espresso"]})
    status, _, err = train(*command, tmp_path)
    assert status == 2
    assert "its rows are made up around a timestamp" in err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": (Number("does"),)}, "no variable 'does'. Did you mean 'dose'?"),
        ({"columns": (Category(("grid",), (3,)),)}, "no variable 'grid'. Did you mean 'grind'?"),
        ({"targets": ("seconds",)}, "no target 'seconds'. Known: duration"),
    ],
    ids=["number", "category", "target"],
)
def test_name_that_the_task_does_not_have(folder: Path, change: dict[str, Any], said: str) -> None:
    """A recipe that reads or learns what is not there is told which names there are."""
    recipe = replace(RECIPES["espresso"], **change)
    with pytest.raises(TrainingError, match=f"^recipe espresso: there is {re.escape(said)}"):
        evaluate.evaluate(recipe, data.read("espresso"), "p2", 0, 1, Nobody())


def test_name_that_no_store_takes_is_refused_before_the_training(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever names a task so is told at once, and how it may be called."""
    recipe, trainings = replace(RECIPES["espresso"], task="Flat-white"), list[Any]()
    monkeypatch.setattr(product, "make", lambda *arguments: trainings.append(arguments))
    with pytest.raises(
        StoreError, match=r"'Flat-white' is no name of a model: it must be a-z, 0-9"
    ):
        cli._train(recipe, data.read("espresso"), Store(tmp_path), 0, None, None)
    assert not trainings


@pytest.mark.parametrize("kind", ["split", "dtype"])
def test_declaration_that_does_not_fit_the_rows_is_refused_before_the_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Neither a split that would falsify single answers nor a code that is no integer costs a training."""
    dataset = data.read("espresso")
    if kind == "split":
        task = replace(dataset.task, varying=("temp", "dose"))
        dataset, said = replace(dataset, task=task), "the variable dose is not what split returns"
    else:
        grind = dataset.columns["grind"].astype(np.float64)
        columns = {**dataset.columns, "grind": grind}
        dataset, said = replace(dataset, columns=columns), "grind: must be one column of int8"
    monkeypatch.setattr(product, "evaluate", lambda *_: pytest.fail("was trained"))
    with pytest.raises(TrainingError, match=f"espresso .*: {said}"):
        product.make(RECIPES["espresso"], dataset, 0, Nobody())


def test_word_that_is_no_choice_is_refused(folder: Path, tmp_path: Path) -> None:
    """A file may have words for a category; one that the task does not know is named with its row."""
    lines = (folder / "espresso.csv").read_text("utf-8").splitlines()
    lines[2] = "turkish" + lines[2][lines[2].index(",") :]
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("\n".join(lines), "utf-8")
    said = r"^wrong.csv: row 2 \(line 3\): grind is 'turkish', not one of fine, medium, coarse$"
    with pytest.raises(DataError, match=said):
        data.read("espresso", wrong)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (
            Category(("grind",), (2,)),
            "of size 2 grind must be a whole number from 0 to 1, .* has 2",
        ),
        (
            Category(("dose",), (40,)),
            "of size 40 dose must be a whole number from 0 to 39, .* has 1",
        ),
    ],
    ids=["too small", "no code"],
)
def test_category_that_its_variable_does_not_fit(folder: Path, column: Category, said: str) -> None:
    """A choice that was forgotten would be the first of the next category; here it is told."""
    recipe = replace(RECIPES["espresso"], columns=(column, Category(("grind",), (3,))))
    with pytest.raises(TrainingError, match=f"^recipe espresso: as a category {said}"):
        evaluate.evaluate(recipe, data.read("espresso"), "p2", 0, 1, Nobody())


def test_variable_without_a_value_is_refused(folder: Path) -> None:
    """A field that may be missing has to be filled: NaN would reach every code of the row."""
    dataset = data.read("espresso")
    temp = np.where(np.arange(len(dataset)) == 5, np.nan, dataset.columns["temp"])
    lacking = replace(dataset, columns={**dataset.columns, "temp": temp})
    with pytest.raises(TrainingError, match=r"variable temp of espresso is no number in some row"):
        evaluate.evaluate(RECIPES["espresso"], lacking, "p2", 0, 1, Nobody())


def test_too_few_rows(folder: Path) -> None:
    """Three rows cannot be held out four times, and the message speaks of no weeks."""
    whole = data.read("espresso")
    few = replace(
        whole,
        columns=whole.take(np.arange(4)),
        targets={"duration": whole.targets["duration"][:4]},
    )
    with pytest.raises(TrainingError, match=r"too few to train on; at least 4 rows are needed"):
        evaluate.evaluate(RECIPES["espresso"], few, "p2", 0, 1, Nobody())


@pytest.mark.parametrize(("name", "outcome"), [("churn", "churned"), ("espresso", "duration")])
def test_schema_without_the_outcome_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, outcome: str
) -> None:
    """A conversion that forgets the outcome, or names it otherwise, is told which name is expected."""
    schema = data.SCHEMAS[name]
    wrong = replace(schema, convert=lambda table: (schema.convert(table)[0], {}))
    monkeypatch.setitem(data.SCHEMAS, name, wrong)
    with pytest.raises(DataError, match=f"the schema of {name} makes no {outcome}"):
        data.read(name)

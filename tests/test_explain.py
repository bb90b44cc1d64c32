"""Shapley values of an answer, and the routes that give them."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models import explain
from models.explain import shapley_values
from models.features import Number, fit_encoder
from models.interval import Interval
from models.model import Head, Model
from models.network import Layer, Network
from models.tasks import TASKS
from service import explanations
from service.settings import Settings
from tests import tiny
from tests.serving import connect, example, tiny_app, tiny_served

Row = dict[str, NDArray[Any]]
ABSENT = {"feels_like": np.nan, "holiday": -1}


def one_row(task: str, seed: int, absent: tuple[str, ...] = ()) -> Row:
    """A random row with every field but the absent ones."""
    row = tiny.rows(task, 1, np.random.default_rng(seed))
    if task == "bikes":
        row["feels_like"] = np.array([17.3])
        row["holiday"] = np.array([0], dtype=np.int8)  # false is an answer, too
    return row | {name: np.array([ABSENT[name]], row[name].dtype) for name in absent}


def by_definition(
    model: Model, row: Row, absent: tuple[str, ...]
) -> tuple[float, dict[str, float]]:
    """Baseline and Shapley values by Shapley's own definition: the mean over all orders of joining."""
    names = [name for name in model.task.field_names if name not in absent]
    n_rows = len(model.background[names[0]])
    worths = {}
    for size in range(len(names) + 1):
        for coalition in itertools.combinations(names, size):
            hybrids = {
                name: np.repeat(row[name], n_rows)
                if name in coalition or name in absent
                else model.background[name]
                for name in model.task.field_names
            }
            worths[frozenset(coalition)] = float(model.value(hybrids).mean())
    added = dict.fromkeys(model.task.field_names, 0.0)
    orders = list(itertools.permutations(names))
    for order in orders:
        for i, name in enumerate(order):
            before = frozenset(order[:i])
            added[name] += (worths[before | {name}] - worths[before]) / len(orders)
    return worths[frozenset()], added


@pytest.mark.parametrize(
    ("task", "absent"),
    [
        ("bikes", ()),
        ("bikes", ("feels_like",)),
        ("bikes", ("feels_like", "holiday")),
        ("admission", ()),
    ],
)
def test_contributions_are_shapleys_definition(task: str, absent: tuple[str, ...]) -> None:
    """The values equal the mean gain over all orders in which the fields can join, to float32's digits."""
    model = tiny.model(task)
    row = one_row(task, 5, absent)
    found = explain.explain(model, row, model.value(row).item())
    baseline, contributions = by_definition(model, row, absent)
    assert found.baseline == pytest.approx(baseline, rel=1e-5)
    assert found.contributions == pytest.approx(contributions, rel=1e-4, abs=1e-4 * baseline)


@pytest.mark.parametrize("seed", range(8))
def test_baseline_and_contributions_add_up_to_the_answer(model: Model, seed: int) -> None:
    """Efficiency: the sum in float64 is the answer within 1e-6 of it."""
    row = {name: column[:1] for name, column in tiny.rows(model.task.name, 1, _rng(seed)).items()}
    answer = model.predict(row).value.item()
    found = explain.explain(model, row, answer)
    assert found.baseline + sum(found.contributions.values()) == pytest.approx(answer, rel=1e-6)
    assert list(found.contributions) == list(model.task.field_names)


def test_fields_that_agree_with_every_background_row_add_nothing() -> None:
    """A row of a background of itself alone is its own baseline: every contribution is 0."""
    whole = tiny.model("bikes")
    row = one_row("bikes", 3)
    model = replace(whole, background=row)
    answer = model.value(row).item()
    found = explain.explain(model, row, answer)
    assert found.baseline == answer
    assert set(found.contributions.values()) == {0.0}


def test_absent_field_adds_nothing() -> None:
    """A field that was not given has the contribution 0, whatever the background rows have in it."""
    model = tiny.model("bikes")
    row = one_row("bikes", 4, ("feels_like", "holiday"))
    found = explain.explain(model, row, model.value(row).item())
    assert found.contributions["feels_like"] == found.contributions["holiday"] == 0.0
    assert found.contributions["timestamp"] != 0.0


def test_linear_model_is_explained_in_closed_form() -> None:
    """A linear model's contributions are weight * (value - mean over the background)."""
    model = linear_model(np.array([0.02, -1.5]))
    row = {"gre": np.array([640]), "gpa": np.array([3.1]), "rank": np.array([2])}
    found = explain.explain(model, row, model.value(row).item())
    wanted = {
        "gre": 0.02 * (640 - model.background["gre"].mean()),
        "gpa": -1.5 * (3.1 - model.background["gpa"].mean()),
        "rank": 0.0,
    }
    assert found.contributions == pytest.approx(wanted, rel=1e-5, abs=1e-5)
    assert found.baseline == pytest.approx(model.value(model.background).mean(), rel=1e-6)


def linear_model(weights: NDArray[np.float64]) -> Model:
    """gre and gpa times weights, as a network of one layer."""
    task = replace(TASKS["admission"], bounds=(-np.inf, np.inf))
    background = tiny.rows("admission", 64, _rng(0))
    columns = (Number("gre", 0, 1000), Number("gpa", 0, 10))
    encoder = fit_encoder(task.variables, columns, task.derive(background))
    layer = Layer(
        (weights * encoder.scale).astype(np.float32).reshape(1, 2, 1),
        np.zeros((1, 1, 1), dtype=np.float32),
        "identity",
    )
    ones = np.ones((1, 1, 1))
    return Model(
        task,
        encoder,
        Head(Network((layer,)), ("identity",), 0 * ones, ones),
        None,
        Interval("identity", tiny.LEVELS, tiny.LEVELS, tiny.LEVELS),
        {},
        None,
        background,
    )


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_game_solved_by_hand(n: int) -> None:
    """In the game "the square of the number of members", each of n equal players gets n."""
    worth = np.array([coalition.bit_count() ** 2 for coalition in range(2**n)], dtype=float)
    assert shapley_values(worth) == pytest.approx(np.full(n, n))


def test_work_comes_in_steps() -> None:
    """No step answers more hybrids than STEP_ROWS, so that between two of them others can work."""
    model = tiny.model("bikes")
    row = one_row("bikes", 6)
    asked: list[int] = []
    task = TASKS["bikes"]

    def derive(columns: Any) -> Any:
        asked.append(len(columns["humidity"]))
        return task.derive(columns)

    watched = replace(model, task=replace(task, derive=derive))
    steps = explain.steps(watched, row, 1.0)
    assert len(list(steps)) == len(asked) > 1
    assert max(asked) <= explain.STEP_ROWS


@pytest.mark.anyio
@pytest.mark.parametrize("name", TASKS)
async def test_route_adds_the_explanation(name: str) -> None:
    """?explain=true adds baseline and contributions, a field each, that add up; nothing else changes."""
    async with connect(tiny_app()) as client:
        plain = await client.post(f"/predict/{name}", json=example(TASKS[name]))
        answer = await client.post(f"/predict/{name}?explain=true", json=example(TASKS[name]))
    body = answer.json()
    explanation = body.pop("explanation")
    assert body == plain.json()
    assert list(explanation["contributions"]) == list(TASKS[name].field_names)
    total = explanation["baseline"] + sum(explanation["contributions"].values())
    assert total == pytest.approx(body[TASKS[name].target], rel=1e-6)


@pytest.mark.anyio
async def test_batch_is_explained_row_by_row_around_a_bad_one() -> None:
    """Each good row of a batch has the explanation that it has alone; a bad row has its error alone."""
    rows = [example(TASKS["bikes"]), {}, example(TASKS["bikes"], temperature=3.0)]
    async with connect(tiny_app()) as client:
        answer = await client.post("/predict/bikes/batch?explain=true", json={"instances": rows})
        alone = [
            (await client.post("/predict/bikes?explain=true", json=rows[i])).json() for i in (0, 2)
        ]
    first, bad, last = answer.json()["predictions"]
    assert list(bad) == ["error"]
    for found, wanted in zip((first, last), alone, strict=True):
        explanation = found["explanation"]
        assert explanation["baseline"] == wanted["explanation"]["baseline"]
        assert explanation["contributions"] == pytest.approx(
            wanted["explanation"]["contributions"], rel=1e-4, abs=1e-4
        )


@pytest.mark.anyio
async def test_explained_csv_has_a_column_a_contribution() -> None:
    """In CSV the baseline and the contributions are columns, empty for a row with an error."""
    body = "gre,gpa,rank\n660,3.67,1\n900,3.0,2\n"
    headers = {"content-type": "text/csv", "accept": "text/csv"}
    async with connect(tiny_app()) as client:
        answer = await client.post(
            "/predict/admission/batch?explain=true", content=body, headers=headers
        )
    head, good, bad = (line.split(",") for line in answer.text.splitlines())
    start = head.index("baseline")
    names = ["contribution_gre", "contribution_gpa", "contribution_rank"]
    assert head[start + 1 : start + 4] == names
    assert head[start + 4 :] == ["warnings", "error"]
    total = sum(float(cell) for cell in good[start : start + 4])
    assert total == pytest.approx(float(good[0]), rel=1e-6)
    assert not any(bad[:-1])
    assert "gre must be between" in bad[-1]


@pytest.mark.anyio
async def test_too_many_rows_to_explain_are_refused_with_the_limit() -> None:
    """A batch over `explain_rows` is refused with 413 that says the limit, and only with explain."""
    rows = {"instances": [example(TASKS["admission"])] * 4}
    async with connect(tiny_app(explain_rows=3)) as client:
        refused = await client.post("/predict/admission/batch?explain=true", json=rows)
        answered = await client.post("/predict/admission/batch", json=rows)
    assert refused.status_code == 413
    assert "at most 3 rows, and this one has 4" in refused.json()["detail"]
    assert answered.status_code == 200
    assert Settings().explain_rows == 100


@pytest.mark.anyio
async def test_others_have_their_turn_during_an_explanation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The event loop turns between the steps of an explanation."""
    turns = 0

    async def give_way(_: Any) -> None:
        nonlocal turns
        turns += 1

    monkeypatch.setattr(explanations, "give_way", give_way)
    served = tiny_served("bikes")
    await explanations.of_row({}, served, one_row("bikes", 6), 1.0)
    assert turns > 1


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)

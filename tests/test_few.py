"""Passes of one row and of a few: the same as those of many, and quick for what comes again."""

import math
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import bundle, few
from models.bundle import ARTIFACTS
from models.errors import BundleError
from models.few import MOST_REMEMBERED
from models.interval import Interval
from models.links import LINKS
from models.model import Head, Model
from models.network import Layer, Network
from models.rows import columns_of
from models.tasks import TASKS
from service.schemas import REQUESTS
from tests import strategies, tiny
from tests.serving import example

MODELS = {name: tiny.model(name) for name in TASKS}


def parsed(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row in JSON as the model takes it."""
    return vars(REQUESTS[name].model_validate(row))


@pytest.mark.parametrize("name", TASKS)
@given(data=st.data())
def test_one_row_is_answered_as_in_a_batch(name: str, data: st.DataObject) -> None:
    """predict_one gives what predict gives, up to float32's rounding, for every row and level."""
    row = parsed(name, data.draw(strategies.rows(TASKS[name])))
    level = data.draw(st.sampled_from([0.5, 0.9, 0.99]) | st.floats(0.5, 0.99))
    found = MODELS[name].predict_one(row, level)
    wanted = MODELS[name].predict(columns_of([row], TASKS[name]), level)
    for one, many in zip(found, (wanted.value, wanted.low, wanted.high), strict=True):
        assert type(one) is float
        assert one == pytest.approx(many.item(), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", TASKS)
def test_tasks_are_declared_as_single_rows_need_it(name: str) -> None:
    """What a row is split into leads to the variables that a batch has, optional fields or not."""
    assert few.fault(TASKS[name], tiny.rows(name, 500, np.random.default_rng(0))) is None


BIKES = TASKS["bikes"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recurring": ("weather", "holiday")}, "recurring must name timestamp, as it must every"),
        ({"varying": (*BIKES.varying[:3], "wind")}, "varying names wind, which is no variable"),
        ({"varying": BIKES.varying[:3]}, "split must return a value for each name of recurring"),
        (
            {"varying": ("feels_like", "temperature", "humidity", "wind_speed")},
            "the variable temperature is not what split returns in its place",
        ),
        (
            {
                "recurring": ("timestamp", "holiday"),
                "split": lambda row: ((row["timestamp"], row["holiday"]), BIKES.split(row)[1]),
            },
            "the variable weather does not follow from recurring",
        ),
    ],
    ids=["timestamp", "unknown", "too many", "order", "forgotten"],
)
def test_task_whose_single_rows_would_be_answered_otherwise(
    change: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in the declaration changes answers to single rows alone, and nothing else would tell."""
    wrong = replace(BIKES, **change)
    found = few.fault(wrong, tiny.rows("bikes", 50, np.random.default_rng(0)))
    assert found is not None
    assert found.startswith(said)
    monkeypatch.setitem(TASKS, "bikes", wrong)
    with pytest.raises(BundleError, match=f"^the task bikes is not declared .*: {said}"):
        bundle.load(ARTIFACTS / "bikes")


@pytest.mark.parametrize("name", TASKS)
@given(data=st.data())
def test_a_row_is_answered_alike_in_any_company(name: str, data: st.DataObject) -> None:
    """predict_few gives each row what predict_one gives it, to the bit."""
    rows = data.draw(st.lists(strategies.rows(TASKS[name]), min_size=2, max_size=9))
    asked = [
        (parsed(name, row), data.draw(st.sampled_from([0.5, 0.9, 0.99]) | st.floats(0.5, 0.99)))
        for row in rows
    ]
    alone = [MODELS[name].predict_one(row, level) for row, level in asked]
    assert MODELS[name].predict_few(asked) == alone


@pytest.mark.parametrize("name", TASKS)
def test_the_models_that_are_served_answer_alike_in_any_company(name: str) -> None:
    """So do the networks that come with the code, whose products are larger."""
    model, rng = bundle.load(ARTIFACTS / name).model, np.random.default_rng(2)
    rows = []
    for i in range(40):
        row = parsed(name, example(TASKS[name]))
        for field in TASKS[name].fields:
            if field.kind == "timestamp":
                row[field.name] += timedelta(hours=i)
            elif field.low is not None and field.high is not None:
                row[field.name] = type(row[field.name])(rng.uniform(field.low, field.high))
        rows.append(row)
    alone = [model.predict_one(row) for row in rows]
    assert len({answer.value for answer in alone}) > 20
    for n in (2, 3, 16, 40):
        assert model.predict_few([(row, 0.9) for row in rows[:n]]) == alone[:n]


@pytest.mark.parametrize("name", TASKS)
def test_varying_is_all_that_does_not_recur(name: str) -> None:
    """Two rows that agree in the recurring fields differ in the varying variables at most."""
    task, rng = TASKS[name], np.random.default_rng(0)
    columns = tiny.rows(name, 50, rng)
    other = tiny.rows(name, 50, rng) | {field: columns[field] for field in task.recurring}
    fixed = [i for i, variable in enumerate(task.variables) if variable not in task.varying]
    np.testing.assert_array_equal(
        task.derive(columns)[:, fixed], task.derive(other)[:, fixed], strict=True
    )


def test_split_is_by_the_names_that_the_task_gives() -> None:
    """`split` gives the values of `recurring` as they are, and those of `varying` as `derive` does."""
    for name, task in TASKS.items():
        row = parsed(name, example(task) | ({"feels_like": None} if name == "bikes" else {}))
        key, values = task.split(row)
        assert key == tuple(row[field] for field in task.recurring)
        derived = dict(zip(task.variables, task.derive(columns_of([row], task))[0], strict=True))
        assert values == tuple(derived[variable] for variable in task.varying)


@pytest.mark.parametrize("deep", [True, False], ids=["hidden", "linear"])
@pytest.mark.parametrize("skip", [True, False], ids=["skip", "plain"])
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("activation", ["tanh", "silu"])
def test_networks_of_every_form(activation: str, members: int, *, deep: bool, skip: bool) -> None:
    """A head of one or more members and a spread of other depth and activation, with and without a skip."""
    whole, rng = MODELS["bikes"], np.random.default_rng(1)
    n_inputs = whole.encoder.n_inputs
    network = tiny.network((n_inputs, *((9, 7, 5) if deep else ()), 1), members, skip=skip, rng=rng)
    layers = (*network.layers[:-1], Layer(*_arrays(network.layers[-1]), "sigmoid"))
    ones = np.ones((members, 1, 1))
    spread = tiny.network((n_inputs, *((5,) if deep else ()), 1), 1, skip=not skip, rng=rng)
    hidden = tuple(Layer(*_arrays(layer), activation) for layer in spread.layers[:-1])
    model = Model(
        whole.task,
        whole.encoder,
        Head(Network(layers, network.skip), ("sqrt", "identity")[:members], 0.1 * ones, ones),
        Head(
            Network((*hidden, spread.layers[-1]), spread.skip),
            ("exp",),
            0 * ones[:1],
            0.1 * ones[:1],
        ),
        Interval("sqrt", tiny.LEVELS, tiny.LEVELS, tiny.LEVELS),
        {},
        None,
        whole.background,
    )
    row = parsed("bikes", example(whole.task))
    found, wanted = model.predict_one(row), model.predict(columns_of([row], whole.task))
    other = row | {"temperature": 3.0}
    beside = [model.predict_one(other), found, found]
    assert model.predict_few([(other, 0.9), (row, 0.9), (row, 0.9)]) == beside
    assert found.value == pytest.approx(wanted.value.item(), rel=1e-5)
    assert found.low == pytest.approx(wanted.low.item(), rel=1e-4, abs=1e-6)


def _arrays(layer: Layer) -> tuple[Any, Any]:
    return layer.weights, layer.biases


def test_crossover_weighs_logarithms_where_the_answer_is_small() -> None:
    """With a crossover c the value is (c a + b b) / (c + b): a of the logarithms, b of the others."""
    head = replace(MODELS["bikes"].head, links=("sqrt", "log", "sqrt"), crossover=30.0)
    members = np.array([[1.0, 30.0, 600.0], [3.0, 20.0, 500.0], [1.0, 30.0, 900.0]])
    value = head.value_of(members)
    np.testing.assert_allclose(value, [(90 + 1) / 31, 25.0, (15_000 + 750.0**2) / 780])
    plain = replace(head, crossover=0.0).value_of(members)
    np.testing.assert_allclose(plain, members.mean(axis=0))
    alone = replace(head, links=("log",) * 3).value_of(members)
    np.testing.assert_allclose(alone, plain)


@pytest.mark.parametrize("name", LINKS)
def test_links_of_a_number_are_those_of_arrays(name: str) -> None:
    """A link and its inverse give for a number what they give for an array."""
    link = LINKS[name]
    for x in (0.0, 0.02, 0.3, 0.97, 1.0) if name == "logit" else (0.02, 0.7, 42.0):
        assert link.number_to_link(x) == pytest.approx(link.to_link(np.array([x])).item())
    for z in (-3.0, -1e-3, 0.0, 0.4, 5.0):
        assert link.number_from_link(z) == pytest.approx(link.from_link(np.array([z])).item())
    if name == "logit":
        assert math.isfinite(link.number_to_link(0.0))
        assert math.isfinite(link.number_to_link(1.0))


def test_what_is_remembered_is_bounded_and_not_written_to() -> None:
    """The same hour asked again is not worked out again, nor changed by the answers in between."""
    model = tiny.model("bikes")
    row = parsed("bikes", example(TASKS["bikes"]))
    first = model.predict_one(row)
    for hour in range(20):
        model.predict_one(row | {"timestamp": datetime(2012, 1, 1, hour)})  # noqa: DTZ001
    assert model.predict_one(row) == first
    known = model._few._remembered.cache_info()
    assert (known.hits, known.misses, known.maxsize) == (1, 21, MOST_REMEMBERED)

"""Distillation: made-up rows go wherever a request can, and the student answers what the ensemble does."""

from dataclasses import replace

import numpy as np
import pytest

from models import calendar
from models.arrays import Columns
from models.bikes import BIKES
from models.errors import DivergedError
from training import catalogue
from training.data import Dataset
from training.distil import YEARS, Student, distil, made_up
from training.pipeline import Regressor, answers, fit_rows
from training.progress import Nobody
from training.recipes import Recipe
from training.trainer import train

N_ROWS = 6000
SMALL = Student(hidden=(16,), rows=2000, epochs=2)


@pytest.fixture(scope="module")
def made(bikes: Dataset) -> Columns:
    """Rows made up around the first year."""
    return made_up(bikes, np.arange(8000), N_ROWS, np.random.default_rng(0))


def quick() -> Recipe:
    """Four networks that are fitted in a moment."""
    recipe = catalogue.RECIPES["bikes"]
    fit = replace(recipe.fit, epochs=3, average_epochs=0)
    return replace(recipe, links=("sqrt", "sqrt", "log", "log"), hidden=(12,), fit=fit)


def test_made_up_rows_are_rows_that_the_task_takes(bikes: Dataset, made: Columns) -> None:
    """Every field has its form and lies in the range that a request may have."""
    assert made.keys() == bikes.columns.keys()
    for field in bikes.task.fields:
        values = made[field.name]
        assert values.dtype == bikes.columns[field.name].dtype
        assert len(values) == N_ROWS
        if field.kind == "number":
            given = values[~np.isnan(values)]
            assert len(given) == N_ROWS or not field.required
            assert field.low <= given.min() < given.max() <= field.high
        elif field.kind == "timestamp":
            years = values.astype("datetime64[Y]").astype(int) + 1970
            assert field.low <= years.min() < years.max() <= field.high


def test_a_field_that_no_row_gives_is_not_made_up(bikes: Dataset) -> None:
    """Of an optional field without a single value nothing is known, so no made-up row has it."""
    blank = {"feels_like": np.full(len(bikes), np.nan)}
    without = replace(bikes, columns={**bikes.columns, **blank})
    columns = made_up(without, np.arange(8000), N_ROWS, np.random.default_rng(0))
    assert np.isnan(columns["feels_like"]).all()
    assert not np.isnan(columns["temperature"]).any()


def test_a_student_that_diverges_is_told_its_own_rate(bikes: Dataset) -> None:
    """The advice names the setting of the student, not that of the networks, which have learned already."""
    rows = np.arange(2000)
    rng = np.random.default_rng(0)
    taught = fit_rows(quick(), bikes, rows, None, rng)
    student = replace(SMALL, rate=1e200)
    with pytest.raises(DivergedError, match=r"try --set student_rate=1e\+199$"):
        distil(student, taught.encoder, taught.head, bikes, rows, rng, Nobody())


def test_made_up_rows_go_everywhere(bikes: Dataset, made: Columns) -> None:
    """Days before and after, every hour and weather, holidays said and not said, values left out."""
    years = made["timestamp"].astype("datetime64[Y]").astype(int) + 1970
    assert years.min() <= 2011 - YEARS + 1
    assert years.max() >= 2011 + YEARS - 1
    assert 0.3 < np.mean(years == 2011) < 0.7
    assert set(np.unique(made["timestamp"].astype(int) % 24)) == set(range(24))
    assert set(np.unique(made["weather"])) == {0, 1, 2, 3}
    assert set(np.unique(made["holiday"])) == {-1, 0, 1}
    assert 0.02 < np.isnan(made["feels_like"]).mean() < 0.2
    days = made["timestamp"].astype("datetime64[D]")
    off = calendar.day_rows(days)[:, calendar.DAY_VARIABLES.index("day_off")]
    usual = calendar.year_table(2011)[:, calendar.DAY_VARIABLES.index("day_off")]
    assert off.mean() > 2.0 * usual.mean()
    assert len(bikes) == 17379, "the data set itself was not changed"


def test_the_weather_is_of_the_season(made: Columns) -> None:
    """Most made-up hours are as warm as the time of the year has them, and some are not."""
    month = made["timestamp"].astype("datetime64[M]").astype(int) % 12
    july, january = (made["temperature"][month == number] for number in (6, 0))
    assert np.median(july) > np.median(january) + 15.0
    assert july.min() < np.median(january) + 5.0


def test_the_edge_of_what_is_taken_is_no_obstacle(bikes: Dataset) -> None:
    """Around a file of the first or last years that are taken the days stay inside them."""
    for year in (1970, 2100):
        columns = bikes.take(np.arange(500))
        shift = np.datetime64(f"{year}-01-01T00") - columns["timestamp"][0]
        moved = replace(bikes, columns={**columns, "timestamp": columns["timestamp"] + shift})
        made = made_up(moved, np.arange(500), 500, np.random.default_rng(0))
        years = made["timestamp"].astype("datetime64[Y]").astype(int) + 1970
        assert 1970 <= years.min() <= years.max() <= 2100


def fitted(bikes: Dataset) -> Regressor:
    """A quick ensemble of the first 4,000 hours."""
    return fit_rows(quick(), bikes, np.arange(4000), None, np.random.default_rng(0))


def test_a_student_learns_the_answers(bikes: Dataset) -> None:
    """On rows that neither has seen the student is as good as its ensemble, and near to it."""
    ensemble = fitted(bikes)
    student = Student(hidden=(24, 12), rows=12_000, rate=1e-2, epochs=12)
    rng = np.random.default_rng(1)
    encoder, rows = ensemble.encoder, np.arange(4000)
    found = distil(student, encoder, ensemble.head, bikes, rows, rng, Nobody())
    assert found.head.network.n_members == found.head.network.n_outputs == 1
    assert found.networks == 4
    assert 0.0 < found.difference < 0.1 * found.answer
    later = np.arange(4000, 4500)
    said = answers(replace(ensemble, head=found.head), bikes, later)
    taught = answers(ensemble, bikes, later)
    truth = bikes.targets["rentals"][later]
    errors = [np.sqrt(np.square(value - truth).mean()) for value in (said, taught)]
    assert errors[0] < 1.1 * errors[1]


def test_a_model_answers_with_its_student(bikes: Dataset) -> None:
    """What is judged and published is the one network; the history is that of the ensemble."""
    recipe = replace(quick(), student=SMALL)
    rows = np.arange(2500)
    made = train(recipe, bikes, rows, None, np.random.default_rng(0), Nobody())
    assert made.distilled is not None
    assert made.model.head is made.distilled.head
    assert len(made.fitted.history) == recipe.fit.epochs
    alone = replace(recipe, student=None)
    all_of_them = train(alone, bikes, rows, None, np.random.default_rng(0), Nobody())
    assert all_of_them.distilled is None
    assert all_of_them.model.head.network.n_members == 4
    assert all_of_them.model.interval.below.tolist() == made.model.interval.below.tolist()


def test_a_training_is_the_same_however_many_fits_run_at_once(
    bikes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one core and on four every bit of the answers and of the intervals is the same."""
    recipe, rows = replace(quick(), student=SMALL), np.arange(2500)
    made = []
    for cores in (1, 4):
        monkeypatch.setattr("joblib._parallel_backends.cpu_count", lambda cores=cores: cores)
        trained = train(recipe, bikes, rows, None, np.random.default_rng(0), Nobody())
        made.append(trained.model.predict(bikes.take(np.arange(3000))))
    for name in ("value", "low", "high"):
        np.testing.assert_array_equal(getattr(made[0], name), getattr(made[1], name))


def test_rows_with_two_times_are_made_up_around_the_first(bikes: Dataset) -> None:
    """A second timestamp is a field like others: it comes from the data."""
    second = replace(BIKES.field_of["timestamp"], name="second")
    task = replace(BIKES, fields=(*BIKES.fields, second))
    columns = {**bikes.columns, "second": bikes.hours}
    two, rng = replace(bikes, task=task, columns=columns), np.random.default_rng(0)
    made = made_up(two, np.arange(len(bikes)), 500, rng)
    assert np.isin(made["second"], bikes.hours).all()
    assert not np.isin(made["timestamp"], bikes.hours).all()

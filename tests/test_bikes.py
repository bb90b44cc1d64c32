"""What the bike forecast derives from a request, and how good its recipe is."""

from datetime import datetime
from typing import Any

import numpy as np
import pytest

from models.bikes import BIKES
from models.rows import columns_of
from training import data
from training.bikes import BIKES as RECIPE
from training.metrics import regression
from training.pipeline import answers, fit_rows
from training.protocols import splits


def derived(**row: Any) -> dict[str, float]:
    """The variables of one row by name; what is not given is an ordinary hour."""
    given = {
        "timestamp": datetime(2012, 6, 6, 17),  # noqa: DTZ001  # local time
        "temperature": 20.0,
        "feels_like": None,
        "humidity": 50.0,
        "wind_speed": 10.0,
        "weather": "clear",
        "holiday": None,
    }
    values = BIKES.derive(columns_of([given | row], BIKES))[0].tolist()
    return dict(zip(BIKES.variables, values, strict=True))


def at(day: str, hour: int = 12) -> dict[str, datetime]:
    """A timestamp as a field of a row."""
    return {"timestamp": datetime.fromisoformat(day).replace(hour=hour)}


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (at("2012-06-06"), 2),
        (at("2012-06-10"), 6),
        (at("2012-07-04"), 6),
        (at("2012-12-24"), 6),
        (at("2012-11-12"), 7),
        (at("2012-06-06") | {"holiday": True}, 6),
        (at("2012-07-04") | {"holiday": False}, 2),
        (at("2012-11-12") | {"holiday": False}, 0),
    ],
    ids=["weekday", "sunday", "holiday", "bridge", "federal", "made off", "made on", "worked"],
)
def test_kind_of_day(row: dict[str, Any], kind: int) -> None:
    """A day off counts as a Sunday, a holiday of the government alone as a kind of its own.

    A `holiday` that contradicts the calendar decides.
    """
    assert derived(**row)["day_type"] == kind


def test_days_and_weeks_of_the_data() -> None:
    """Each day of 2011 and 2012 has its number, and days outside the nearest one's."""
    asked = ("2010-05-01", "2011-01-01", "2011-01-08", "2012-12-31", "2013-06-01")
    found = [derived(**at(day)) for day in asked]
    assert [row["day"] for row in found] == [0, 0, 7, 730, 730]
    assert [row["week"] for row in found] == [0, 0, 1, 104, 104]


def test_sun_is_that_of_the_hour() -> None:
    """The sun stands high at noon and below the horizon at midnight."""
    assert derived(**at("2012-06-20", 13))["sun"] > 70
    assert derived(**at("2012-06-20", 0))["sun"] < -20
    assert np.isfinite(derived(**at("2100-12-31", 23))["sun"])


@pytest.mark.slow
def test_recipe_forecasts_days_that_it_never_saw() -> None:
    """P3: days 20 to the end of every month, learned from days 1 to 16; a floor with some room."""
    dataset = data.read("bikes")
    (split,) = splits(dataset, "p3")
    regressor = fit_rows(RECIPE, dataset, split.train, None, np.random.default_rng(0))
    found = regression(
        dataset.targets["rentals"][split.test], answers(regressor, dataset, split.test)
    )
    assert found["rmse"] < 46.0
    assert found["rmsle"] < 0.38


@pytest.mark.parametrize("day", ["1969-12-31", "1970-01-01", "2012-02-29", "2100-12-31"])
def test_hour_of_a_moment_is_numpy_s(day: str) -> None:
    """Rows by column have the hour that NumPy finds for a moment, minutes cut off."""
    moment = at(day, 23)["timestamp"].replace(minute=59)
    fields = {field.name: field.example for field in BIKES.fields}
    column = columns_of([fields | {"timestamp": moment}], BIKES)["timestamp"]
    wanted = np.array([moment], "datetime64[h]")
    assert column.dtype == wanted.dtype
    np.testing.assert_array_equal(column, wanted)

"""The task `bikes`: rentals of a bike-sharing system in one hour."""

from functools import cache
from typing import Any

import numpy as np

from models import calendar
from models.arrays import Columns, FloatArray, IntArray, Row, any_of
from models.task import Field, Task

WEATHERS = ("clear", "mist", "light_precipitation", "heavy_precipitation")
"""UCI's `weathersit` 1 to 4."""

OF_DAY = (*calendar.DAY_VARIABLES, "working_day", "day_type", "day", "week")
"""What follows from the date alone, beside `calendar.DAY_VARIABLES`.

working_day : 1 on Monday to Friday, except days off.
day_type : the weekday, 0 = Monday; a day off counts as a Sunday, a federal-only holiday as 7.
day, week : number of the day (0 to 730) and of its week (0 to 104) in 2011 and 2012, for a model that
    fills gaps between hours that it has seen; other dates count as the nearest.
"""

VARIABLES = (
    *OF_DAY,
    "hour",
    "sun",
    "temperature",
    "feels_like",
    "humidity",
    "wind_speed",
    "weather",
)
"""What the networks may read. sun : the elevation of the sun in degrees."""

LAST_DAY = 730
"""2012-12-31, counted from `calendar.EPOCH`."""

_AT = {name: i for i, name in enumerate(VARIABLES)}
_SUNDAY, _FEDERAL = 6, 7


def fill_feels_like(feels_like: FloatArray, temperature: FloatArray) -> FloatArray:
    """`feels_like` with each missing (NaN) value filled from the temperature, both in °C."""
    return np.where(np.isnan(feels_like), temperature, feels_like)


@cache
def days_of(year: int) -> FloatArray:
    """The variables of each date of a year: (n_days, len(OF_DAY))."""
    of_day = calendar.year_table(year)
    table = np.empty((len(of_day), len(OF_DAY)))
    table[:, : of_day.shape[1]] = of_day
    _derive_kinds(table.T)
    day = np.clip(table[:, _AT["day_index"]], 0.0, LAST_DAY)
    table[:, _AT["day"]] = day
    table[:, _AT["week"]] = day // 7.0
    table.setflags(write=False)  # shared by every thread
    return table


def _derive_kinds(rows: FloatArray) -> None:
    """Fill in `working_day` and `day_type` of `rows` (at least len(OF_DAY), n) from the other variables."""
    weekday, off = rows[_AT["weekday"]], rows[_AT["day_off"]] > 0
    rows[_AT["working_day"]] = (weekday < calendar.SATURDAY) & ~off
    kind = np.where(off, _SUNDAY, weekday)
    rows[_AT["day_type"]] = np.where(rows[_AT["federal_only"]] > 0, _FEDERAL, kind)


def derive(columns: Columns) -> FloatArray:
    """The variables of each row: (n_rows, len(VARIABLES)).

    A `holiday` that was given and contradicts the calendar overrules it: it decides about the day off.
    """
    hours = columns["timestamp"].astype("datetime64[h]", copy=False).view(np.int64)
    days = hours // 24
    hour_of_day = hours - 24 * days
    rows = np.empty((len(VARIABLES), len(hours)))  # the values of a variable lie together
    calendar.write_hours(days_of, days, hour_of_day, rows[: len(OF_DAY)], rows[_AT["sun"]])
    _overrule(columns["holiday"], rows)
    rows[_AT["hour"]] = hour_of_day
    for name in ("temperature", "humidity", "wind_speed", "weather"):
        rows[_AT[name]] = columns[name]
    rows[_AT["feels_like"]] = fill_feels_like(columns["feels_like"], columns["temperature"])
    return rows.T


def _overrule(given: IntArray, rows: FloatArray) -> None:
    """Update `rows` (len(VARIABLES), n_rows) where `holiday` was `given` (n_rows,) and overrules."""
    differs = given != rows[_AT["holiday"]]
    if any_of(differs):  # rarely true where every row gives it
        (decided,) = np.nonzero(differs & (given >= 0))
        changed = rows[:, decided]
        holiday = given[decided] > 0
        changed[_AT["holiday"]] = holiday
        changed[_AT["day_off"]] = (changed[_AT["weekday"]] < calendar.SATURDAY) & holiday
        changed[_AT["federal_only"]] = 0
        _derive_kinds(changed)
        rows[:, decided] = changed


def split(row: Row) -> tuple[tuple[Any, ...], tuple[float, ...]]:
    """The values of `recurring` and `varying` in one row."""
    temperature, felt = row["temperature"], row["feels_like"]
    return (
        (row["timestamp"], row["weather"], row["holiday"]),
        (
            temperature,
            temperature if felt is None else felt,
            row["humidity"],
            row["wind_speed"],
        ),
    )


BIKES = Task(
    name="bikes",
    title="Bike rentals in one hour",
    fields=(
        Field(
            "timestamp",
            "timestamp",
            "The hour of the forecast, ISO 8601, in Washington, D.C.: without an offset local "
            "time, with one it is converted to America/New_York; minutes are dropped",
            example="2012-06-01T17:00:00",
            unit="local time",
            low=calendar.FIRST_YEAR,
            high=calendar.LAST_YEAR,
        ),
        Field("temperature", "number", "Air temperature", 24.0, unit="°C", low=-30, high=50),
        Field(
            "feels_like",
            "number",
            "Felt temperature; the air temperature where it is missing",
            25.0,
            unit="°C",
            low=-40,
            high=60,
            required=False,
        ),
        Field("humidity", "number", "Relative humidity", 55.0, unit="%", low=0, high=100),
        Field("wind_speed", "number", "Wind speed", 12.0, unit="km/h", low=0, high=120),
        Field("weather", "category", "Weather situation", "clear", choices=WEATHERS),
        Field(
            "holiday",
            "boolean",
            "Whether the day is a public holiday; by default what the calendar of the District of "
            "Columbia says",
            example=False,
            required=False,
        ),
    ),
    variables=VARIABLES,
    derive=derive,
    recurring=("timestamp", "weather", "holiday"),
    varying=("temperature", "feels_like", "humidity", "wind_speed"),
    split=split,
    target="rentals",
    unit="rentals per hour",
    bounds=(0.0, float("inf")),
    limits_of_use=(
        "It knows one system, Capital Bikeshare in Washington, D.C., by the hours it was trained on.",
        (
            "After the last of them the growth of the system is held at its level: later years are an "
            "extrapolation."
        ),
        (
            "The weather of the hour is taken as known; with a forecast of the weather the error is "
            "larger."
        ),
    ),
)

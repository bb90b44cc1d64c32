"""The calendar rules against the data: they hold on every one of the 731 days."""

import csv
import os
import subprocess
import sys
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from models import calendar, timestamps
from models.arrays import FloatArray, IntArray
from tests.process import ROOT
from training.data import DATASETS

Row = dict[str, str]


@pytest.fixture(scope="module")
def days() -> dict[date, Row]:
    """The first row of each day of the embedded file, as text."""
    found: dict[date, Row] = {}
    with (DATASETS / "hour.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(date.fromisoformat(row["dteday"]), row)
    return found


@pytest.fixture(scope="module")
def table(days: dict[date, Row]) -> dict[str, list[float]]:
    """The calendar's variables of the same days, by name."""
    rows = calendar.day_rows(np.array(list(days), dtype="datetime64[D]"))
    return {name: rows[:, i].tolist() for i, name in enumerate(calendar.DAY_VARIABLES)}


def test_all_days_are_there(days: dict[date, Row]) -> None:
    """The file has every day of 2011 and 2012."""
    assert len(days) == 731


def test_seasons(days: dict[date, Row], table: dict[str, list[float]]) -> None:
    """UCI's season code less one is the index into SEASONS on every day: its code 1 is winter."""
    assert table["season"] == [int(row["season"]) - 1 for row in days.values()]


def test_holidays(days: dict[date, Row], table: dict[str, list[float]]) -> None:
    """The calendar's holidays are the file's on every day."""
    assert table["holiday"] == [int(row["holiday"]) for row in days.values()]


def test_weekdays(days: dict[date, Row], table: dict[str, list[float]]) -> None:
    """Weekdays count from Monday; UCI counts from Sunday."""
    assert table["weekday"] == [(int(row["weekday"]) - 1) % 7 for row in days.values()]


def test_working_days(days: dict[date, Row], table: dict[str, list[float]]) -> None:
    """A working day is Monday to Friday and no holiday, on every day."""
    working = [
        weekday < 5 and not holiday
        for weekday, holiday in zip(table["weekday"], table["holiday"], strict=True)
    ]
    assert working == [row["workingday"] == "1" for row in days.values()]


def test_month_and_day_index(days: dict[date, Row], table: dict[str, list[float]]) -> None:
    """The month, counted from 0, and the day index are the date's."""
    assert table["month"] == [day.month - 1 for day in days]
    assert table["day_index"] == list(range(731))


def test_rows_of_any_order_and_year() -> None:
    """Days of several years come back in the order in which they were asked for."""
    asked = np.array(["2100-12-31", "1970-01-01", "2012-02-29"], dtype="datetime64[D]")
    rows = calendar.day_rows(asked)
    assert rows[:, 0].tolist() == [32871, -14975, 424]
    assert rows[:, 1].tolist() == [11, 0, 1]


def test_bridges_are_taken_off() -> None:
    """A day between days that everyone has off is off: the lone Monday before a Tuesday's holiday."""
    off = ("2011-11-25", "2012-12-24", "2012-12-31", "2014-12-26")
    worked = ("2011-12-27", "2012-04-16", "2012-07-03", "2014-11-10")
    assert [calendar.is_day_off(date.fromisoformat(day)) for day in off] == [True] * 4
    assert [calendar.is_day_off(date.fromisoformat(day)) for day in worked] == [False] * 4


def test_federal_only_holidays(days: dict[date, Row]) -> None:
    """Four holidays a year are the government's more than the town's, and each is a holiday."""
    found = [day for day in days if calendar.is_federal_only(day)]
    assert len(found) == 8
    assert all(days[day]["holiday"] == "1" for day in found)


@pytest.mark.parametrize(
    ("year", "first"), [(2011, 24), (2012, 22), (2013, 24), (2015, 24), (2017, 23)]
)
def test_leave_begins_with_the_days_off_that_lead_to_christmas(year: int, first: int) -> None:
    """From that day on the town is away; two days before it the leaving begins."""
    leave = date(year, 12, first)
    assert calendar.christmas_leave(year) == leave
    shares = [calendar.away_share(leave + timedelta(days=i)) for i in (-3, -2, -1, 0)]
    assert shares == [0.0, 0.25, 0.5, 1.0]
    assert calendar.away_share(date(year, 12, 25)) == 1.0


def test_the_town_returns_in_january() -> None:
    """After Christmas the share falls day by day, over the turn of the year, to 0."""
    shares = [calendar.away_share(date(2011, 12, 25) + timedelta(days=i)) for i in range(14)]
    assert shares == sorted(shares, reverse=True)
    assert shares[7] == pytest.approx(5 / 12)
    assert shares[12:] == [0.0, 0.0]


def _place(day: str) -> int:
    """The number of a day in its year, from 0."""
    return date.fromisoformat(day).timetuple().tm_yday - 1


@pytest.mark.parametrize(
    ("day", "hour", "height"),
    [("2012-06-20", 12, 74.4), ("2012-12-21", 12, 27.7), ("2012-03-20", 12, 50.9)],
    ids=["midsummer", "midwinter", "equinox"],
)
def test_sun_at_noon(day: str, hour: int, height: float) -> None:
    """The highest sun of a day is 90 degrees less the latitude, plus the declination."""
    heights = calendar.sun_table(2012)[_place(day)]
    assert heights.max() == pytest.approx(height, abs=1.0)
    assert heights[hour : hour + 2].max() == heights.max()


def test_sun_goes_by_the_clock() -> None:
    """Sunset in Washington: 18:05 on 3 November 2012, 17:03 two days later, on winter time."""
    summer, winter = calendar.sun_table(2012)[[_place("2012-11-03"), _place("2012-11-05")]]
    assert summer[17] > 0 > summer[18]
    assert winter[16] > 0 > winter[17]


def test_every_year_of_the_range_has_tables() -> None:
    """The first and the last year are as whole as the others, and those to which an offset may lead."""
    texts = ["1970-01-01T00:30+02:00", "2100-12-31T23:00-12:00"]
    before, after = (timestamps.parse(text).year for text in texts)
    assert (before, after) == (calendar.FIRST_YEAR - 1, calendar.LAST_YEAR + 1)
    for year in (before, calendar.FIRST_YEAR, calendar.LAST_YEAR, after):
        assert np.isfinite(calendar.year_table(year)).all()
        assert np.isfinite(calendar.sun_table(year)).all()


@pytest.mark.parametrize("year", [1969, 1970, 1974, 1999, 2000, 2012, 2019, 2057, 2100, 2101])
def test_table_of_a_year_is_what_the_rules_say_of_each_day(year: int) -> None:
    """No day is left out where a rule is asked of some days only, nor a change of the clock."""
    table = calendar.year_table(year)
    days = [date(year, 1, 1) + timedelta(days=i) for i in range(len(table))]
    wanted = {
        "month": [day.month - 1 for day in days],
        "season": [calendar.season_of(day) for day in days],
        "day_off": [calendar.is_day_off(day) for day in days],
        "federal_only": [calendar.is_federal_only(day) for day in days],
        "away": [max(calendar.away_share(day), 0.0) for day in days],
    }
    found = {name: table[:, calendar.DAY_VARIABLES.index(name)].tolist() for name in wanted}
    assert found == wanted
    noons = [datetime(day.year, day.month, day.day, 12, tzinfo=calendar.TIME_ZONE) for day in days]
    offsets = [noon.utcoffset() / timedelta(hours=1) for noon in noons]  # type: ignore[operator]
    assert calendar._hours_from_utc(year, len(days)).tolist() == offsets


def _written(days: IntArray, hours: IntArray) -> FloatArray:
    """The variables of each day, and last the sun's elevation at its hour: (n, n_variables + 1)."""
    found = np.empty((len(calendar.DAY_VARIABLES) + 1, len(days)))
    numbers = days.astype(np.int64)
    calendar.write_hours(calendar.year_table, numbers, hours, found[:-1], found[-1])
    return found.T


@pytest.mark.parametrize("years", [1, calendar.FEW_YEARS, 131])
def test_a_day_is_the_same_among_others(years: int) -> None:
    """A day's variables and the sun's height do not depend on the days that are asked for with it."""
    rng = np.random.default_rng(years)
    first = np.datetime64("1970-01-01" if years > calendar.FEW_YEARS else "2011-01-01", "D")
    days: Any = first + rng.integers(0, 365 * years, 40)
    hours = rng.integers(0, 24, 40)
    alone = [_written(days[i : i + 1], hours[i : i + 1]) for i in range(40)]
    np.testing.assert_array_equal(_written(days, hours), np.concatenate(alone))
    np.testing.assert_array_equal(_written(days, hours)[:, :-1], calendar.day_rows(days))
    assert (calendar.day_rows(days)[:, 0] == (days - np.datetime64("2011-01-01")).astype(int)).all()


ONE_COUNTRY = """
import sys
from models import calendar
assert [name for name in sys.modules if name.startswith("holidays.countries")] == [
    "holidays.countries.united_states"
]
import holidays
for year in range(calendar.FIRST_YEAR, calendar.LAST_YEAR + 1):
    listed = holidays.country_holidays("US", subdiv="DC", years=year)
    wanted = {day: name for day, name in listed.items() if day.year == year and day.weekday() < 5}
    assert calendar.holidays_of(year) == wanted
assert holidays.country_holidays("DE", years=2020)
"""


def test_system_without_time_zones_is_enough() -> None:
    """A minimal image has no database of time zones; a package carries one for it."""
    code = "from models.calendar import TIME_ZONE; print(TIME_ZONE)"
    without = {**os.environ, "PYTHONTZPATH": ""}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=without)


def test_one_country_is_imported_and_says_what_the_package_says() -> None:
    """A serving process does without 250 countries; their package is whole for whoever asks for it."""
    subprocess.run([sys.executable, "-c", ONE_COUNTRY], check=True, cwd=ROOT)

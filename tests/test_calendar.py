"""The calendar rules against the data: they hold on every one of the 731 days."""

import csv
from datetime import date

import numpy as np
import pytest

from models import calendar
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

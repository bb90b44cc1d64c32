"""The calendar of Washington, D.C.: what a date says about the day, as a table of each year.

The rules hold on every one of the 731 days of the data (a test checks it): seasons start on 21 March,
21 June, 23 September and 21 December; a holiday is a day that the `holidays` package lists for the
District of Columbia, observed days included, and that falls on Monday to Friday; a working day is
Monday to Friday and no holiday.
"""

from datetime import date, timedelta
from functools import cache

import holidays
import numpy as np

from models.arrays import FloatArray, IntArray

FIRST_YEAR, LAST_YEAR = 1970, 2100
EPOCH = date(2011, 1, 1)
"""Day 0 of the growth trend: the first day of the data."""

SEASONS = ("winter", "spring", "summer", "autumn")
_SEASON_STARTS = ((3, 21), (6, 21), (9, 23), (12, 21))

DAY_VARIABLES = (
    "day_index",
    "year",
    "month",
    "weekday",
    "season",
    "calendar_holiday",
    "sin_year",
    "cos_year",
    "sin_half_year",
    "cos_half_year",
)
"""The columns of `year_table`. weekday: 0 = Monday; season: index into SEASONS; day_index: days
since EPOCH; the last four: the first two annual harmonics."""


def season_of(day: date) -> int:
    """Index into SEASONS."""
    return sum((day.month, day.day) >= start for start in _SEASON_STARTS) % 4


@cache
def holidays_of(year: int) -> dict[date, str]:
    """The holidays of a year that fall on Monday to Friday, with their names."""
    listed = holidays.country_holidays("US", subdiv="DC", years=year, observed=True)
    return {day: name for day, name in listed.items() if day.year == year and day.weekday() < 5}


@cache
def year_table(year: int) -> FloatArray:
    """The day variables of a year: (n_days, len(DAY_VARIABLES)), a row a day."""
    first = date(year, 1, 1)
    n_days = (date(year + 1, 1, 1) - first).days
    table = np.empty((n_days, len(DAY_VARIABLES)))
    for i in range(n_days):
        day = first + timedelta(days=i)
        angle = 2.0 * np.pi * i / n_days
        table[i] = (
            (day - EPOCH).days,
            year,
            day.month,
            day.weekday(),
            season_of(day),
            day in holidays_of(year),
            np.sin(angle),
            np.cos(angle),
            np.sin(2.0 * angle),
            np.cos(2.0 * angle),
        )
    table.setflags(write=False)  # shared by every thread
    return table


def day_rows(days: IntArray) -> FloatArray:
    """The day variables of each of `days` (datetime64[D], shape (n,)): (n, len(DAY_VARIABLES))."""
    years = days.astype("datetime64[Y]")
    numbers = years.astype(np.int64) + 1970
    offsets = (days - years.astype("datetime64[D]")).astype(np.int64)
    rows = np.empty((len(days), len(DAY_VARIABLES)))
    for year in np.unique(numbers).tolist():
        of_year = numbers == year
        rows[of_year] = year_table(year)[offsets[of_year]]
    return rows

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
    "month",
    "weekday",
    "season",
    "holiday",
    "day_off",
    "away",
    "sin_year",
    "cos_year",
    "sin_half_year",
    "cos_half_year",
)
"""The columns of `year_table`.

day_index : days since EPOCH. month : 0 = January. weekday : 0 = Monday. season : index into SEASONS.
holiday : 1 on a holiday. day_off : 1 on a Monday to Friday that people take off, see `is_day_off`.
away : 0 to 1, how far the town is away for Christmas or Thanksgiving, see `away_share`.
The last four : the first two annual harmonics.
"""

SATURDAY = 5
CHRISTMAS_RAMP, CHRISTMAS_RETURN = 4, 12
"""Days before Christmas over which the town empties, and after it over which it fills again."""
THANKSGIVING_AWAY = {-1: 0.3, 0: 1.0, 1: 0.7, 2: 0.4, 3: 0.3}
"""Days from Thanksgiving -> `away`."""
EMANCIPATION_DAYS = ((4, 15), (4, 16), (4, 17))
"""A holiday of the District of Columbia (16 April, observed), on which most of its commuters work."""


def season_of(day: date) -> int:
    """Index into SEASONS."""
    return sum((day.month, day.day) >= start for start in _SEASON_STARTS) % 4


@cache
def holidays_of(year: int) -> dict[date, str]:
    """The holidays of a year that fall on Monday to Friday, with their names."""
    listed = holidays.country_holidays("US", subdiv="DC", years=year, observed=True)
    return {
        day: name for day, name in listed.items() if day.year == year and day.weekday() < SATURDAY
    }


def thanksgiving(year: int) -> date:
    """The fourth Thursday of November."""
    first = date(year, 11, 1)
    return first + timedelta(days=(3 - first.weekday()) % 7 + 21)


def is_day_off(day: date) -> bool:
    """Whether a Monday to Friday is taken off: a holiday but Emancipation Day, or off by custom.

    By custom: the day after Thanksgiving and Christmas Eve.
    """
    if day.weekday() >= SATURDAY:
        return False
    if day in holidays_of(day.year):
        return (day.month, day.day) not in EMANCIPATION_DAYS
    return (day.month, day.day) == (12, 24) or (day - thanksgiving(day.year)).days == 1


def away_share(day: date) -> float:
    """0 on an ordinary day, up to 1 at Christmas and Thanksgiving."""
    christmas = date(day.year if day.month > 6 else day.year - 1, 12, 25)  # noqa: PLR2004
    after = (day - christmas).days
    ramp = 1.0 + after / CHRISTMAS_RAMP if after <= 0 else 1.0 - after / CHRISTMAS_RETURN
    from_thanksgiving = (day - thanksgiving(day.year)).days
    return max(ramp, THANKSGIVING_AWAY.get(from_thanksgiving, 0.0), 0.0)


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
            day.month - 1,
            day.weekday(),
            season_of(day),
            day in holidays_of(year),
            is_day_off(day),
            away_share(day),
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

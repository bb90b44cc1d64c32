"""The calendar of Washington, D.C.: what a date says about the day, as a table of each year.

The rules hold on every one of the 731 days of the data (a test checks it): seasons start on 21 March,
21 June, 23 September and 21 December; a holiday is a day that the `holidays` package lists for the
District of Columbia, observed days included, and that falls on Monday to Friday. UCI's `workingday` is
Monday to Friday and no holiday; the networks read which days people really take off (`is_day_off`).
"""

import sys
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from importlib import import_module, util
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from models.arrays import FloatArray, IntArray

FIRST_YEAR, LAST_YEAR = 1970, 2100
FEW_YEARS = 4
"""The most years between first and last that are looked up in one joined table without gaps."""
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
    "federal_only",
    "away",
    "sin_year",
    "cos_year",
    "sin_half_year",
    "cos_half_year",
)
"""The columns of `year_table`.

day_index : days since EPOCH. month : 0 = January. weekday : 0 = Monday. season : index into SEASONS.
holiday : 1 on a holiday. day_off : 1 on a Monday to Friday that people take off, see `is_day_off`.
federal_only : 1 on a holiday on which most private offices work, see `FEDERAL_ONLY`.
away : 0 to 1, how empty the town is around Christmas and Thanksgiving, see `away_share`.
The last four : the first two annual harmonics.
"""

SATURDAY = 5
CHRISTMAS_RETURN = 12
"""Days over which the town fills again after Christmas."""
LEAVING = {-2: 0.25, -1: 0.5}
"""Days relative to `christmas_leave` -> `away`."""
THANKSGIVING_AWAY = {-1: 0.3, 0: 1.0, 1: 0.7, 2: 0.4, 3: 0.3}
"""Days relative to Thanksgiving -> `away`."""
EMANCIPATION_DAYS = ((4, 15), (4, 16), (4, 17))
"""A holiday of the District of Columbia (16 April, observed), on which most of its commuters work."""
FEDERAL_ONLY = ("Martin Luther King", "Washington's Birthday", "Columbus Day", "Veterans Day")
"""Holidays of the government on which most private offices work: how their names begin."""
LATITUDE, LONGITUDE = 38.9, -77.0
TIME_ZONE = ZoneInfo("America/New_York")


def season_of(day: date) -> int:
    """Index into SEASONS."""
    return sum((day.month, day.day) >= start for start in _SEASON_STARTS) % 4


def _calendar_of_the_united_states() -> Any:
    """The holidays of the United States, without importing those of 250 other countries.

    They would take 9 MB, a tenth of a serving process. So during this import the package of countries is
    an empty module, whose `__init__` has not run; a later import of it runs as usual.
    """
    package = "holidays.countries"
    found = util.find_spec(package)
    bare = found is not None and package not in sys.modules
    if found is not None and bare:
        sys.modules[package] = util.module_from_spec(found)
    try:
        return import_module(f"{package}.united_states").US
    finally:
        if bare:
            del sys.modules[package]


_UnitedStates = _calendar_of_the_united_states()


@cache
def holidays_of(year: int) -> dict[date, str]:
    """The holidays of a year that fall on Monday to Friday, with their names."""
    listed = _UnitedStates(subdiv="DC", years=year, observed=True)
    return {
        day: name for day, name in listed.items() if day.year == year and day.weekday() < SATURDAY
    }


def thanksgiving(year: int) -> date:
    """The fourth Thursday of November."""
    first = date(year, 11, 1)
    return first + timedelta(days=(3 - first.weekday()) % 7 + 21)


@cache
def is_day_off(day: date) -> bool:
    """Whether people take a Monday to Friday off: a holiday except Emancipation Day, or by custom.

    By custom: Christmas Eve, and a bridge between two days off (as the day after Thanksgiving).
    """
    if day.weekday() >= SATURDAY:
        return False
    before, after = day - timedelta(days=1), day + timedelta(days=1)
    return is_kept(day) or _is_christmas_eve(day) or (is_free(before) and is_free(after))


def is_kept(day: date) -> bool:
    """Whether the town keeps the day as a holiday."""
    listed = day in holidays_of(day.year)
    return listed and (day.month, day.day) not in EMANCIPATION_DAYS


def is_free(day: date) -> bool:
    """Whether nearly everyone is free: on a weekend or a holiday of the whole town."""
    return day.weekday() >= SATURDAY or (is_kept(day) and not is_federal_only(day))


def _is_christmas_eve(day: date) -> bool:
    return (day.month, day.day) == (12, 24)


def is_federal_only(day: date) -> bool:
    """Whether the day is a holiday of the government more than of its town."""
    return holidays_of(day.year).get(day, "").startswith(FEDERAL_ONLY)


@cache
def christmas_leave(year: int) -> date:
    """The first of the consecutive days off that end with Christmas Day: from then on the town is away."""
    first = date(year, 12, 25)
    while is_free(before := first - timedelta(days=1)) or is_day_off(before):
        first = before
    return first


def away_share(day: date) -> float:
    """0 on an ordinary day, up to 1 at Christmas and Thanksgiving."""
    leave, christmas = christmas_leave(day.year), date(day.year, 12, 25)
    since = (day - (christmas if day > christmas else date(day.year - 1, 12, 25))).days
    before = 1.0 if leave <= day <= christmas else LEAVING.get((day - leave).days, 0.0)
    after = 1.0 - since / CHRISTMAS_RETURN
    return max(before, after, THANKSGIVING_AWAY.get((day - thanksgiving(day.year)).days, 0.0))


@cache
def year_table(year: int) -> FloatArray:
    """The day variables of a year: (n_days, len(DAY_VARIABLES)), a row a day.

    The expensive rules are evaluated only for the days on which they can apply.
    """
    first, last = date(year, 1, 1), date(year, 12, 31)
    n_days = (last - first).days + 1
    listed = holidays_of(year)
    # a bridge day is next to a holiday, perhaps of the next year or the last
    off = {day + timedelta(days=by) for day in listed for by in (-1, 0, 1)}
    off |= {date(year, 12, 24), first, last}
    away = [
        first + timedelta(days=i) for i in (*range(CHRISTMAS_RETURN), *range(n_days - 61, n_days))
    ]
    index = np.arange(n_days)
    starts = [(date(year, *start) - first).days for start in _SEASON_STARTS]
    angle = 2.0 * np.pi * index / n_days
    columns = {
        "day_index": index + (first - EPOCH).days,
        "month": (np.datetime64(first) + index).astype("datetime64[M]").astype(np.int64) % 12,
        "weekday": (index + first.weekday()) % 7,
        "season": np.searchsorted(starts, index, side="right") % 4,
        "holiday": _of_days(year, n_days, dict.fromkeys(listed, True)),
        "day_off": _of_days(year, n_days, {day: is_day_off(day) for day in off}),
        "federal_only": _of_days(year, n_days, {day: is_federal_only(day) for day in listed}),
        "away": _of_days(year, n_days, {day: away_share(day) for day in away}),
        "sin_year": np.sin(angle),
        "cos_year": np.cos(angle),
        "sin_half_year": np.sin(2.0 * angle),
        "cos_half_year": np.cos(2.0 * angle),
    }
    table = np.stack([columns[name] for name in DAY_VARIABLES], axis=1)
    table.setflags(write=False)  # shared by every thread
    return table


def _of_days(year: int, n_days: int, values: Mapping[date, float]) -> FloatArray:
    """The values of some days of a year, 0 on all others: (n_days,)."""
    column = np.zeros(n_days)
    for day, value in values.items():
        if day.year == year:
            column[(day - date(year, 1, 1)).days] = value
    return column


@cache
def sun_table(year: int) -> FloatArray:
    """The sun's elevation in degrees at half past each hour of local time: (n_days, 24).

    Declination (Cooper 1969) and equation of time (as in Kalogirou 2009) are truncated harmonic series.
    Whether summer time holds is decided at noon, for the whole day.
    """
    n_days = (date(year + 1, 1, 1) - date(year, 1, 1)).days
    offsets = _hours_from_utc(year, n_days)
    turn = 2.0 * np.pi * (np.arange(n_days) - 80) / 365.0
    declination = np.deg2rad(23.45) * np.sin(turn)
    minutes = 9.87 * np.sin(2.0 * turn) - 7.53 * np.cos(turn) - 1.5 * np.sin(turn)
    solar_less_local = LONGITUDE / 15.0 - offsets + minutes / 60.0
    solar = np.arange(24) + 0.5 + solar_less_local[:, None]
    latitude = np.deg2rad(LATITUDE)
    height = np.sin(latitude) * np.sin(declination)[:, None]
    height = height + np.cos(latitude) * np.cos(declination)[:, None] * np.cos(
        np.pi / 12.0 * (solar - 12.0)
    )
    table: FloatArray = np.rad2deg(np.arcsin(height))
    table.setflags(write=False)  # shared by every thread
    return table


def _hours_from_utc(year: int, n_days: int) -> FloatArray:
    """The offset of local time at noon of each day: (n_days,).

    Looked up for the first and the last day of each week, and for the days between if those differ.
    """
    noon = datetime(year, 1, 1, 12, tzinfo=TIME_ZONE)

    def hours(day: int) -> float:
        offset = (noon + timedelta(days=day)).utcoffset()
        assert offset is not None, "an aware time has an offset"  # noqa: S101
        return offset.total_seconds() / 3600.0

    offsets = np.empty(n_days)
    for start in range(0, n_days, 7):
        days = range(start, min(start + 7, n_days))
        ends = {hours(days[0]), hours(days[-1])}
        offsets[days] = [*ends] * len(days) if len(ends) == 1 else [hours(day) for day in days]
    return offsets


def _join(table_of: Callable[[int], FloatArray], years: tuple[int, ...]) -> FloatArray:
    """The tables of `years`, concatenated, one column per day: (n_values, n_days)."""
    table = np.ascontiguousarray(np.concatenate([table_of(year) for year in years]).T)
    table.setflags(write=False)  # shared by every thread
    return table


_few_joined = lru_cache(maxsize=8)(_join)
_many_joined = lru_cache(maxsize=2)(_join)
"""For rows spread over the whole range, of which nearly every batch has a day of every year."""


def _joined(table_of: Callable[[int], FloatArray], years: tuple[int, ...]) -> FloatArray:
    return (_few_joined if len(years) <= FEW_YEARS else _many_joined)(table_of, years)


def _place(days: IntArray) -> tuple[tuple[int, ...], IntArray]:
    """The years of `days` since 1970 (n,), and the column of each day in their joined table: (n,)."""
    if not len(days):
        return (EPOCH.year,), days
    first, last = (_date(day).year for day in (days.min().item(), days.max().item()))
    if last - first < FEW_YEARS:
        return tuple(range(first, last + 1)), days - _day_number(date(first, 1, 1))
    of_day = days.astype("datetime64[D]").astype("datetime64[Y]")
    which = of_day.astype(np.int64) + (1970 - first)
    found = np.flatnonzero(np.bincount(which))
    years = tuple((found + first).tolist())
    starts = np.zeros(last - first + 1, dtype=np.int64)
    starts[found] = np.cumsum([0, *(len(year_table(year)) for year in years[:-1])])
    offsets = days - of_day.astype("datetime64[D]").astype(np.int64)
    return years, starts[which] + offsets


_DAY_0 = date(1970, 1, 1).toordinal()


def _date(day: int) -> date:
    return date.fromordinal(_DAY_0 + day)


def _day_number(day: date) -> int:
    return day.toordinal() - _DAY_0


def day_rows(days: NDArray[np.datetime64]) -> FloatArray:
    """The day variables of each of `days`, (n,): (n, len(DAY_VARIABLES))."""
    years, places = _place(days.astype("datetime64[D]").astype(np.int64))
    return _joined(year_table, years).take(places, axis=1).T


def write_hours(
    table_of: Callable[[int], FloatArray],
    days: IntArray,
    hours: IntArray,
    of_day: FloatArray,
    suns: FloatArray,
) -> None:
    """Look up what the calendar says about many hours, with as few calls of NumPy as possible.

    table_of : year -> (n_days, n_values), a cached function.
    days, hours : (n,), days since 1970 and hours of the day.
    of_day : (n_values, n), filled with the values of each day.
    suns : (n,), filled with the sun's elevation in degrees, at half past each hour.
    """
    years, places = _place(days)
    # "clip": with "raise" NumPy writes to a copy first
    _joined(table_of, years).take(places, axis=1, out=of_day, mode="clip")
    table = _joined(sun_table, years)
    table.ravel().take(hours * table.shape[1] + places, out=suns, mode="clip")

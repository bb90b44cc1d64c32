"""The variables of special days that our networks are given, so that the peers know as much.

All follow from the date and hour: days free by custom, the weeks when the town is away, the sun.
"""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.arrays import BoolArray, FloatArray

Days: TypeAlias = NDArray[np.datetime64]
THURSDAY = 3
LATITUDE, LONGITUDE, MERIDIAN = 38.9, -77.04, -75.0


def from_christmas(days: Days) -> FloatArray:
    """Signed days since the nearest 25 December, held at -12 and 14, (n,)."""
    years = days.astype("datetime64[Y]")
    distances = [_since(days, years + shift, 12, 25) for shift in (-1, 0)]
    signed = np.where(days.astype("datetime64[M]") - years < np.timedelta64(6, "M"), *distances)
    return np.clip(signed, -12.0, 14.0)


def from_thanksgiving(days: Days) -> FloatArray:
    """Signed days since the year's fourth Thursday of November, held at -3 and 4, (n,)."""
    years = days.astype("datetime64[Y]")
    first = (years.astype("datetime64[M]") + 10).astype("datetime64[D]")
    weekday = (first.astype(np.int64) + THURSDAY) % 7
    fourth = first + (THURSDAY - weekday) % 7 + 21
    return np.clip((days - fourth).astype(np.float64), -3.0, 4.0)


def _since(days: Days, years: Days, month: int, day: int) -> FloatArray:
    months = years.astype("datetime64[M]") + (month - 1)
    start = months.astype("datetime64[D]") + (day - 1)
    return np.asarray((days - start).astype(np.int64), dtype=np.float64)


def custom_day_off(values: Mapping[str, FloatArray]) -> BoolArray:
    """Christmas Eve and the day after Thanksgiving, (n_rows,)."""
    return np.asarray((values["christmas"] == -1) | (values["thanksgiving"] == 1))


def away(values: Mapping[str, FloatArray]) -> FloatArray:
    """How much of the town is away, 0 to 1: a ramp around Christmas, a few days at Thanksgiving."""
    since = values["christmas"]
    ramp = np.where(since <= 0, 1.0 + since / 4.0, 1.0 - since / 12.0)
    feast = np.array([0.0, 0.0, 0.3, 1.0, 0.7, 0.4, 0.3, 0.0])
    feasts = feast[values["thanksgiving"].astype(np.intp) + 3]
    return np.asarray(np.maximum(np.clip(ramp, 0.0, 1.0), feasts))


def sun(day_of_year: FloatArray, hour: FloatArray) -> FloatArray:
    """Elevation of the sun over Washington at half past the hour of standard time, degrees."""
    declination = np.deg2rad(23.44) * np.sin(2.0 * np.pi * (day_of_year - 80.0) / 365.25)
    angle = np.deg2rad(15.0 * (hour + 0.5 - 12.0) + LONGITUDE - MERIDIAN)
    latitude = np.deg2rad(LATITUDE)
    sine = np.sin(latitude) * np.sin(declination)
    sine = sine + np.cos(latitude) * np.cos(declination) * np.cos(angle)
    return np.asarray(np.rad2deg(np.arcsin(sine)))

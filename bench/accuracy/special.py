"""Days from Christmas and from Thanksgiving: what our networks know of them, left to a peer to use."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.arrays import FloatArray

Days: TypeAlias = NDArray[np.datetime64]
THURSDAY = 3


def from_christmas(days: Days) -> FloatArray:
    """Signed days since the nearest 25 December, held at -12 and 14, (n,)."""
    years = days.astype("datetime64[Y]")
    distances = [_since(days, years + np.timedelta64(shift, "Y"), 12, 25) for shift in (-1, 0)]
    signed = np.where(days.astype("datetime64[M]") - years < np.timedelta64(6, "M"), *distances)
    return np.clip(signed, -12.0, 14.0)


def from_thanksgiving(days: Days) -> FloatArray:
    """Signed days since the year's fourth Thursday of November, held at -3 and 4, (n,)."""
    years = days.astype("datetime64[Y]")
    first = (years.astype("datetime64[M]") + np.timedelta64(10, "M")).astype("datetime64[D]")
    weekday = (first.astype(np.int64) + THURSDAY) % 7
    fourth = first + (21 + (THURSDAY - weekday) % 7).astype("timedelta64[D]")
    return np.clip((days - fourth).astype(np.float64), -3.0, 4.0)


def _since(days: Days, years: Days, month: int, day: int) -> FloatArray:
    months = years.astype("datetime64[M]") + np.timedelta64(month - 1, "M")
    start = months.astype("datetime64[D]") + np.timedelta64(day - 1, "D")
    return np.asarray((days - start).astype(np.int64), dtype=np.float64)

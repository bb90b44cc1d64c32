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

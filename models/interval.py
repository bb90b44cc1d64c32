"""Intervals: how far an answer may be off, at any level from 0.5 to 0.99.

An interval is computed on a link's scale, as centre - below(level) * spread .. centre + above(level) *
spread, then mapped back and clipped to the task's bounds. Each row has its own spread. The two factors
were calibrated on rows that the networks did not learn from: conformal prediction (Vovk et al. 2005),
"normalised" or "locally weighted" by the spread (Lei et al. 2018). Those of a bootstrapped ensemble's
probability were calibrated on simulated rows, whose true probability is known.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.arrays import FloatArray
from models.errors import InputError
from models.links import LINKS

LOWEST_LEVEL, HIGHEST_LEVEL, DEFAULT_LEVEL = 0.5, 0.99, 0.9


@dataclass(frozen=True)
class Interval:
    """The calibration of a model's intervals.

    link : a name in `models.links.LINKS`.
    levels : (n,), increasing from LOWEST_LEVEL to HIGHEST_LEVEL.
    below, above : (n,), the factors of the spread at each level; linear in between.
    """

    link: str
    levels: FloatArray
    below: FloatArray
    above: FloatArray

    def ends(
        self, value: FloatArray, spread: FloatArray, level: float, bounds: tuple[float, float]
    ) -> tuple[FloatArray, FloatArray]:
        """The low and the high ends of the intervals around `value`; all arrays (n_rows,).

        bounds : of the task, in the unit of `value`.
        Raises InputError for a level outside the calibrated range.
        """
        link = LINKS[self.link]
        factors = self._default if level == DEFAULT_LEVEL else self._factors(level)
        ends = factors * spread
        ends += link.to_link(value)
        low, high = link.from_link(ends)
        return clipped(low, bounds[0], np.inf), clipped(high, -np.inf, bounds[1])

    def ends_of_one(
        self, value: float, spread: float, level: float, bounds: tuple[float, float]
    ) -> tuple[float, float]:
        """`ends` for a single row."""
        link = LINKS[self.link]
        below, above = self._default_numbers
        if level != DEFAULT_LEVEL:
            (below,), (above,) = self._factors(level).tolist()
        centre = link.number_to_link(value)
        low = link.number_from_link(centre + below * spread)
        high = link.number_from_link(centre + above * spread)
        return max(low, bounds[0]), min(high, bounds[1])

    def _factors(self, level: float) -> FloatArray:
        """The signed factors of the spread for the low and the high end: (2, 1)."""
        if not LOWEST_LEVEL <= level <= HIGHEST_LEVEL:
            raise InputError(
                f"level must be between {LOWEST_LEVEL} and {HIGHEST_LEVEL}, and is {level}"
            )
        below = np.interp(level, self.levels, self.below)
        above = np.interp(level, self.levels, self.above)
        return np.array([[-below], [above]])

    @cached_property
    def _default(self) -> FloatArray:
        return self._factors(DEFAULT_LEVEL)

    @cached_property
    def _default_numbers(self) -> tuple[float, float]:
        return self._default.item(0), self._default.item(1)


def clipped(values: FloatArray, low: float, high: float) -> FloatArray:
    """`values`, of any shape, clipped to [low, high]; an infinite bound costs nothing."""
    if low > -np.inf:
        values = np.maximum(values, low)
    return np.minimum(values, high) if high < np.inf else values

"""Calibrating intervals by how far the truth lay from the answers, on rows that training did not see."""

from statistics import NormalDist

import numpy as np

from models.arrays import FloatArray
from models.interval import HIGHEST_LEVEL, LOWEST_LEVEL, Interval
from models.links import LINKS

LEVELS = np.round(np.arange(LOWEST_LEVEL, HIGHEST_LEVEL + 0.005, 0.01), 2)
"""The levels at which an interval's factors are kept; between them they are interpolated."""


def conformal(
    link: str,
    value: FloatArray,
    target: FloatArray,
    spread: FloatArray,
    widening: float = 1.0,
) -> Interval:
    """The interval whose factors are quantiles of |target - value| / spread on the link's scale.

    value, target, spread : (n_rows,), of rows that the networks did not learn from. The quantile is
    the ceil((n + 1) level)-th smallest score (split conformal prediction, Lei et al. 2018), or the
    largest where n is too small for the level.
    widening : multiplies the factors, for answers that will be worse than these.
    """
    to_link = LINKS[link].to_link
    scores = np.sort(np.abs(to_link(target) - to_link(value)) / spread)
    # rounded, because 100 times 0.55 is a little more than 55
    ranks = np.ceil(np.round((len(scores) + 1) * LEVELS, 6)).astype(int) - 1
    factors = widening * scores[np.minimum(ranks, len(scores) - 1)]
    return Interval(link, LEVELS, factors, factors)


def highest_level(n_rows: int) -> float:
    """The highest of LEVELS that so many rows suffice for; above it `conformal` is too narrow."""
    return float(LEVELS[np.round((n_rows + 1) * LEVELS, 6) <= n_rows].max(initial=0.0))


def ensemble_spread(link: str, inflation: float) -> Interval:
    """The interval of +- z(level) * inflation standard deviations over the members of an ensemble.

    It is about the value that the model estimates (a probability), not about single outcomes.
    inflation : corrects the bootstrap's underestimate of the uncertainty; measured on simulated data, see
        `training.simulate`.
    """
    factors = np.array([NormalDist().inv_cdf(0.5 + level / 2.0) for level in LEVELS])
    return Interval(link, LEVELS, factors * inflation, factors * inflation)

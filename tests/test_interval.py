"""The interval around an answer, for many rows and for one."""

import numpy as np
import pytest

from models.interval import DEFAULT_LEVEL, Interval

LEVELS = np.array([0.5, 0.9, 0.99])


@pytest.mark.parametrize("level", [0.7, DEFAULT_LEVEL])
@pytest.mark.parametrize("bounds", [(0.0, 5.0), (0.0, np.inf), (-np.inf, 5.0), (-np.inf, np.inf)])
def test_no_end_lies_outside_the_bounds(bounds: tuple[float, float], level: float) -> None:
    """The factors of the level times the spread, kept inside the task's bounds on any link."""
    interval = Interval("identity", LEVELS, np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]))
    below, above = {0.7: (1.5, 3.0), DEFAULT_LEVEL: (2.0, 4.0)}[level]
    value, spread = np.array([1.0, 2.5]), np.array([9.0, 0.1])
    low, high = interval.ends(value, spread, level, bounds)
    np.testing.assert_allclose(low, np.maximum(value - below * spread, bounds[0]))
    np.testing.assert_allclose(high, np.minimum(value + above * spread, bounds[1]))
    alone = [interval.ends_of_one(*row, level, bounds) for row in zip(value, spread, strict=True)]
    np.testing.assert_allclose(np.array(alone).T, [low, high])

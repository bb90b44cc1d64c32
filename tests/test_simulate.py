"""Simulated applications: drawn as they should be, and intervals that hold the true probability."""

from dataclasses import replace

import numpy as np
import pytest

from models.arrays import FloatArray
from training import simulate
from training.admission import ADMISSION
from training.baselines import logistic_probability
from training.calibrate import ensemble_spread
from training.data import Dataset
from training.progress import Nobody

ROWS = np.arange(400)
SMALL = replace(ADMISSION, links=("logit",) * 32)


@pytest.fixture(scope="module")
def truth(admission: Dataset) -> FloatArray:
    """The known probability of every embedded application."""
    return logistic_probability(admission, ROWS, ROWS)


def test_outcomes_are_drawn_from_the_known_model(admission: Dataset, truth: FloatArray) -> None:
    """Applications are real ones; they are admitted as often as the known model says."""
    rng = np.random.default_rng(0)
    made = [simulate.draw(admission, ROWS, truth, rng) for _ in range(50)]
    known = {tuple(row) for row in np.column_stack(list(admission.columns.values())).tolist()}
    drawn = np.column_stack(list(made[0].columns.values())).tolist()
    assert {tuple(row) for row in drawn} <= known
    shares = [one.targets["admitted"].mean() for one in made]
    assert np.mean(shares) == pytest.approx(truth.mean(), abs=0.01)
    best = [one.targets["admitted"][one.columns["rank"] == 1].mean() for one in made]
    of_best = truth[admission.columns["rank"] == 1].mean()
    assert np.mean(best) == pytest.approx(of_best, abs=0.03)


def test_inflation_makes_the_coverage_exact(admission: Dataset) -> None:
    """The 90 % interval of the simulations that measured the inflation holds 90 % of the truths."""
    factor = simulate.inflation(SMALL, admission, ROWS, np.random.default_rng(0), Nobody(), 2)
    again = simulate.simulations(SMALL, admission, ROWS, np.random.default_rng(0), 2)
    interval = ensemble_spread("logit", factor)
    inside = []
    for one in again:
        low, high = interval.ends(one.value, one.spread, 0.9, (0.0, 1.0))
        inside.append((low <= one.truth) & (one.truth <= high))
    assert np.mean(inside) == pytest.approx(0.9, abs=0.003)


@pytest.mark.slow
def test_intervals_hold_the_true_probability(admission: Dataset) -> None:
    """On fresh simulations an interval holds the truth about as often as its level says.

    The applications of one simulation are right or wrong together: over 100 simulations the standard
    error of the coverage is about 0.02 at a level of 0.5, over 20 it would be 0.04.
    """
    factor = simulate.inflation(SMALL, admission, ROWS, np.random.default_rng(1), Nobody())
    interval = ensemble_spread("logit", factor)
    fresh = list(simulate.simulations(SMALL, admission, ROWS, np.random.default_rng(2), 100))
    for level in (0.5, 0.8, 0.9, 0.95):
        inside = []
        for one in fresh:
            low, high = interval.ends(one.value, one.spread, level, (0.0, 1.0))
            inside.append((low <= one.truth) & (one.truth <= high))
        assert np.mean(inside) == pytest.approx(level, abs=0.06)

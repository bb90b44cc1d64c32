"""Logistic regression: the best line, by an independent implementation, and where there is none."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from models.arrays import FloatArray
from training import logistic


@pytest.fixture
def rows() -> FloatArray:
    """Ones and two columns."""
    return np.column_stack([np.ones(200), np.random.default_rng(0).normal(size=(200, 2))])


@pytest.mark.parametrize("ridge", [0.0, 5.0])
def test_agrees_with_scikit_learn(rows: FloatArray, ridge: float) -> None:
    """The coefficients are scikit-learn's, without a penalty and with one."""
    target = (np.random.default_rng(1).random(200) < 0.3 + 0.2 * (rows[:, 1] > 0)).astype(float)
    penalty = np.inf if ridge == 0.0 else 1.0 / ridge
    fitted = LogisticRegression(C=penalty, fit_intercept=False, tol=1e-10, max_iter=1000)
    expected = fitted.fit(rows, target).coef_[0]
    got = logistic.coefficients(rows, target, ridge)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_separated_outcomes_need_a_ridge(rows: FloatArray) -> None:
    """Where a line separates the outcomes none is best; with a ridge one is."""
    target = (rows[:, 1] > 0.0).astype(float)
    assert np.isnan(logistic.coefficients(rows, target)).all()
    assert np.isfinite(logistic.coefficients(rows, target, ridge=1e-3)).all()


def test_a_step_that_leads_past_the_optimum_is_halved() -> None:
    """Of sums of money a few are huge: there a whole Newton step overshoots, and the next ones diverge."""
    rng = np.random.default_rng(450)
    columns = rng.lognormal(0.0, 5.0, size=(200, 2))
    target = (rng.random(200) < 1.0 / (1.0 + np.exp(-np.log(columns[:, 0])))).astype(float)
    rows = logistic.design(columns, columns)
    got = logistic.coefficients(rows, target, ridge=1e-3)
    slope = rows.T @ (1.0 / (1.0 + np.exp(-np.clip(rows @ got, -500, 500))) - target) + 1e-3 * got
    np.testing.assert_allclose(slope, 0.0, atol=1e-6)


def test_design_standardises_by_the_training_rows() -> None:
    """Means and scales are those of the training rows; a constant column stays at 0."""
    train = np.array([[1.0, 7.0], [3.0, 7.0]])
    got = logistic.design(np.array([[4.0, 7.0]]), train)
    np.testing.assert_array_equal(got, [[1.0, 2.0, 0.0]])


def test_design_knows_a_constant_column_in_spite_of_rounding() -> None:
    """The standard deviation of equal numbers may be a little more than 0, and is no scale."""
    got = logistic.design(np.array([[3.3], [4.0]]), np.full((400, 1), 3.3))
    np.testing.assert_allclose(got[:, 1], [0.0, 0.7], atol=1e-12)

"""Logistic regression by Newton's method, the yardstick of the admission networks.

It is what they are compared with beside the share of yes (`training.baselines`), the calibration line
(`training.metrics`) and the known truth of simulated applications (`training.simulate`).
"""

import numpy as np

from models.activations import sigmoid
from models.arrays import FloatArray

NEWTON_STEPS = 25
FLAT, STILL = 1e12, 1e-9
"""The condition number above which there is no unique optimum; the step at which Newton's method ends."""


def coefficients(rows: FloatArray, target: FloatArray, ridge: float = 0.0) -> FloatArray:
    """The maximum-likelihood b of P(target = 1) = sigmoid(rows @ b), (n_columns,).

    rows : (n_rows, n_columns), including a column of ones for the intercept.
    target : (n_rows,), 0 or 1.
    ridge : adds ridge / 2 * |b|^2 to the sum of the rows' losses; above 0 there is always a solution.
    All NaN if there is none: a single outcome, collinear columns, or perfectly separated outcomes.
    """

    def loss(b: FloatArray) -> float:
        z = rows @ b
        return float((np.logaddexp(0.0, z) - target * z).sum() + ridge / 2.0 * b @ b)

    b = np.zeros(rows.shape[1])
    for _ in range(NEWTON_STEPS):
        p = sigmoid(rows @ b)
        curvature = rows.T @ (rows * (p * (1.0 - p))[:, np.newaxis]) + ridge * np.eye(len(b))
        if np.linalg.cond(curvature) > FLAT:
            break
        step = np.linalg.solve(curvature, rows.T @ (target - p) - ridge * b)
        # far from the optimum a whole step may lead past it
        while loss(b + step) > loss(b) * (1.0 + STILL):
            step /= 2.0
        b += step
        if np.abs(step).max() < STILL:
            return b
    return np.full_like(b, np.nan)


def design(columns: FloatArray, train: FloatArray) -> FloatArray:
    """A column of ones and `columns`, standardised by the training rows: (n_rows, 1 + n_columns).

    columns : (n_rows, n_columns). train : (n_train, n_columns); a constant column becomes 0.
    """
    scale = train.std(axis=0)
    scale[np.ptp(train, axis=0) == 0.0] = 1.0  # rounding can make it a little more than 0
    return np.column_stack([np.ones(len(columns)), (columns - train.mean(axis=0)) / scale])

"""Logistic regression by Newton's method: the yardstick of the admission networks.

It is the simple forecast that they have to beat (`training.baselines`), the line of a calibration
(`training.metrics`) and the known truth of simulated applications (`training.simulate`).
"""

import numpy as np

from models.activations import sigmoid
from models.arrays import FloatArray

NEWTON_STEPS = 25
FLAT, STILL = 1e12, 1e-9
"""The condition number at which no line is best; the step at which Newton's method is done."""


def coefficients(rows: FloatArray, target: FloatArray, ridge: float = 0.0) -> FloatArray:
    """The b of P(target = 1) = sigmoid(rows @ b) with the smallest loss, (n_columns,).

    rows : (n_rows, n_columns), a column of ones for an intercept among them.
    target : (n_rows,), 0 or 1.
    ridge : adds ridge / 2 * |b|^2 to the sum of the rows' losses; above 0 one b is always best.
    All NaN where no b is best: one outcome only, columns that depend on each other, or a line that
    separates the outcomes.
    """
    b = np.zeros(rows.shape[1])
    for _ in range(NEWTON_STEPS):
        p = sigmoid(rows @ b)
        curvature = rows.T @ (rows * (p * (1.0 - p))[:, np.newaxis]) + ridge * np.eye(len(b))
        if np.linalg.cond(curvature) > FLAT:
            break
        step = np.linalg.solve(curvature, rows.T @ (target - p) - ridge * b)
        b += step
        if np.abs(step).max() < STILL:
            return b
    return np.full_like(b, np.nan)


def design(columns: FloatArray, train: FloatArray) -> FloatArray:
    """Ones beside `columns` standardised by those of the training rows: (n_rows, 1 + n_columns).

    columns : (n_rows, n_columns). train : (n_train, n_columns); a constant column becomes 0.
    """
    scale = train.std(axis=0)
    scale[scale == 0.0] = 1.0
    return np.column_stack([np.ones(len(columns)), (columns - train.mean(axis=0)) / scale])

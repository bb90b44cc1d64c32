"""The simple forecasts that a network has to beat."""

import numpy as np

from models.activations import sigmoid
from models.arrays import FloatArray, IntArray
from training import logistic
from training.data import Dataset

BASELINE_DAYS = 365
HOURS_OF_WEEK = 168
RIDGE = 1e-3
"""Too small to show in an answer, but keeps it finite where a few applications are separable."""

DESCRIPTIONS = {
    "bikes": f"mean of the hour of the week over the last {BASELINE_DAYS} training days",
    "admission": "share of the training applications that were admitted",
}

REFERENCE = "logistic regression on GRE, GPA and rank as numbers, without a penalty"


def baseline(dataset: Dataset, train: IntArray, test: IntArray) -> FloatArray:
    """The simple forecast for the rows `test`, (n_test,), learned from the rows `train`."""
    if "timestamp" in dataset.columns:
        return _hour_of_week(dataset, train, test)
    return np.full(len(test), dataset.outcome[train].mean())


def logistic_probability(dataset: Dataset, train: IntArray, asked: IntArray) -> FloatArray:
    """Logistic regression on the rows `train`: its probabilities for the rows `asked`, (n_asked,)."""
    columns = np.column_stack([dataset.columns[name] for name in ("gre", "gpa", "rank")])
    rows = logistic.design(columns, columns[train])
    line = logistic.coefficients(rows[train], dataset.outcome[train], RIDGE)
    return sigmoid(rows[asked] @ line)


def _hour_of_week(dataset: Dataset, train: IntArray, test: IntArray) -> FloatArray:
    hours = dataset.columns["timestamp"]
    days = hours.astype("datetime64[D]")
    recent = train[days[train] >= np.unique(days[train])[-BASELINE_DAYS:][0]]
    hour_of_week = hours.astype(np.int64) % HOURS_OF_WEEK
    happened = dataset.outcome
    sums = np.bincount(hour_of_week[recent], happened[recent], HOURS_OF_WEEK)
    counts = np.bincount(hour_of_week[recent], minlength=HOURS_OF_WEEK)
    overall = happened[recent].mean()  # for an hour of the week without a training row
    means = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
    return means[hour_of_week[test]]

"""The simple forecasts that a network has to beat."""

import numpy as np

from models.activations import sigmoid
from models.arrays import FloatArray, IntArray
from models.task import Field, Task
from training import logistic
from training.data import Dataset

BASELINE_DAYS = 365
HOURS_OF_WEEK = 168
RIDGE = 1e-3
"""Too small to show in an answer, but keeps it finite where a few applications are separable."""


def description(task: Task) -> str:
    """The simple forecast of a task, in words."""
    if task.threshold is not None:
        return f"share of the training rows that were {task.decision}"
    if task.time_field:
        return f"mean of the hour of the week over the last {BASELINE_DAYS} training days"
    return "mean of the training rows"


def reference(task: Task) -> str:
    """The logistic regression of a task that answers yes or no, in words."""
    names = ", ".join(field.name for field in _read_by_reference(task))
    if not names:
        return "logistic regression on no field, as none is a number that every row has"
    return f"logistic regression on {names} as numbers, without a penalty"


def baseline(dataset: Dataset, train: IntArray, test: IntArray) -> FloatArray:
    """The simple forecast for the rows `test`, (n_test,), learned from the rows `train`."""
    if dataset.task.time_field and dataset.task.threshold is None:
        return _hour_of_week(dataset, train, test)
    return np.full(len(test), dataset.outcome[train].mean())


def logistic_probability(dataset: Dataset, train: IntArray, asked: IntArray) -> FloatArray:
    """Logistic regression on the rows `train`: its probabilities for the rows `asked`, (n_asked,)."""
    numbers = [dataset.columns[field.name] for field in _read_by_reference(dataset.task)]
    columns = np.column_stack([np.empty((len(dataset), 0)), *numbers])  # also without any
    rows = logistic.design(columns, columns[train])
    line = logistic.coefficients(rows[train], dataset.outcome[train], RIDGE)
    return sigmoid(rows[asked] @ line)


def _read_by_reference(task: Task) -> list[Field]:
    """The numbers that every row has."""
    return [field for field in task.numbers if field.required]


def _hour_of_week(dataset: Dataset, train: IntArray, test: IntArray) -> FloatArray:
    hours = dataset.hours
    days = hours.astype("datetime64[D]")
    recent = train[days[train] >= np.unique(days[train])[-BASELINE_DAYS:][0]]
    hour_of_week = hours.astype(np.int64) % HOURS_OF_WEEK
    happened = dataset.outcome
    sums = np.bincount(hour_of_week[recent], happened[recent], HOURS_OF_WEEK)
    counts = np.bincount(hour_of_week[recent], minlength=HOURS_OF_WEEK)
    overall = happened[recent].mean()  # for an hour of the week without a training row
    means = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
    return means[hour_of_week[test]]

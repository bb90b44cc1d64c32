"""Evaluation protocols: which rows a recipe learns from, is selected by, and is tested on.

- `p1`, the lecture project's: the last 21 calendar days test, the 60 days before validation;
- `p1_refit`: the same test, trained on training and validation rows together;
- `p2`: random 80 / 10 / 10, five times;
- `p3`: days 20 to the end of every month test, days 17 to 19 validation;
- `rolling`: six test windows of 21 days through 2012, each trained on the days more than 60 before;
- `cv`: stratified 10-fold, once a partition;
- `holdout`, the lecture's for applications: a random tenth is the test, ten times.

Which of them a task has follows from what it is, see `of_task`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from models.arrays import BoolArray, FloatArray, IntArray
from models.calendar import EPOCH
from models.errors import TrainingError
from models.task import Task
from training.data import Dataset

TEST_DAYS, VALIDATION_DAYS = 21, 60
ROLLING_ORIGINS = (480, 520, 560, 600, 640, 680)
"""First test days, counted from 2011-01-01 = day 0."""
P3_VALIDATION, P3_TEST = 17, 20
"""The days of the month on which validation and test begin."""
P2_PARTITIONS, FOLDS, HOLDOUTS = 5, 10, 10

DESCRIPTIONS = {
    "p1": "the last 21 days, by a model that learned from the rows more than 60 days before them",
    "p1_refit": "the last 21 days, by a model that learned from all the days before them",
    "p2": "a random tenth of the rows, by a model that learned from eight other tenths; five times",
    "p3": "days 20 to the end of every month, by a model that learned from days 1 to 16",
    "rolling": "six windows of 21 days through 2012, by models that learned from the days more than 60 "
    "before each",
    "cv": "stratified 10-fold cross-validation: every row by a model that learned from the other folds",
    "holdout": "a random tenth of the rows, by a model that learned from the others; ten times",
}
"""What each protocol judges, in words that continue a sentence."""


@dataclass(frozen=True)
class Split:
    """Disjoint row numbers, each (n,) and ascending. `validation` is empty if the protocol has none."""

    name: str
    train: IntArray
    validation: IntArray
    test: IntArray


def splits(dataset: Dataset, protocol: str, seed: int = 0, partitions: int = 1) -> list[Split]:
    """The splits of a protocol.

    seed : of the first random partition (p2, cv, holdout); the following have seed + 1, ...
    partitions : how often cv is repeated, each time on other folds.
    Raises TrainingError for a protocol that the task does not have, or data that it cannot split.
    """
    known = of_task(dataset.task)
    if protocol not in known:
        raise TrainingError(
            f"{dataset.task.name} has no protocol {protocol!r}: choose one of {', '.join(known)}"
        )
    made = known[protocol](dataset, seed, partitions)
    for split in made:
        for rows, purpose in ((split.train, "learn from"), (split.test, "be judged on")):
            if not len(rows):
                words = f"{dataset.source} has no rows to {purpose} in the split {split.name!r}"
                raise TrainingError(f"{words}; it would judge {DESCRIPTIONS[protocol]}")
    return made


def days_of(dataset: Dataset) -> IntArray:
    """Days since 2011-01-01 of each row."""
    days = dataset.hours.astype("datetime64[D]") - np.datetime64(EPOCH)
    return days.astype(np.int64)


def _where(name: str, train: BoolArray, validation: BoolArray, test: BoolArray) -> Split:
    return Split(name, *(np.flatnonzero(rows) for rows in (train, validation, test)))


def _p1(dataset: Dataset, seed: int, partitions: int) -> list[Split]:
    del seed, partitions  # nothing here is random
    days = days_of(dataset)
    return [window("p1", days, days.max() - TEST_DAYS + 1)]


def _p1_refit(dataset: Dataset, seed: int, partitions: int) -> list[Split]:
    (p1,) = _p1(dataset, seed, partitions)
    nothing = np.empty(0, dtype=np.intp)
    return [Split("p1_refit", np.concatenate([p1.train, p1.validation]), nothing, p1.test)]


def _rolling(dataset: Dataset, seed: int, partitions: int) -> list[Split]:
    del seed, partitions
    days = days_of(dataset)
    return [window(f"rolling {origin}", days, origin) for origin in ROLLING_ORIGINS]


def window(name: str, days: IntArray, origin: int) -> Split:
    """TEST_DAYS of test from day `origin` on, VALIDATION_DAYS before it, training before that.

    days : (n_rows,), the day of each row, counted from any day.
    """
    start = origin - VALIDATION_DAYS
    return _where(
        name,
        days < start,
        (days >= start) & (days < origin),
        (days >= origin) & (days < origin + TEST_DAYS),
    )


def _p2(dataset: Dataset, seed: int, partitions: int) -> list[Split]:
    del partitions
    n_rows = len(dataset)
    cuts = [int(0.8 * n_rows), int(0.9 * n_rows)]
    made = []
    for i in range(seed, seed + P2_PARTITIONS):
        parts = np.split(np.random.default_rng(i).permutation(n_rows), cuts)
        made.append(Split(f"p2 {i}", *(np.sort(part) for part in parts)))
    return made


def _p3(dataset: Dataset, seed: int, partitions: int) -> list[Split]:
    del seed, partitions
    days = dataset.hours.astype("datetime64[D]")
    of_month = (days - days.astype("datetime64[M]")).astype(np.int64) + 1
    test = of_month >= P3_TEST
    validation = (of_month >= P3_VALIDATION) & ~test
    return [_where("p3", ~(test | validation), validation, test)]


def _cv(dataset: Dataset, seed: int, partitions: int) -> list[Split]:
    made = []
    for i in range(seed, seed + partitions):
        fold = stratified_folds(dataset.outcome, np.random.default_rng(i))
        nobody = np.zeros(len(fold), dtype=bool)
        made += [_where(f"cv {i}.{k}", fold != k, nobody, fold == k) for k in range(FOLDS)]
    return made


def _holdout(dataset: Dataset, seed: int, partitions: int) -> list[Split]:
    del partitions
    n_rows = len(dataset)
    made = []
    for i in range(seed, seed + HOLDOUTS):
        train, test = np.split(np.random.default_rng(i).permutation(n_rows), [n_rows * 9 // 10])
        nobody = np.empty(0, dtype=np.intp)
        made.append(Split(f"holdout {i}", np.sort(train), nobody, np.sort(test)))
    return made


def stratified_folds(classes: FloatArray, rng: np.random.Generator, folds: int = FOLDS) -> IntArray:
    """The fold of each row, (n_rows,): each class is shuffled and dealt out to the folds in turn."""
    fold = np.empty(len(classes), dtype=np.intp)
    order = [rng.permutation(np.flatnonzero(classes == value)) for value in np.unique(classes)]
    fold[np.concatenate(order)] = np.arange(len(classes)) % folds
    return fold


Protocols = Mapping[str, Callable[[Dataset, int, int], list[Split]]]

_OF_HOURS: Protocols = {
    "p1": _p1,
    "p1_refit": _p1_refit,
    "p2": _p2,
    "p3": _p3,
    "rolling": _rolling,
}
_OF_ROWS: Protocols = {"p2": _p2}
_OF_YES_OR_NO: Protocols = {"cv": _cv, "holdout": _holdout}


def of_task(task: Task) -> Protocols:
    """The protocols of a task, by name: those of a yes or no, of a forecast in time, or of any quantity."""
    if task.threshold is not None:
        return _OF_YES_OR_NO
    return _OF_HOURS if task.time_field else _OF_ROWS


def main(task: Task) -> str:
    """The protocol whose scores a training reports and puts on the model card."""
    return next(iter(of_task(task)))


def choosing(task: Task) -> str:
    """The protocol whose validation rows a search uses by default."""
    return "p3" if "p3" in of_task(task) else main(task)

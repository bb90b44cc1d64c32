"""The peers of the admission probability over 50 fixed partitions of stratified 10-fold.

Logistic regression without a penalty, with the rank as a number and as a category, and CatBoost,
whose settings are chosen inside every training part (a stratified fifth stops it and judges).

    python -m bench.accuracy.admission --partitions 50
"""

import argparse
import warnings
from collections.abc import Callable

import catboost
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from bench.accuracy.clock import add_deadline, late
from bench.accuracy.lines import RESULTS, Lines
from models.arrays import FloatArray
from training import data, metrics, protocols

Learner = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]
"""(x, y, new x) -> probabilities; x is (n_rows, 3): GRE, GPA, rank."""

CATBOOST_SETTINGS = (
    {"depth": 1, "learning_rate": 0.05, "l2_leaf_reg": 3.0},
    {"depth": 2, "learning_rate": 0.03, "l2_leaf_reg": 10.0},
    {"depth": 3, "learning_rate": 0.03, "l2_leaf_reg": 10.0},
    {"depth": 4, "learning_rate": 0.03, "l2_leaf_reg": 30.0},
)


def _logistic(x: FloatArray, y: FloatArray) -> LogisticRegression:
    return LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(x, y)


def logistic_numeric(x: FloatArray, y: FloatArray, new: FloatArray) -> FloatArray:
    """Logistic regression, the rank a number."""
    mean, scale = x.mean(axis=0), x.std(axis=0)
    return _logistic((x - mean) / scale, y).predict_proba((new - mean) / scale)[:, 1]


def logistic_category(x: FloatArray, y: FloatArray, new: FloatArray) -> FloatArray:
    """Logistic regression, the rank as three indicator columns."""
    mean, scale = x.mean(axis=0), x.std(axis=0)

    def columns(of: FloatArray) -> FloatArray:
        return np.column_stack([((of - mean) / scale)[:, :2], of[:, 2:] == [2, 3, 4]])

    return _logistic(columns(x), y).predict_proba(columns(new))[:, 1]


def _boost(rounds: int, settings: dict[str, float]) -> catboost.CatBoostClassifier:
    return catboost.CatBoostClassifier(
        iterations=rounds,
        thread_count=1,
        random_seed=0,
        verbose=False,
        allow_writing_files=False,
        **settings,
    )


def boosted(x: FloatArray, y: FloatArray, new: FloatArray) -> FloatArray:
    """CatBoost: settings and rounds chosen on a fifth of the rows, then learned from all."""
    inner_x, stop_x, inner_y, stop_y = train_test_split(
        x, y, test_size=0.2, stratify=y, random_state=0
    )
    found = []
    for settings in CATBOOST_SETTINGS:
        model = _boost(300, settings)
        model.fit(inner_x, inner_y, eval_set=(stop_x, stop_y), early_stopping_rounds=30)
        found.append(
            (log_loss(stop_y, model.predict_proba(stop_x)[:, 1]), model.tree_count_, settings)
        )
    _, rounds, settings = min(found, key=lambda trial: trial[0])
    return _boost(max(rounds, 1), settings).fit(x, y).predict_proba(new)[:, 1]


LEARNERS: dict[str, Learner] = {
    "logistic-numeric": logistic_numeric,
    "logistic-category": logistic_category,
    "catboost": boosted,
}


def out_of_fold(
    learner: Learner, x: FloatArray, y: FloatArray, folds: list[protocols.Split]
) -> FloatArray:
    """The probability of every row by the model that did not see it, (n_rows,)."""
    said = np.empty(len(y))
    for fold in folds:
        said[fold.test] = learner(x[fold.train], y[fold.train], x[fold.test])
    return said


def main() -> None:
    """Score every learner on every partition that has no line yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=50)
    until = add_deadline(parser)
    options = parser.parse_args()
    warnings.simplefilter("error")
    dataset = data.read("admission")
    x = np.column_stack([dataset.columns[name] for name in ("gre", "gpa", "rank")]).astype(
        np.float64
    )
    y = dataset.targets["admitted"]
    done = Lines(RESULTS / "admission.jsonl")
    for name, learner in LEARNERS.items():
        for seed in range(options.partitions):
            if late(until(options)):
                return
            if not done.where(peer=name, partition=seed):
                folds = protocols.splits(dataset, "cv", seed=seed)
                said = out_of_fold(learner, x, y, folds)
                done.add(peer=name, partition=seed, **metrics.classification(y, said))
        print(name, len(done.where(peer=name)), flush=True)


if __name__ == "__main__":
    main()

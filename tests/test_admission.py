"""The admission recipe: what it promises of its forecasts."""

import numpy as np
import pytest

from training import metrics
from training.admission import ADMISSION
from training.baselines import logistic_probability
from training.data import read
from training.pipeline import answers, fit_rows
from training.protocols import splits


@pytest.mark.slow
def test_better_and_better_calibrated_than_logistic_regression() -> None:
    """Out of fold on the same folds: lower log loss and Brier score, slope nearer to 1."""
    dataset = read("admission")
    target = dataset.targets["admitted"]
    ours, theirs = [], []
    for partition in range(3):
        said, reference = np.empty(len(dataset)), np.empty(len(dataset))
        for fold in splits(dataset, "cv", seed=partition):
            fitted = fit_rows(ADMISSION, dataset, fold.train, None, np.random.default_rng(0))
            said[fold.test] = answers(fitted, dataset, fold.test)
            reference[fold.test] = logistic_probability(dataset, fold.train, fold.test)
        ours.append(metrics.classification(target, said))
        theirs.append(metrics.classification(target, reference))
    mean = {
        name: np.mean([[a[name], b[name]] for a, b in zip(ours, theirs, strict=True)], axis=0)
        for name in ("log_loss", "brier", "slope", "intercept")
    }
    assert mean["log_loss"][0] < mean["log_loss"][1]
    assert mean["brier"][0] < mean["brier"][1]
    assert abs(mean["slope"][0] - 1.0) < abs(mean["slope"][1] - 1.0)
    assert abs(mean["intercept"][0]) < abs(mean["intercept"][1])

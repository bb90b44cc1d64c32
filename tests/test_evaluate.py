"""Judging a recipe: what is judged was not learned from, and the scores are what they say."""

from dataclasses import replace

import numpy as np
import pytest

from models.model import Prediction
from tests.parts import part_of
from training import catalogue, data, tables
from training.baselines import baseline, logistic_probability
from training.data import Dataset
from training.evaluate import evaluate, interval_scores
from training.metrics import classification, regression
from training.pipeline import answers, fit_rows
from training.progress import Nobody
from training.protocols import splits
from training.recipes import Recipe


def quick(name: str) -> Recipe:
    """A recipe that is fitted in a moment."""
    recipe = catalogue.RECIPES[name]
    fit = replace(recipe.fit, epochs=3, average_epochs=0, patience=0)
    return replace(recipe, links=recipe.links[:1], hidden=(6,), fit=fit, student=None)


def first_hours(n_rows: int) -> Dataset:
    """The first hours of the bike data."""
    return part_of(data.read("bikes"), np.arange(n_rows))


def with_other_targets(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """The data set with another truth in some rows."""
    targets = {name: values.copy() for name, values in dataset.targets.items()}
    for values in targets.values():
        values[rows] = 1.0 - values[rows] if dataset.task.name == "admission" else 7.0
    return replace(dataset, targets=targets)


def test_forecast_of_hours_does_not_depend_on_their_truth() -> None:
    """Change what happened in the test rows: forecast, interval and baseline stay as they were."""
    dataset = first_hours(3000)
    (before,) = evaluate(quick("bikes"), dataset, "p1", 0, 1, Nobody()).scores
    changed = with_other_targets(dataset, before.rows)
    (after,) = evaluate(quick("bikes"), changed, "p1", 0, 1, Nobody()).scores
    assert before.prediction is not None
    assert after.prediction is not None
    for name in ("value", "low", "high"):
        np.testing.assert_array_equal(
            getattr(before.prediction, name), getattr(after.prediction, name)
        )
    assert before.history == after.history
    assert before.metrics != after.metrics
    (p1,) = splits(dataset, "p1")
    simple = baseline(dataset, p1.train, p1.test)
    assert after.baseline == pytest.approx(regression(after.target, simple), nan_ok=True)


def test_each_fold_is_judged_by_what_the_others_teach() -> None:
    """Change what happened in a fold: its forecasts, ours and the simple ones, stay as they were."""
    dataset, recipe = data.read("admission"), quick("admission")
    (score,) = evaluate(recipe, dataset, "cv", 0, 1, Nobody()).scores
    assert score.reference is not None
    simple = np.empty(len(dataset))
    for split in splits(dataset, "cv"):
        changed = with_other_targets(dataset, split.test)
        fitted = fit_rows(recipe, changed, split.train, None, np.random.default_rng(0))
        of_fold = np.isin(score.rows, split.test)
        np.testing.assert_array_equal(score.rows[of_fold], split.test)
        np.testing.assert_array_equal(score.forecast[of_fold], answers(fitted, changed, split.test))
        theirs = logistic_probability(changed, split.train, split.test)
        np.testing.assert_array_equal(score.reference[of_fold], theirs)
        simple[of_fold] = dataset.outcome[split.train].mean()
    assert score.baseline == pytest.approx(classification(score.target, simple), nan_ok=True)


def test_folds_of_a_partition_are_judged_together() -> None:
    """A cross-validation gives one score a partition, over every row once."""
    dataset = data.read("admission")
    found = evaluate(quick("admission"), dataset, "cv", 5, 2, Nobody())
    assert [score.name for score in found.scores] == ["cv 5", "cv 6"]
    for score in found.scores:
        assert sorted(score.rows.tolist()) == list(range(400))
        assert 0.5 < score.metrics["log_loss"] < 0.8
    mean = found.mean(lambda score: score.metrics)
    assert mean["brier"] == pytest.approx(np.mean([s.metrics["brier"] for s in found.scores]))


def test_interval_scores_by_hand() -> None:
    """Coverage by day, width and interval score of four hours of two days, worked by hand."""
    bikes = data.read("bikes")
    rows = np.array([0, 1, 30, 31])
    target = np.array([10.0, 20.0, 30.0, 40.0])
    said = Prediction(target, np.array([5.0, 25.0, 20.0, 30.0]), np.array([15.0, 30.0, 40.0, 38.0]))
    found = interval_scores(bikes, rows, target, said)
    assert found["coverage"] == 0.5
    assert found["per_day"] == [[2, 1], [2, 1]]
    assert np.array(found["days"], "datetime64[D]").astype(str).tolist() == [
        "2011-01-01",
        "2011-01-02",
    ]
    assert found["standard_error"] == 0.0
    assert found["width"] == pytest.approx((10 + 5 + 20 + 8) / 4)
    # at the level 0.9 every unit outside costs 2 / 0.1 = 20: 5 below one, 2 above the other
    assert found["score"] == pytest.approx((10 + 5 + 20 + 8 + 20 * 5 + 20 * 2) / 4)


def test_standard_error_of_the_coverage_is_that_of_days() -> None:
    """Of whole days inside or outside it is the usual one of as many outcomes; of one day there is none."""
    bikes = data.read("bikes")
    days = bikes.columns["timestamp"].astype("datetime64[D]")
    # three days, whose numbers of hours differ a little
    rows = np.flatnonzero(days < days[0] + np.timedelta64(3, "D"))
    days = days[rows]
    target = np.zeros(len(rows))
    said = Prediction(target, np.where(days == days[0], 1.0, -1.0), np.full(len(rows), 2.0))
    found = interval_scores(bikes, rows, target, said)
    assert found["standard_error"] == pytest.approx(np.std([0, 1, 1], ddof=1) / 3**0.5, rel=0.1)
    first = Prediction(target[:5], said.low[:5], said.high[:5])
    assert interval_scores(bikes, rows[:5], target[:5], first)["standard_error"] is None


def test_line_on_the_intervals_pools_the_days_of_all_splits() -> None:
    """Two days, one wholly inside and one wholly outside: the standard error of two outcomes."""
    found = evaluate(quick("lecture-bikes"), first_hours(3000), "p1", 0, 1, Nobody())
    (score,) = found.scores
    assert score.interval is not None
    interval = score.interval | {"per_day": [[24, 24], [24, 0]], "days": [5, 6]}
    score = replace(score, interval=interval)
    for times in (1, 2):  # a day that is in two splits is one day
        lines = tables.remarks(replace(found, scores=(score,) * times))
        assert any("(standard error 0.500, by day)" in line for line in lines)
    alone = replace(score, interval=interval | {"per_day": [[24, 23]], "days": [5]})
    lines = tables.remarks(replace(found, scores=(alone,)))
    assert any("outcomes inside (all of one day)" in line for line in lines)


def test_logistic_regression_is_compared_row_by_row() -> None:
    """Each row's difference is averaged over the partitions; the interval is that of 400 rows."""
    dataset = data.read("admission")
    found = evaluate(quick("admission"), dataset, "cv", 0, 2, Nobody())
    reference = found.as_json()["reference"]
    differences = np.zeros((2, len(dataset)))
    for score, row in zip(found.scores, differences, strict=True):
        assert score.reference is not None
        for of, sign in ((score.forecast, 1.0), (score.reference, -1.0)):
            likelihood = np.where(score.target == 1.0, of, 1.0 - of)
            row[score.rows] -= sign * np.log(likelihood)
    each = differences.mean(axis=0)
    less = reference["log_loss_difference"]
    assert less["mean"] == pytest.approx(each.mean())
    assert less["high"] - less["low"] == pytest.approx(2 * 1.96 * each.std(ddof=1) / np.sqrt(400))
    ours = found.as_json()["metrics"]["log_loss"]
    assert ours - reference["metrics"]["log_loss"] == pytest.approx(less["mean"])


def test_an_evaluation_says_what_became_of_its_fits() -> None:
    """Scores of networks that stopped at once say so: else a rate that is too large looks like bad data."""
    recipe = quick("lecture-gre")
    wild = replace(recipe, fit=replace(recipe.fit, rate=100.0, epochs=100, check_every=1))
    found = evaluate(wild, data.read("admission"), "holdout", 0, 1, Nobody())
    told = [remark for score in found.scores for remark in score.remarks]
    assert len(told) > 1
    assert tables.remarks(found)[-1] == f"remark on {len(told)} fits, here of the first: {told[0]}"
    once = replace(found.scores[0], remarks=tuple(told[:1]))
    assert tables.remarks(replace(found, scores=(once,)))[-1] == f"remark on a fit: {told[0]}"
    assert "remark" not in tables.remarks(replace(found, scores=(replace(once, remarks=()),)))[-1]


def test_a_quantity_has_no_logistic_regression() -> None:
    """Of hours there is no such reference."""
    found = evaluate(quick("lecture-bikes"), first_hours(3000), "p1", 0, 1, Nobody())
    assert found.as_json()["reference"] is None

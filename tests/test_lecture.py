"""The lecture's networks: its recipes reach what the lecture's own networks reach."""

import math
from dataclasses import replace

import numpy as np
import pytest

from models.arrays import FloatArray, IntArray
from training import lecture, tables
from training.data import Dataset
from training.evaluate import evaluate
from training.pipeline import Regressor, fit_rows
from training.progress import Nobody
from training.protocols import splits
from training.recipes import Recipe


def answers(fitted: Regressor, dataset: Dataset, rows: IntArray) -> FloatArray:
    """What fitted networks answer for rows, (n_rows,)."""
    inputs = fitted.encoder.encode(dataset.task.derive(dataset.take(rows)))
    values: FloatArray = fitted.head.member_values(inputs).mean(axis=0)
    return values


@pytest.mark.parametrize("recipe", [lecture.BIKES, lecture.BIKES_DEEP], ids=lambda r: r.name)
def test_bikes_reach_the_courses_bar(bikes: Dataset, recipe: Recipe) -> None:
    """In P1 the validation mean squared error of the standardised rentals is below 0.18.

    Measured: 0.122 with one hidden layer, 0.123 with three; over seeds 0 to 4 at most 0.157 and 0.123.
    """
    (p1,) = splits(bikes, "p1")
    fitted = fit_rows(recipe, bikes, p1.train, p1.validation, np.random.default_rng(0))
    rentals = bikes.targets["rentals"]
    mean, scale = rentals[p1.train].mean(), rentals[p1.train].std()
    error = (answers(fitted, bikes, p1.validation) - rentals[p1.validation]) / scale
    assert np.square(error).mean() < 0.18
    assert fitted.head.mean.item() == pytest.approx(mean)
    losses = [check.validation for check in fitted.fitted.history if check.validation is not None]
    assert 2 * min(losses) == pytest.approx(np.square(error).mean(), rel=1e-3)
    assert fitted.fitted.history[-1].training < 0.25 * fitted.fitted.history[0].training


def test_gre_over_ten_seeds(admission: Dataset) -> None:
    """Over ten seeds the test accuracy is at least that of always answering "no"; it says by how much.

    Measured by `train evaluate admission --recipe lecture-gre --protocol holdout`: 69.0 % against
    68.5 %.
    """
    found = evaluate(lecture.GRE, admission, "holdout", seed=0, partitions=1, watch=Nobody())
    accuracy, always_no = found.mean(lambda score: score.metrics)["accuracy"], found.always_no
    assert len(found.scores) == 10
    assert always_no is not None
    assert always_no == pytest.approx(0.685)
    assert accuracy >= always_no
    assert accuracy == pytest.approx(0.69, abs=0.01)  # one row of the 400 is 0.0025
    ours = f"{accuracy:.4f} ({100 * (accuracy - always_no):+.2f} points)"
    assert f'accuracy: always answering "no" 0.6850, lecture-gre {ours}' in tables.remarks(found)


def test_bikes_say_what_they_reach(bikes: Dataset) -> None:
    """`train evaluate` shows the mean squared error that the course's bar is about."""
    recipe = replace(lecture.BIKES, fit=replace(lecture.BIKES.fit, epochs=2))
    found = evaluate(recipe, bikes, "p1", seed=0, partitions=1, watch=Nobody())
    assert found.always_no is None
    least = min(check.validation or math.inf for check in found.scores[0].history)
    said = f"least mean squared error of the validation rows, standardised: {2 * least:.4f}"
    assert said in tables.remarks(found)
    for other in (
        replace(recipe, fit=replace(recipe.fit, loss="poisson")),
        replace(recipe, standardise_target=False),
        replace(recipe, links=("sqrt",)),
    ):
        # whose losses are something else
        words = "\n".join(tables.remarks(replace(found, recipe=other)))
        assert "mean squared error" not in words


@pytest.mark.parametrize("recipe", [lecture.GRE_SGD, lecture.GRE_MINIBATCH], ids=lambda r: r.name)
def test_gre_by_rows_and_by_batches(admission: Dataset, recipe: Recipe) -> None:
    """One row at a time or in mini-batches: the test rows are forecast better than by the rate."""
    admitted = admission.targets["admitted"]
    ours, rate = [], []
    for seed, split in enumerate(splits(admission, "holdout")[:3]):
        rng = np.random.default_rng(seed)
        fitted = fit_rows(recipe, admission, split.train, None, rng)
        happened = admitted[split.test]
        ours.append(np.square(answers(fitted, admission, split.test) - happened).mean())
        rate.append(np.square(admitted[split.train].mean() - happened).mean())
    assert np.mean(ours) < np.mean(rate)


def test_gre_is_the_lectures_descent(admission: Dataset) -> None:
    """Three full-batch epochs are: dW = 0; every row forward and back; W += rate dW / n."""
    recipe = replace(lecture.GRE, fit=replace(lecture.GRE.fit, epochs=3))
    (split, *_) = splits(admission, "holdout")
    fitted = fit_rows(recipe, admission, split.train, None, np.random.default_rng(1))
    start = fit_rows(
        replace(recipe, fit=replace(recipe.fit, epochs=0)),
        admission,
        split.train,
        None,
        np.random.default_rng(1),
    )
    hidden, output = start.head.network.layers
    w1, b1 = hidden.weights[0].astype(float), hidden.biases[0, 0].astype(float)
    w2, b2 = output.weights[0, :, 0].astype(float), output.biases[0, 0, 0].astype(float)
    inputs = start.encoder.encode(admission.task.derive(admission.columns))
    rows = inputs.with_dense(start.encoder.n_inputs).dense
    assert rows is not None
    for _ in range(3):
        d_w1, d_b1, d_w2, d_b2 = np.zeros((6, 2)), np.zeros(2), np.zeros(2), 0.0
        for x, y in zip(rows[split.train], admission.targets["admitted"][split.train], strict=True):
            a = 1.0 / (1.0 + np.exp(-(x @ w1 + b1)))
            y_hat = 1.0 / (1.0 + np.exp(-(a @ w2 + b2)))
            output_error = (y - y_hat) * y_hat * (1.0 - y_hat)
            hidden_error = output_error * w2 * a * (1.0 - a)
            d_w1 += np.outer(x, hidden_error)
            d_b1 += hidden_error
            d_w2 += output_error * a
            d_b2 += output_error
        step = recipe.fit.rate / len(split.train)
        w1, b1, w2, b2 = w1 + step * d_w1, b1 + step * d_b1, w2 + step * d_w2, b2 + step * d_b2
    got_hidden, got_output = fitted.head.network.layers
    np.testing.assert_allclose(got_hidden.weights[0], w1, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got_hidden.biases[0, 0], b1, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got_output.weights[0, :, 0], w2, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got_output.biases[0, 0, 0], b2, rtol=1e-4, atol=1e-6)


def test_gre_stops_where_the_loss_rises(admission: Dataset) -> None:
    """At far too large a rate the loss rises: the recipe stops there, or by choice only warns."""
    (split, *_) = splits(admission, "holdout")
    remarks: dict[str, list[str]] = {"stop": [], "warn": []}
    for seed in range(10):
        settings = replace(lecture.GRE.fit, rate=100.0, epochs=300)
        for on_rise in ("stop", "warn"):
            recipe = replace(lecture.GRE, fit=replace(settings, on_rise=on_rise))
            rng = np.random.default_rng(seed)
            fitted = fit_rows(recipe, admission, split.train, None, rng).fitted
            remarks[on_rise] += [remark.partition(",")[0] for remark in fitted.remarks]
            stopped_early = fitted.history[-1].epoch < 300
            assert stopped_early == (on_rise == "stop" and bool(fitted.remarks))
    assert remarks["stop"] == remarks["warn"]
    assert remarks["stop"]


def test_gre_looks_at_the_loss_every_ten_epochs(admission: Dataset) -> None:
    """The lecture prints the loss every 10 epochs; the history has just these."""
    (split, *_) = splits(admission, "holdout")
    recipe = replace(lecture.GRE, fit=replace(lecture.GRE.fit, epochs=50))
    fitted = fit_rows(recipe, admission, split.train, None, np.random.default_rng(0)).fitted
    assert [check.epoch for check in fitted.history] == [10, 20, 30, 40, 50]
    losses = [check.training for check in fitted.history]
    assert losses == sorted(losses, reverse=True)

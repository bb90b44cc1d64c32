"""The metrics: values worked by hand, and agreement with scikit-learn."""

import math

import numpy as np
import pytest
from sklearn import linear_model
from sklearn import metrics as reference

from models.arrays import FloatArray
from training import metrics


@pytest.fixture
def forecasts() -> tuple[FloatArray, FloatArray]:
    """Outcomes and forecast probabilities, with ties."""
    rng = np.random.default_rng(0)
    probability = np.round(rng.uniform(0.05, 0.95, 300), 2)
    return (rng.uniform(size=300) < probability**1.5).astype(float), probability


def test_regression_by_hand() -> None:
    """MAE, RMSE, RMSLE and R2 of three rows."""
    got = metrics.regression(np.array([0.0, 10.0, 20.0]), np.array([1.0, 10.0, 16.0]))
    assert got["mae"] == pytest.approx(5 / 3)
    assert got["rmse"] == pytest.approx(math.sqrt(17 / 3))
    assert got["rmsle"] == pytest.approx(math.sqrt((math.log(2) ** 2 + math.log(21 / 17) ** 2) / 3))
    assert got["r2"] == pytest.approx(1 - 17 / 200)


def test_negative_forecasts_count_as_zero_in_rmsle() -> None:
    """RMSLE is defined where a forecast is negative."""
    assert metrics.regression(np.array([0.0, 1.0]), np.array([-5.0, 1.0]))["rmsle"] == 0.0


def test_constant_target_has_no_r2() -> None:
    """R2 of outcomes that do not vary is not a number, and no warning is raised."""
    for constant in (1.0, 0.1):  # the mean of three times 0.1 is a little more than 0.1
        assert math.isnan(metrics.regression(np.full(3, constant), np.zeros(3))["r2"])


def test_classification_agrees_with_scikit_learn(
    forecasts: tuple[FloatArray, FloatArray],
) -> None:
    """Log loss, Brier, AUC (with ties) and accuracy are scikit-learn's."""
    target, probability = forecasts
    got = metrics.classification(target, probability)
    assert got["log_loss"] == pytest.approx(reference.log_loss(target, probability))
    assert got["brier"] == pytest.approx(reference.brier_score_loss(target, probability))
    assert got["auc"] == pytest.approx(reference.roc_auc_score(target, probability))
    assert got["accuracy"] == pytest.approx(reference.accuracy_score(target, probability >= 0.5))


def test_calibration_line_agrees_with_scikit_learn(
    forecasts: tuple[FloatArray, FloatArray],
) -> None:
    """Slope and intercept are those of an unpenalised logistic regression on the logit."""
    target, probability = forecasts
    logit = np.log(probability / (1 - probability))
    fitted = linear_model.LogisticRegression(C=1e12, tol=1e-10).fit(logit[:, None], target)
    slope, intercept = metrics.calibration_line(target, logit)
    assert slope == pytest.approx(fitted.coef_[0, 0], abs=1e-4)
    assert intercept == pytest.approx(fitted.intercept_[0], abs=1e-4)


@pytest.mark.parametrize(
    ("target", "logit"),
    [
        pytest.param([0.0, 1.0, 0.0], [0.3, 0.3, 0.3], id="equal forecasts"),
        pytest.param([0.0, 0.0, 1.0, 1.0], [-2.0, -1.0, 1.0, 2.0], id="separated"),
        pytest.param([0.0, 0.0, 0.0], [-2.0, -1.0, 1.0], id="one outcome"),
    ],
)
def test_calibration_line_that_does_not_exist(target: list[float], logit: list[float]) -> None:
    """Where no line is best, slope and intercept are not numbers."""
    assert all(math.isnan(x) for x in metrics.calibration_line(np.array(target), np.array(logit)))


def test_auc_of_one_class() -> None:
    """AUC needs both outcomes."""
    assert math.isnan(metrics.auc(np.zeros(3), np.arange(3.0)))


def test_calibration_error_by_hand() -> None:
    """Ten bins of equally many rows: each bin's gap counts by its rows."""
    probability = np.linspace(0.05, 0.95, 10).repeat(2)
    target = np.tile([0.0, 1.0], 10)
    expected = np.mean(np.abs(np.linspace(0.05, 0.95, 10) - 0.5))
    assert metrics.calibration_error(target, probability) == pytest.approx(expected)


def test_calibration_error_of_equal_forecasts_is_their_distance_from_the_share() -> None:
    """Whatever the order of the rows: which of them share a bin says nothing where they are all alike."""
    target = np.repeat([0.0, 1.0], [7, 3])
    for order in (np.arange(10), np.random.default_rng(0).permutation(10)):
        found = metrics.calibration_error(target[order], np.full(10, 0.25))
        assert found == pytest.approx(0.05)


def test_clustered_error() -> None:
    """Rows of their own give the usual standard error; a row counted twice changes nothing."""
    values = np.random.default_rng(0).normal(size=50)
    off = values - values.mean()
    alone = metrics.clustered_error(off, 50)
    assert alone == pytest.approx(values.std(ddof=1) / math.sqrt(50))
    assert metrics.clustered_error(2 * off, 100) == pytest.approx(alone)
    assert math.isnan(metrics.clustered_error(off[:1], 50))


def test_mean_of_each_row_with_its_interval_by_hand() -> None:
    """Values of one row are averaged first; the interval is that of the usual standard error."""
    means = metrics.mean_by(np.array([7, 2, 7, 7]), np.array([1.0, 5.0, 2.0, 6.0]))
    assert means.tolist() == [5.0, 3.0]
    # their standard deviation is sqrt(2), so the error of their mean is 1
    assert metrics.mean_and_interval(means) == pytest.approx(
        {"mean": 4.0, "low": 2.04, "high": 5.96}
    )


def test_error_of_a_share_is_that_of_its_clusters() -> None:
    """Clusters of one row give the usual standard error of a share, and so do rows that are all alike."""
    hits = np.array([1, 0, 0, 1, 1, 1, 0, 1])
    usual = hits.std(ddof=1) / math.sqrt(8)
    assert metrics.share_error(np.column_stack([np.ones_like(hits), hits])) == pytest.approx(usual)
    assert metrics.share_error(np.column_stack([hits * 0 + 24, 24 * hits])) == pytest.approx(usual)
    assert math.isnan(metrics.share_error(np.array([[24, 20]])))


def test_reliability_by_hand() -> None:
    """Each bin's mean probability, share of ones and rows, in the order of the probability."""
    probability = np.linspace(0.95, 0.05, 10).repeat(2)
    got = metrics.reliability(np.tile([0.0, 1.0], 10), probability)
    np.testing.assert_allclose(got[:, 0], np.linspace(0.05, 0.95, 10))
    assert got[:, 1:].tolist() == [[0.5, 2]] * 10
    assert metrics.reliability(np.array([1.0, 0.0]), np.array([0.9, 0.2])).tolist() == [
        [0.2, 0.0, 1.0],
        [0.9, 1.0, 1.0],
    ]

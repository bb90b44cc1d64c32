"""The simple forecasts."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from models.admission import ADMISSION
from models.bikes import BIKES
from training.baselines import baseline, description, logistic_probability, reference
from training.data import read
from training.metrics import regression
from training.protocols import splits


def test_every_kind_of_task_has_a_baseline_in_words() -> None:
    """A task need not be known by name: what it answers, and whether it has a time, say which it is."""
    quantity = replace(BIKES, name="other", fields=BIKES.fields[1:])
    assert description(replace(BIKES, name="other")) == description(BIKES)
    assert description(quantity) == "mean of the training rows"
    churn = replace(ADMISSION, name="churn", decision="churned", fields=BIKES.fields)
    assert description(churn) == "share of the training rows that were churned"
    assert "on temperature, humidity, wind_speed as numbers" in reference(churn)
    assert "on no field" in reference(replace(churn, fields=BIKES.fields[:1]))


def test_hour_of_the_week() -> None:
    """A forecast is the mean of the same hour of the week over the last 365 training days."""
    bikes = read("bikes")
    (p1,) = splits(bikes, "p1")
    forecast = baseline(bikes, p1.train, p1.test)
    hours, rentals = bikes.columns["timestamp"], bikes.targets["rentals"]
    asked = hours[p1.test[100]]
    weeks_back = (asked - hours[p1.train]).astype(int) / 168
    days = hours[p1.train].astype("datetime64[D]")
    recent = days > days.max() - np.timedelta64(365, "D")
    same = p1.train[(weeks_back == np.round(weeks_back)) & recent]
    assert len(same) == 52
    assert forecast[100] == pytest.approx(rentals[same].mean())
    assert regression(rentals[p1.test], forecast)["rmse"] == pytest.approx(144.1, abs=0.1)


def test_hour_that_was_never_seen() -> None:
    """An hour of the week without a training row gets the mean of all training rows."""
    bikes = read("bikes")
    forecast = baseline(bikes, np.arange(10), np.array([5, 1000]))
    assert forecast[0] == bikes.targets["rentals"][5]
    assert forecast[1] == pytest.approx(bikes.targets["rentals"][:10].mean())


def test_base_rate() -> None:
    """For admission it is the share of the training rows that were admitted."""
    admission = read("admission")
    train = np.arange(300)
    forecast = baseline(admission, train, np.arange(300, 400))
    assert forecast.shape == (100,)
    assert set(forecast) == {admission.targets["admitted"][train].mean()}


def test_logistic_regression() -> None:
    """The stronger reference is scikit-learn's logistic regression on the three numbers."""
    admission = read("admission")
    rows = np.column_stack([admission.columns[name] for name in ("gre", "gpa", "rank")])
    train, test = np.arange(300), np.arange(300, 400)
    scaled = (rows - rows[train].mean(axis=0)) / rows[train].std(axis=0)
    fitted = LogisticRegression(C=1e9, tol=1e-10).fit(
        scaled[train], admission.targets["admitted"][train]
    )
    expected = fitted.predict_proba(scaled[test])[:, 1]
    np.testing.assert_allclose(logistic_probability(admission, train, test), expected, atol=1e-4)


@pytest.mark.parametrize("n_rows", [1, 4])
def test_few_applications(n_rows: int) -> None:
    """Rows too few for a best line, or of one outcome, still give a probability."""
    forecast = logistic_probability(read("admission"), np.arange(n_rows), np.arange(400))
    assert (forecast > 0.0).all()
    assert (forecast < 1.0).all()

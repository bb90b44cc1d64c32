"""Metrics: plain functions of what happened (`target`) and what was forecast.

All arrays have the shape (n_rows,). A group of metrics comes as a dict with a fixed order of keys.
"""

import numpy as np

from models.arrays import FloatArray, IntArray
from models.links import LINKS
from training.logistic import coefficients

CALIBRATION_BINS = 10
TWO_SIDED_95 = 1.96


def regression(target: FloatArray, forecast: FloatArray) -> dict[str, float]:
    """MAE, RMSE (both in the unit of the target), RMSLE (of log(1 + y)) and R2 of quantities.

    NaN is the RMSLE of a target that is somewhere below 0, and the R2 of one that is the same everywhere.
    """
    error = forecast - target
    positive = target if (target >= 0.0).all() else np.full_like(target, np.nan)
    log_error = np.log1p(np.maximum(forecast, 0.0)) - np.log1p(positive)
    # the mean of equal numbers may differ from them by rounding
    spread = float(np.square(target - target.mean()).sum()) if np.ptp(target) else 0.0
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "rmsle": float(np.sqrt(np.square(log_error).mean())),
        "r2": 1.0 - float(np.square(error).sum()) / spread if spread else float("nan"),
    }


def classification(target: FloatArray, probability: FloatArray) -> dict[str, float]:
    """Log loss, Brier score, AUC, accuracy, calibration error, calibration slope and intercept.

    target : 0 or 1. probability : of a 1.
    """
    logit = LINKS["logit"].to_link(probability)
    slope, intercept = calibration_line(target, logit)
    return {
        "log_loss": float(log_losses(target, probability).mean()),
        "brier": float(np.square(probability - target).mean()),
        "auc": auc(target, probability),
        "accuracy": float(((probability >= 0.5) == target).mean()),  # noqa: PLR2004  # even odds
        "ece": calibration_error(target, probability),
        "slope": slope,
        "intercept": intercept,
    }


def log_losses(target: FloatArray, probability: FloatArray) -> FloatArray:
    """The log loss of each row, (n_rows,)."""
    logit = LINKS["logit"].to_link(probability)
    losses: FloatArray = np.logaddexp(0.0, logit) - target * logit
    return losses


def mean_by(rows: IntArray, values: FloatArray) -> FloatArray:
    """The mean of `values` for each distinct entry of `rows`, in ascending order: (n_distinct,)."""
    _, where, counts = np.unique(rows, return_inverse=True, return_counts=True)
    means: FloatArray = np.bincount(where, values) / counts
    return means


def mean_and_interval(values: FloatArray) -> dict[str, float]:
    """The mean of independent values with its 95 % interval, by the normal distribution."""
    mean = float(values.mean())
    margin = TWO_SIDED_95 * clustered_error(values - values.mean(), len(values))
    return {"mean": mean, "low": mean - margin, "high": mean + margin}


def auc(target: FloatArray, score: FloatArray) -> float:
    """The probability that a random 1 scores higher than a random 0, ties counting half.

    By ranks (Mann and Whitney 1947); NaN when one of the classes is missing.
    """
    _, where, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[where]
    ones = float(target.sum())
    zeros = len(target) - ones
    if not ones or not zeros:
        return float("nan")
    return float((ranks[target == 1].sum() - ones * (ones + 1.0) / 2.0) / (ones * zeros))


def reliability(target: FloatArray, probability: FloatArray) -> FloatArray:
    """The bins of a reliability diagram, (n_bins, 3): mean probability, share of ones, number of rows.

    Ten bins of equally many rows, in the order of the probability; fewer if there are fewer rows. Rows of
    one probability each count with the share of ones among them, so that it does not matter in which bin
    they come to lie, or in which order they are given.
    """
    _, of, counts = np.unique(probability, return_inverse=True, return_counts=True)
    share = (np.bincount(of, target) / counts)[of]
    bins = np.array_split(np.argsort(probability), min(CALIBRATION_BINS, len(of)))
    return np.array([(probability[b].mean(), share[b].mean(), len(b)) for b in bins])


def calibration_error(target: FloatArray, probability: FloatArray) -> float:
    """Expected calibration error: the mean, over rows, of their bin's |share - mean probability|."""
    said, happened, n_rows = reliability(target, probability).T
    return float(np.average(np.abs(happened - said), weights=n_rows))


def calibration_line(target: FloatArray, logit: FloatArray) -> tuple[float, float]:
    """Slope and intercept of a logistic regression of the outcome on the logit of the forecast.

    As Cox (1958) proposed. 1 and 0 are best; a slope below 1 means overconfident forecasts. (NaN, NaN) if
    there is no solution: a single outcome, equal forecasts, or perfectly separated outcomes.
    """
    rows = np.column_stack([logit, np.ones_like(logit)])
    slope, intercept = coefficients(rows, target)
    return float(slope), float(intercept)


def clustered_error(off: FloatArray, n_rows: int) -> float:
    """The standard error of the mean of `n_rows` values, clustered (Cameron and Miller 2015).

    off : (n_clusters,), for each cluster the sum, over its rows, of the value less the mean of all rows.
        Rows of the same cluster may depend on each other. NaN for a single cluster.
    """
    n_clusters = len(off)
    if n_clusters < 2:  # noqa: PLR2004  # one cluster says nothing about another
        return float("nan")
    variance = np.square(off).sum() * n_clusters / (n_clusters - 1)
    return float(np.sqrt(variance) / n_rows)


def share_error(counts: IntArray, cluster: IntArray | None = None) -> float:
    """The clustered standard error of a share of rows.

    counts : (n_parts, 2), how many rows each part of a cluster has, and how many count for the share.
    cluster : (n_parts,), which cluster each is a part of; each its own by default. NaN for a single one.
    """
    if cluster is not None:
        _, of = np.unique(cluster, return_inverse=True)
        counts = np.column_stack([np.bincount(of, column) for column in counts.T])
    rows, hits = counts.T
    return clustered_error(hits - hits.sum() / rows.sum() * rows, int(rows.sum()))

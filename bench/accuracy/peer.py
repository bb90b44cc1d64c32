"""What every peer has in common: a space of settings, a fit, and the scale of the target."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bench.accuracy.rows import Hours
from models.arrays import FloatArray, IntArray
from training.baselines import BASELINE_DAYS

Setting = float | int | str | bool
Settings = Mapping[str, Setting]
SEED = 0
PATIENCE = 60
"""Rounds of boosting without progress on the validation rows before it stops."""
MOST_ROUNDS = 2000


@dataclass(frozen=True)
class Fit:
    """A task for a peer.

    stop : the rows for early stopping; None where `rounds` is given instead (a refit).
    rounds : boosting rounds or epochs.
    """

    settings: Settings
    train: Hours
    stop: Hours | None
    rounds: int
    day_category: bool = False


@dataclass(frozen=True)
class Fitted:
    """A fitted peer: hours -> (n_rows,) rentals, and the rounds or epochs that it kept."""

    predict: Callable[[Hours], FloatArray]
    rounds: int = 0


@dataclass(frozen=True)
class Peer:
    """A peer by name: `sample` draws the settings of a trial, `fit` learns."""

    name: str
    title: str
    sample: Callable[[np.random.Generator], Settings]
    fit: Callable[[Fit], Fitted]


Transform = Callable[[FloatArray], FloatArray]
TARGETS: dict[str, tuple[Transform, Transform]] = {
    "count": (lambda y: y, lambda z: np.maximum(z, 0.0)),
    "sqrt": (np.sqrt, lambda z: np.square(np.maximum(z, 0.0))),
    "log": (np.log1p, lambda z: np.expm1(np.clip(z, 0.0, 8.0))),
    "poisson": (lambda y: y, lambda z: np.maximum(z, 0.0)),
}
"""Scale of the target -> (there, back); `poisson` is the count with a log link and its loss."""


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number drawn evenly on the log scale, to four digits."""
    return float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.4g}")


def log_integer(rng: np.random.Generator, low: int, high: int) -> int:
    """A whole number drawn evenly on the log scale."""
    return round(log_uniform(rng, low, high))


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number drawn evenly, to three digits."""
    return round(float(rng.uniform(low, high)), 3)


def hour_of_week(fit: Fit) -> Fitted:
    """The simple baseline of `training.baselines`, by the rows as the bench has them."""
    days = fit.train.columns["trend"]
    recent = days >= np.unique(days)[-BASELINE_DAYS:][0]
    hour = _hour_of_week(fit.train)[recent]
    rentals = fit.train.rentals[recent]
    n_rows = np.bincount(hour, minlength=168)
    means = np.bincount(hour, rentals, minlength=168) / np.maximum(n_rows, 1)
    means[n_rows == 0] = rentals.mean()
    return Fitted(lambda hours: means[_hour_of_week(hours)])


def _hour_of_week(hours: Hours) -> IntArray:
    hour: IntArray = (hours.columns["weekday"] * 24 + hours.columns["hour"]).astype(np.int64)
    return hour


BASELINE = Peer(
    "baseline", "Mean of the hour of the week, last 365 days", lambda _: {}, hour_of_week
)

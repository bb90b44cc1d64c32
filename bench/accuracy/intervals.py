"""Conformalised LightGBM quantiles: the peer of the forecast's 90 % intervals.

Romano, Patterson and Candes, "Conformalized quantile regression", 2019. Two boosters learn the 5 %
and the 95 % quantile from the training rows; of the validation days the even ones stop them early
and the odd ones calibrate. Settings are drawn like those of the forecast and chosen by the interval
score on the even days (`rolling`: on its early windows), never by the scored rows.

    python -m bench.accuracy.intervals --trials 50
"""

import argparse
import zlib
from dataclasses import dataclass

import lightgbm
import numpy as np

from bench.accuracy.clock import add_deadline, late
from bench.accuracy.lines import RESULTS, Lines
from bench.accuracy.peer import MOST_ROUNDS, TARGETS, Fit, Settings
from bench.accuracy.rows import Hours, Study, read, studies
from bench.accuracy.trees import boost_lightgbm, matrix, sample_lightgbm
from models.arrays import BoolArray, FloatArray
from training.protocols import Split

LEVEL = 0.9
PEER = "lightgbm-cqr"
Band = tuple[FloatArray, FloatArray]


def interval_score(truth: FloatArray, band: Band) -> FloatArray:
    """Width plus 2 / (1 - level) times what lies outside, (n_rows,): smaller is better."""
    low, high = band
    outside = np.maximum(low - truth, 0.0) + np.maximum(truth - high, 0.0)
    return high - low + 2.0 / (1.0 - LEVEL) * outside


@dataclass(frozen=True)
class Quantiles:
    """Two boosters on the scale of a trial's target, and by how much calibration widens them."""

    fit: Fit
    low: lightgbm.Booster
    high: lightgbm.Booster
    widening: float = 0.0

    @classmethod
    def of(cls, fit: Fit) -> "Quantiles":
        """Learn both quantiles."""
        there, _ = TARGETS[str(fit.settings["target"])]
        low, high = (
            boost_lightgbm(fit, there, {"objective": "quantile", "alpha": tail})
            for tail in ((1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0)
        )
        return cls(fit, low, high)

    def raw(self, hours: Hours) -> Band:
        """The band on the target's scale, in order, (n_rows,) twice."""
        values = matrix(self.fit, hours)
        low, high = (np.asarray(of.predict(values)) for of in (self.low, self.high))
        return np.minimum(low, high) - self.widening, np.maximum(low, high) + self.widening

    def band(self, hours: Hours) -> Band:
        """The band in rentals, (n_rows,) twice."""
        _, back = TARGETS[str(self.fit.settings["target"])]
        low, high = self.raw(hours)
        return back(low), back(high)

    def calibrated(self, hours: Hours) -> "Quantiles":
        """Widened so that the level holds on rows that nothing was learned from."""
        there, _ = TARGETS[str(self.fit.settings["target"])]
        truth = there(hours.rentals)
        low, high = self.raw(hours)
        misses = np.sort(np.maximum(low - truth, truth - high))
        rank = min(int(np.ceil((len(misses) + 1) * LEVEL)), len(misses))
        return Quantiles(self.fit, self.low, self.high, float(misses[rank - 1]))


def learn(settings: Settings, study: Study, hours: Hours, split: Split) -> Quantiles:
    """Quantiles from the training rows, stopped by the even validation days, not yet calibrated."""
    stop = hours.take(split.validation[_even(hours, split)])
    fit = Fit(settings, hours.take(split.train), stop, MOST_ROUNDS, study.day_category)
    return Quantiles.of(fit)


def _even(hours: Hours, split: Split) -> BoolArray:
    return hours.columns["trend"][split.validation] % 2 == 0


def run_trial(study: Study, hours: Hours, number: int) -> tuple[Settings, float]:
    """The settings with this number and their mean interval score on the tuning rows."""
    settings = sample_lightgbm(np.random.default_rng([zlib.crc32(PEER.encode()), number]))
    scores = []
    for split in study.tuning:
        quantiles = learn(settings, study, hours, split)
        judged = hours.take(split.test if study.on_test else split.validation[_even(hours, split)])
        scores.append(interval_score(judged.rentals, quantiles.band(judged)).mean())
    return settings, float(np.mean(scores))


def score(settings: Settings, study: Study, hours: Hours, split: Split) -> dict[str, object]:
    """Rows, width, interval score, and of every test day [rows, hits] and its number."""
    quantiles = learn(settings, study, hours, split)
    calibration = hours.take(split.validation[~_even(hours, split)])
    test = hours.take(split.test)
    low, high = quantiles.calibrated(calibration).band(test)
    hit = (low <= test.rentals) & (test.rentals <= high)
    days, day = np.unique(test.columns["trend"], return_inverse=True)
    per_day = np.column_stack([np.bincount(day), np.bincount(day, hit)]).astype(int)
    return {
        "rows": len(test),
        "width": float((high - low).mean()),
        "score": float(interval_score(test.rentals, (low, high)).mean()),
        "per_day": per_day.tolist(),
        "days": days.tolist(),
    }


def run_study(study: Study, hours: Hours, trials: int, until: float) -> None:
    """Bring the study up to this number of trials, then score its best."""
    done, scores = Lines(RESULTS / "trials.jsonl"), Lines(RESULTS / "intervals.jsonl")
    key = {"peer": PEER, "study": study.name}
    for number in range(len(done.where(**key)), trials):
        if late(until):
            break
        settings, error = run_trial(study, hours, number)
        done.add(**key, trial=number, settings=settings, error=error)
    tried = done.where(**key)
    if not tried:
        return
    best = min(tried, key=lambda line: line["error"])
    if scores.where(**key, trial=best["trial"]):
        return
    for split in study.scoring:
        found = score(best["settings"], study, hours, split)
        scores.add(**key, split=split.name, trial=best["trial"], **found)
        hits = np.asarray(found["per_day"]).sum(axis=0)
        print(split.name, hits[1] / hits[0], found["width"], found["score"], flush=True)


def main() -> None:
    """Run every study that scores intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    until = add_deadline(parser)
    options = parser.parse_args()
    dataset, hours = read()
    for name, study in studies(dataset).items():
        if name != "p3":
            run_study(study, hours, options.trials, until(options))


if __name__ == "__main__":
    main()

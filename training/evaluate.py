"""Evaluation of a recipe on rows that it never saw, by the protocols of `training.protocols`.

Every metric comes with that of the simple baseline (`training.baselines`) on the same rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from models.arrays import BoolArray, Columns, FloatArray, IntArray
from models.calendar import SEASONS
from models.interval import DEFAULT_LEVEL, HIGHEST_LEVEL, LOWEST_LEVEL
from models.model import Model, Prediction
from models.tasks import TASKS
from training import baselines, metrics
from training.data import Dataset
from training.fit import Check
from training.pipeline import answers, fit_rows
from training.progress import Watch
from training.protocols import DESCRIPTIONS, Split, splits
from training.recipes import Recipe
from training.trainer import train

SIZES = {"bikes": (0.0, 10.0, 50.0, 150.0, 300.0, 500.0)}
"""Task -> the forecasts at which the groups of the coverage by size begin; other tasks: see `_sizes`."""
LEVELS = 25
"""At how many levels the coverage is measured."""


@dataclass(frozen=True)
class Scores:
    """The scores of one split, or of one partition of a cross-validation.

    rows : (n_rows,), the numbers of the test rows.
    target, forecast : (n_rows,), what happened and what was forecast.
    metrics, baseline : of the recipe and of the simple baseline on the same rows.
    history : the losses of the (last) fit.
    prediction, model : the forecasts with their intervals, and the model; None for a probability.
    interval : see `interval_scores`; None for a probability.
    reference : (n_rows,), the forecasts of logistic regression; None for a quantity.
    remarks : those of its fits, see `training.fit.Fitted`.
    """

    name: str
    rows: IntArray
    target: FloatArray
    forecast: FloatArray
    metrics: dict[str, float]
    baseline: dict[str, float]
    history: tuple[Check, ...]
    prediction: Prediction | None = None
    model: Model | None = None
    interval: dict[str, Any] | None = None
    reference: FloatArray | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """The scores of a recipe under a protocol."""

    recipe: Recipe
    protocol: str
    seed: int
    scores: tuple[Scores, ...]

    def mean(self, of: Callable[[Scores], dict[str, float]]) -> dict[str, float]:
        """The mean of each metric over the splits."""
        return _mean([of(score) for score in self.scores])

    @property
    def always_no(self) -> float | None:
        """The accuracy of always answering "no", the mean over the splits; None for a quantity."""
        if any(score.prediction is not None for score in self.scores):
            return None
        return float(np.mean([1.0 - score.target.mean() for score in self.scores]))

    def reference(self) -> dict[str, Any] | None:
        """Logistic regression on the same rows, and our log loss less its own; None for a quantity.

        The difference is taken row by row and averaged over the partitions; its 95 % interval takes the
        rows as independent.
        """
        rows, differences, of_reference = [], [], []
        for score in self.scores:
            if score.reference is None:
                return None
            rows.append(score.rows)
            ours, theirs = (
                metrics.log_losses(score.target, p) for p in (score.forecast, score.reference)
            )
            differences.append(ours - theirs)
            of_reference.append(metrics.classification(score.target, score.reference))
        mean = metrics.mean_by(np.concatenate(rows), np.concatenate(differences))
        return {
            "description": baselines.reference(TASKS[self.recipe.task]),
            "metrics": _plain(_mean(of_reference)),
            "log_loss_difference": metrics.mean_and_interval(mean),
        }

    def as_json(self) -> dict[str, Any]:
        """What `train evaluate --json` prints."""
        return {
            "task": self.recipe.task,
            "recipe": self.recipe.name,
            "protocol": self.protocol,
            "description": DESCRIPTIONS[self.protocol],
            "seed": self.seed,
            "metrics": _plain(self.mean(lambda score: score.metrics)),
            "baseline": {
                "description": baselines.description(TASKS[self.recipe.task]),
                "metrics": _plain(self.mean(lambda score: score.baseline)),
            },
            "always_no": self.always_no,
            "reference": self.reference(),
            "splits": [
                {
                    "name": score.name,
                    "rows": len(score.rows),
                    "metrics": _plain(score.metrics),
                    "baseline": _plain(score.baseline),
                    "interval": score.interval,
                    "history": history_json(score.history),
                }
                for score in self.scores
            ],
        }


def _mean(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric."""
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def _plain(found: dict[str, float]) -> dict[str, float | None]:
    """Metrics for JSON, which has no NaN: an undefined metric is null."""
    return {name: None if np.isnan(value) else value for name, value in found.items()}


def evaluate(  # noqa: PLR0913  # recipe, data, how it is judged, randomness, and who watches
    recipe: Recipe,
    dataset: Dataset,
    protocol: str,
    seed: int,
    partitions: int,
    watch: Watch,
) -> Evaluation:
    """The recipe's scores on every split of a protocol. Raises TrainingError as `splits` does."""
    made = splits(dataset, protocol, seed, partitions)
    judge = _judge_quantity if dataset.task.threshold is None else _judge_probability
    return Evaluation(recipe, protocol, seed, tuple(judge(recipe, dataset, made, seed, watch)))


def _judge_quantity(
    recipe: Recipe, dataset: Dataset, made: list[Split], seed: int, watch: Watch
) -> Iterator[Scores]:
    target = dataset.outcome
    for split in made:
        rng = np.random.default_rng(seed)
        validation = split.validation if len(split.validation) else None
        trained = train(recipe, dataset, split.train, validation, rng, watch)
        said = trained.model.predict(dataset.take(split.test))
        truth = target[split.test]
        simple = baselines.baseline(dataset, split.train, split.test)
        yield Scores(
            name=split.name,
            rows=split.test,
            target=truth,
            forecast=said.value,
            metrics=metrics.regression(truth, said.value),
            baseline=metrics.regression(truth, simple),
            history=trained.fitted.history,
            prediction=said,
            model=trained.model,
            interval=interval_scores(dataset, split.test, truth, said),
            remarks=trained.fitted.remarks,
        )


def _judge_probability(
    recipe: Recipe, dataset: Dataset, made: list[Split], seed: int, watch: Watch
) -> Iterator[Scores]:
    """The folds of one partition are scored together: their rows are the whole data set."""
    target = dataset.outcome
    for name, folds in groupby(made, key=lambda split: split.name.partition(".")[0]):
        rows, said, simple, reference, remarks = [], [], [], [], list[str]()
        history: tuple[Check, ...] = ()
        for split in folds:
            rng = np.random.default_rng(seed)
            with watch.stage(split.name, recipe.fit.epochs) as on_check:
                fitted = fit_rows(recipe, dataset, split.train, None, rng, on_check)
            rows.append(split.test)
            said.append(answers(fitted, dataset, split.test))
            simple.append(baselines.baseline(dataset, split.train, split.test))
            reference.append(baselines.logistic_probability(dataset, split.train, split.test))
            history = fitted.fitted.history
            remarks += fitted.fitted.remarks
        judged, forecast = np.concatenate(rows), np.concatenate(said)
        truth = target[judged]
        yield Scores(
            name=name,
            rows=judged,
            target=truth,
            forecast=forecast,
            metrics=metrics.classification(truth, forecast),
            baseline=metrics.classification(truth, np.concatenate(simple)),
            history=history,
            reference=np.concatenate(reference),
            remarks=tuple(remarks),
        )


def interval_scores(
    dataset: Dataset, rows: IntArray, target: FloatArray, said: Prediction
) -> dict[str, Any]:
    """Coverage, mean width and interval score (Gneiting and Raftery 2007) at the default level.

    target : (n_rows,), the outcomes of `rows`. said : their predictions.

    In the result per_day is [rows, rows inside] of every day (the errors of a day's hours are
    correlated, so the standard error of the coverage is clustered by day; of a single day there is
    none), and of every row of a task without a timestamp. days is which days, counted from 1970, or which
    rows these are. groups is the counts by hour and by season, if these are variables of the task, and by
    size of the forecast.
    """
    inside = (said.low <= target) & (target <= said.high)
    dated = bool(dataset.task.time_field)
    days = dataset.hours[rows].astype("datetime64[D]").astype(np.int64) if dated else rows
    distinct, day = np.unique(days, return_inverse=True)
    per_day = np.column_stack([np.bincount(day), np.bincount(day, inside)]).astype(int)
    error = metrics.share_error(per_day)
    misses = np.maximum(said.low - target, 0.0) + np.maximum(target - said.high, 0.0)
    score = (said.high - said.low) + 2.0 / (1.0 - DEFAULT_LEVEL) * misses
    return {
        "level": DEFAULT_LEVEL,
        "rows": len(rows),
        "coverage": float(inside.mean()),
        "standard_error": None if np.isnan(error) else error,
        "width": float((said.high - said.low).mean()),
        "score": float(score.mean()),
        "per_day": per_day.tolist(),
        "days": distinct.tolist(),
        "groups": _groups(dataset, rows, said, inside),
    }


def _groups(
    dataset: Dataset, rows: IntArray, said: Prediction, inside: BoolArray
) -> dict[str, dict[str, list[int]]]:
    """[rows, rows inside] of every hour, season and size of the forecast, by its name."""
    variables = dataset.task.derive(dataset.take(rows))
    of = {name: variables[:, i] for i, name in enumerate(dataset.task.variables)}
    named = {"hour": [str(hour) for hour in range(24)], "season": list(SEASONS)}
    if not dataset.task.time_field:
        named = {}
    kinds = {kind: (of[kind].astype(int), names) for kind, names in named.items() if kind in of}
    edges = _sizes(dataset)  # what is below the first is in the first group
    size = np.searchsorted(edges[1:], said.value, side="right")
    kinds["size"] = size, [f"from {low:g}" for low in edges]
    found = {}
    for kind, (of_row, names) in kinds.items():
        n_rows = np.bincount(of_row, minlength=len(names))
        n_inside = np.bincount(of_row, inside, minlength=len(names)).astype(int)
        counts = zip(names, n_rows.tolist(), n_inside.tolist(), strict=True)
        found[kind] = {name: [n, hits] for name, n, hits in counts if n}
    return found


def _sizes(dataset: Dataset) -> Sequence[float]:
    """Where the groups of the coverage by size begin: at SIZES, or at quartiles of the outcomes."""
    if dataset.task.name in SIZES:
        return SIZES[dataset.task.name]
    quartiles = np.quantile(dataset.outcome, [0.0, 0.25, 0.5, 0.75])
    return sorted({float(f"{edge:.3g}") for edge in quartiles})


def coverage_by_level(
    model: Model, columns: Columns, target: FloatArray
) -> list[tuple[float, float]]:
    """(level, share of outcomes inside) at LEVELS levels from the lowest to the highest.

    columns, target : the rows that are forecast, and what happened, (n_rows,).
    """
    found = []
    for level in np.linspace(LOWEST_LEVEL, HIGHEST_LEVEL, LEVELS).tolist():
        said = model.predict(columns, level)
        found.append((level, float(((said.low <= target) & (target <= said.high)).mean())))
    return found


def history_json(history: tuple[Check, ...]) -> list[dict[str, float | int | None]]:
    """The losses of a fit as JSON."""
    return [{"epoch": c.epoch, "training": c.training, "validation": c.validation} for c in history]

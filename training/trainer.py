"""From a recipe and rows to a complete model: networks, calibrated intervals, ranges, background.

    fit (training rows) -> student (if the recipe has one)
    cross-fit (predict each row with networks that did not see it) -> spread -> interval

The fits of both lines run in parallel, see `training.crew`. The intervals are calibrated on the cross-fit's
residuals, see `training.intervals`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.arrays import Columns, FloatArray, IntArray
from models.errors import TrainingError
from models.features import Encoder
from models.interval import Interval
from models.links import LINKS
from models.model import Head, Model
from models.network import Layer, Network
from training import calibrate
from training.crew import Crew
from training.data import NOT_MEASURED, Dataset
from training.distil import Distilled, distil
from training.fit import Check, Fitted
from training.intervals import FOLDS, cross_fit, of_quantity
from training.pipeline import Regressor, answers, fit_rows
from training.progress import Watch
from training.protocols import stratified_folds
from training.recipes import Recipe
from training.simulate import inflation

BACKGROUND_ROWS = 64


@dataclass(frozen=True)
class Trained:
    """A model, how its networks were fitted, and the student that answers in their place, if any."""

    model: Model
    fitted: Fitted
    distilled: Distilled | None


def train(  # noqa: PLR0913  # recipe, data, which rows, randomness, and who watches
    recipe: Recipe,
    dataset: Dataset,
    train_rows: IntArray,
    validation: IntArray | None,
    rng: np.random.Generator,
    watch: Watch,
) -> Trained:
    """A model trained on the rows `train_rows`; the rows `validation` only decide when to stop early.

    Raises TrainingError for too few rows, DivergedError if the losses do not stay finite.
    """
    require_outcomes(dataset, train_rows)
    for_student, for_interval = rng.spawn(2)
    with Crew(watch) as crew:
        call = recipe, dataset, train_rows, validation, rng, for_student, crew.watch
        fitting = crew.start("networks", _networks, *call)
        # with early stopping the other fits need the number of epochs of this one
        history = fitting.result()[0].fitted.history if recipe.fit.patience else ()
        fixed = fixed_epochs(recipe, history)
        spread: Head | None
        if dataset.task.threshold is None:
            spread, interval = of_quantity(fixed, dataset, train_rows, for_interval, crew)
        else:
            networks, _, rng = fitting.result()
            spread, interval = _of_probability(fixed, dataset, networks, train_rows, rng, crew)
    regressor, distilled, rng = fitting.result()
    model = Model(
        task=dataset.task,
        encoder=regressor.encoder,
        head=distilled.head if distilled else regressor.head,
        spread=spread,
        interval=interval,
        ranges=ranges(dataset, train_rows),
        threshold=dataset.task.threshold,
        background=background(dataset, train_rows, answers(regressor, dataset, train_rows), rng),
    )
    return Trained(model, regressor.fitted, distilled)


def require_outcomes(dataset: Dataset, rows: IntArray) -> None:
    """Raise TrainingError, before the fits, for too few `rows` of an outcome, if there are two of them.

    The logit of a single outcome is infinite, and the interval of a probability needs some of each.
    """
    if dataset.task.threshold is None:
        return
    rarer = min(int((dataset.outcome[rows] == outcome).sum()) for outcome in (0.0, 1.0))
    if rarer < FOLDS:
        raise TrainingError(
            f"{dataset.source}: {rarer} of the {len(rows)} rows to train on have the rarer outcome, and at "
            f"least {FOLDS} are needed"
        )


def _networks(  # noqa: PLR0913  # as `train`, with randomness for the student
    recipe: Recipe,
    dataset: Dataset,
    rows: IntArray,
    validation: IntArray | None,
    rng: np.random.Generator,
    for_student: np.random.Generator,
    watch: Watch,
) -> tuple[Regressor, Distilled | None, np.random.Generator]:
    """The recipe's networks, the student if the recipe has one, and `rng`.

    `rng` is returned because in another process it is a copy, and only the copy has advanced.
    """
    with watch.stage("networks", recipe.fit.epochs) as on_check:
        regressor = fit_rows(recipe, dataset, rows, validation, rng, on_check)
    if recipe.student is None:
        return regressor, None, rng
    encoder, head = regressor.encoder, regressor.head
    student = distil(recipe.student, encoder, head, dataset, rows, for_student, watch)
    return regressor, student, rng


def fixed_epochs(recipe: Recipe, history: Sequence[Check]) -> Recipe:
    """The recipe without early stopping, with the number of epochs that was best in `history`."""
    judged = [check for check in history if check.validation is not None]
    if not recipe.fit.patience or not judged:
        return replace(recipe, fit=replace(recipe.fit, patience=0))
    best = min(judged, key=lambda check: check.validation or 0.0)
    return replace(recipe, fit=replace(recipe.fit, patience=0, epochs=best.epoch))


def ranges(dataset: Dataset, rows: IntArray) -> dict[str, tuple[float, float]]:
    """The lowest and the highest value in the rows, of each field that has a range; timestamps in hours.

    Values that were not measured (`training.data.NOT_MEASURED`) do not count, unless all are such. A field
    without a single value, an optional one, has no range.
    """
    found = {}
    for field in dataset.task.fields:
        if field.low is not None:
            values = dataset.columns[field.name][rows]
            numbers = values.astype(np.int64 if field.kind == "timestamp" else np.float64)
            numbers = numbers[~np.isnan(numbers)]
            measured = numbers[numbers != NOT_MEASURED.get(field.name, np.nan)]
            numbers = measured if len(measured) else numbers
            if len(numbers):
                found[field.name] = (float(numbers.min()), float(numbers.max()))
    return found


def background(
    dataset: Dataset, rows: IntArray, value: FloatArray, rng: np.random.Generator
) -> Columns:
    """The rows that an explanation compares with: BACKGROUND_ROWS of `rows`, in their order.

    A stratified sample: one row at random from each of BACKGROUND_ROWS strata of the answers `value`,
    (n_rows,). It represents all rows twice as well as a simple random sample of its size.
    """
    strata = np.array_split(rows[np.argsort(value)], min(BACKGROUND_ROWS, len(rows)))
    return dataset.take(np.sort([rng.choice(stratum) for stratum in strata]))


def _of_probability(  # noqa: PLR0913  # as `train`
    recipe: Recipe,
    dataset: Dataset,
    regressor: Regressor,
    rows: IntArray,
    rng: np.random.Generator,
    crew: Crew,
) -> tuple[Head | None, Interval]:
    """The spread head (None: the deviation over the ensemble's members) and interval of a probability.

    The spread of a bootstrapped ensemble is scaled until it covers the known probabilities of simulated
    applications (`training.simulate`). That of other networks is a grouped jackknife's.
    """
    if recipe.bootstrap:
        factor = inflation(recipe, dataset, rows, rng, crew.watch)
        return None, calibrate.ensemble_spread("logit", factor)
    fold = stratified_folds(dataset.outcome[rows], rng, FOLDS)
    value = cross_fit(recipe, dataset, rows, fold, rng, crew)
    whole = answers(regressor, dataset, rows)
    to_link = LINKS["logit"].to_link
    # The grouped jackknife (Efron 1982): a row's answers with and without its fold differ by one term of
    # the variance, which is (K - 1) times the mean of their squares.
    deviation = np.sqrt((FOLDS - 1) * np.square(to_link(value) - to_link(whole)).mean())
    return constant_head(regressor.encoder, float(deviation)), calibrate.ensemble_spread(
        "logit", 1.0
    )


def constant_head(encoder: Encoder, value: float) -> Head:
    """A head whose value is `value` for every row."""
    weights = np.zeros((1, encoder.n_inputs, 1), np.float32)
    network = Network((Layer(weights, np.zeros((1, 1, 1), np.float32), "identity"),))
    return Head(network, ("identity",), np.full((1, 1, 1), value), np.ones((1, 1, 1)))

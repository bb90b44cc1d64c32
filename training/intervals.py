"""Intervals of a quantity, calibrated on the errors of forecasts for rows that were not learned from.

    cross-fit (predict each row with networks that did not see it) -> residuals -> spread -> quantiles

Every row is held out once, so none has to be set aside. (As in cross-conformal prediction, Vovk 2015, and
CV+, Barber et al. 2021; but the intervals lie around the answers of networks that learned from all rows,
and their proofs are not about such.) A small network learns how large the residuals are, by hour, season
and weather; the interval's factors are quantiles of residual / spread (Lei et al. 2018).

Which rows are held out together depends on the recipe. One that fills gaps predicts hours between hours
that it saw, so random rows are held out, and so they are of a task without a timestamp. A forecast predicts
days of which it saw nothing, so whole weeks are. But these weeks still lie between weeks that were seen,
while a forecast is about later days, with growth that nobody has seen. How much harder that is gets
measured: three windows near the end of the rows are forecast by networks that learned from the days up to
60 before, and the intervals are widened by the ratio of these errors to the held-out errors of the same
hours.

If a student answers for an ensemble (`training.distil`), the residuals are still the ensembles'. The two
differ by about 1 rental on such rows, whose mean absolute error is 23.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.arrays import FloatArray, IntArray
from models.errors import TrainingError
from models.features import Encoder, fit_encoder
from models.interval import DEFAULT_LEVEL, HIGHEST_LEVEL, Interval
from models.links import LINKS
from models.model import Head
from training import calibrate
from training.crew import Crew, Job
from training.data import Dataset
from training.fit import FitSettings, Rows, fit
from training.kriging import with_deviation
from training.parameters import Architecture, initial
from training.pipeline import answers, fit_rows, require_positive
from training.progress import Watch
from training.protocols import TEST_DAYS, VALIDATION_DAYS, window
from training.recipes import Recipe

FOLDS = 4
GAP_FOLDS = 10
"""More folds for a recipe that fills gaps: its errors depend on how many neighbouring hours were seen."""
BLOCK_DAYS = 7
"""Days that are held out together, because the errors of a week's hours are correlated."""

WINDOW_ENDS = (0, 40, 80)
"""How many days before the last row each window of later days ends."""
LEAST_DAYS = 90
"""A window with fewer days to learn from is left out."""

SPREAD_FIT = FitSettings(rate=3e-3, batch_size=256, epochs=24, schedule="cosine", weight_decay=3e-3)
MEAN_SPREAD_FIT = replace(SPREAD_FIT, loss="linex", epochs=16, weight_decay=5e-3)
"""For a recipe with kriging. The mean of the residuals depends more on their tails, which is what intervals
are about, than the mean of their logarithms: on held-out rows the coverage of the hours of the day differs
less, and the interval score is lower. For a forecast, on windows before day 480, the score is the same."""
SPREAD_HIDDEN, SPREAD_GAIN = (16,), 0.25
SPREAD_REACH = 1.5
"""The bound of the log spread around its mean, in standard deviations of the log residuals. Without it the
exponential of an extrapolated line could explode on a kind of day that is not in the training rows."""
SMALLEST_RESIDUAL = 0.05
"""Added to the residuals, on the interval's scale, to keep the logarithm of a perfect forecast finite."""


def of_quantity(
    recipe: Recipe, dataset: Dataset, rows: IntArray, rng: np.random.Generator, crew: Crew
) -> tuple[Head, Interval]:
    """The spread head and the interval of networks that learn from `rows`, (n_rows,).

    Raises TrainingError for too few rows, or a scale on which the task's answers may have no place.
    """
    require_positive("interval_link", recipe.interval_link, dataset.task.bounds[0])
    fold = rng.permutation(len(rows)) % GAP_FOLDS
    windows: list[tuple[IntArray, Job[FloatArray]]] = []
    if recipe.fills_gaps or not dataset.task.time_field:
        require(len(rows) >= FOLDS, dataset, rows, f"at least {FOLDS} rows")
    else:
        days = dataset.hours[rows].astype("datetime64[D]").astype(np.int64)
        fold = days // BLOCK_DAYS % FOLDS
        has_all = len(np.unique(fold)) >= FOLDS
        require(has_all, dataset, rows, f"rows of at least {FOLDS} weeks")
        windows = _later(recipe, dataset, rows, days, rng, crew)
    value = cross_fit(recipe, dataset, rows, fold, rng, crew)
    later = [(judged, forecast.result()) for judged, forecast in windows]
    truth, link = dataset.outcome[rows], recipe.interval_link
    variables = dataset.task.derive(dataset.take(rows))
    encoder = fit_encoder(dataset.task.variables, recipe.columns, variables)
    residual = _distance(link, truth, value)
    spread_head, spread = _spread(recipe, encoder, variables, residual, fold, rng, crew.watch)
    factor = widening(link, residual / spread, later, truth, spread)
    return spread_head, calibrate.conformal(link, value, truth, spread, factor)


def _spread(  # noqa: PLR0913  # the recipe, the rows with their residuals and folds, randomness, who watches
    recipe: Recipe,
    encoder: Encoder,
    variables: FloatArray,
    residual: FloatArray,
    fold: IntArray,
    rng: np.random.Generator,
    watch: Watch,
) -> tuple[Head, FloatArray]:
    """The spread head, and its spread of each held-out row, (n_rows,).

    With kriging the spread includes the factor that the neighbouring hours leave. For an answer all rows
    are neighbours; for a held-out row only those of other folds are.
    """
    inputs, kriging = encoder.encode(variables), recipe.kriging
    if kriging is None:
        head = fit_spread(encoder, Rows(inputs, residual[:, np.newaxis]), rng, watch)
        return head, head.value_of(head.member_values(inputs))
    whole = kriging.extended(encoder)
    codes = kriging.codes(whole, variables)
    left = kriging.held_out_deviation(codes, fold)
    rows = Rows(inputs, (residual / left)[:, np.newaxis])
    head = fit_spread(encoder, rows, rng, watch, of_mean=True)
    spread = left * head.value_of(head.member_values(inputs))
    network = with_deviation(kriging, whole, head.network, codes)
    return replace(head, network=network), spread


def widening(
    link: str,
    scores: FloatArray,
    later: Sequence[tuple[IntArray, FloatArray]],
    truth: FloatArray,
    spread: FloatArray,
) -> float:
    """The factor, at least 1, by which forecasts of later days are worse than held-out predictions.

    link : the scale of the errors.
    scores, truth, spread : (n_rows,), the held-out residuals over the spread, the truth and the spread.
    later : for each window of later days its positions in those arrays and the forecasts, (n_window,).
    """
    if not later:
        return 1.0
    at = np.concatenate([where for where, _ in later])
    forecast = np.concatenate([value for _, value in later])
    as_forecast = _distance(link, truth[at], forecast) / spread[at]
    ratio = np.quantile(as_forecast, DEFAULT_LEVEL) / np.quantile(scores[at], DEFAULT_LEVEL)
    return max(float(ratio), 1.0)


def _later(  # noqa: PLR0913  # as `of_quantity`
    recipe: Recipe,
    dataset: Dataset,
    rows: IntArray,
    days: IntArray,
    rng: np.random.Generator,
    crew: Crew,
) -> list[tuple[IntArray, Job[FloatArray]]]:
    """The windows of later days: positions of the rows, and the jobs that forecast them."""
    windows: list[tuple[IntArray, Job[FloatArray]]] = []
    for number, (end, own) in enumerate(
        zip(WINDOW_ENDS, rng.spawn(len(WINDOW_ENDS)), strict=True), 1
    ):
        learned, judged = _window(days, end)
        if len(np.unique(days[learned])) < LEAST_DAYS or not len(judged):
            continue
        title = f"forecasts of later days {number} of {len(WINDOW_ENDS)}"
        parts = rows[learned], rows[judged]
        windows.append(
            (judged, crew.start(title, _forecast, recipe, dataset, *parts, own, title, crew.watch))
        )
    return windows


def _window(days: IntArray, end: int) -> tuple[IntArray, IntArray]:
    """Positions of the rows to learn from and to judge, of the window that ends so many days early."""
    split = window(f"{end} days early", days, days.max() - end - TEST_DAYS + 1)
    return split.train, split.test


def shortcomings(recipe: Recipe, dataset: Dataset) -> list[str]:
    """What the rows of a quantity do not suffice for in its intervals, a remark each."""
    found = []
    if dataset.task.time_field and not recipe.fills_gaps:
        days = dataset.hours.astype("datetime64[D]").astype(np.int64)
        n_days = len(np.unique(days[_window(days, WINDOW_ENDS[0])[0]]))
        if n_days < LEAST_DAYS:
            found.append(
                "its intervals are not widened for later days, of which fewer will lie inside than the "
                f"level says: that takes rows of {LEAST_DAYS} days before the last "
                f"{VALIDATION_DAYS + TEST_DAYS}, and there are {n_days}"
            )
    if (told := calibrate.highest_level(len(dataset))) < HIGHEST_LEVEL:
        found.append(
            f"its intervals above the level {told:g} are too narrow: {len(dataset)} rows tell nothing "
            "about larger errors"
        )
    return found


def cross_fit(  # noqa: PLR0913  # as `train`
    recipe: Recipe,
    dataset: Dataset,
    rows: IntArray,
    fold: IntArray,
    rng: np.random.Generator,
    crew: Crew,
) -> FloatArray:
    """Cross-fitting: the value of each row, (n_rows,), by networks that learned from the other folds.

    fold : (n_rows,), the fold of each of `rows`.
    """
    folds = np.unique(fold).tolist()
    started = []
    for number, (held_out, own) in enumerate(zip(folds, rng.spawn(len(folds)), strict=True), 1):
        parts = rows[fold != held_out], rows[fold == held_out]
        title = f"held-out residuals {number} of {len(folds)}"
        call = recipe, dataset, *parts, own, title, crew.watch
        started.append(crew.start(title, _forecast, *call))
    value = np.empty(len(rows))
    for held_out, forecast in zip(folds, started, strict=True):
        value[fold == held_out] = forecast.result()
    return value


def _forecast(  # noqa: PLR0913  # recipe, data, which rows, randomness, and who watches
    recipe: Recipe,
    dataset: Dataset,
    learned: IntArray,
    judged: IntArray,
    rng: np.random.Generator,
    title: str,
    watch: Watch,
) -> FloatArray:
    """The answers for the rows `judged`, (n_judged,), of networks that learned from the rows `learned`."""
    with watch.stage(title, recipe.fit.epochs) as on_check:
        regressor = fit_rows(recipe, dataset, learned, None, rng, on_check)
    return answers(regressor, dataset, judged)


def fit_spread(
    encoder: Encoder,
    rows: Rows,
    rng: np.random.Generator,
    watch: Watch,
    *,
    of_mean: bool = False,
) -> Head:
    """A small network that predicts the size of the residuals: the exponential of the mean of their logs.

    rows : encoded rows with the absolute residuals on the interval's scale, (n_rows, 1).
    of_mean : predict the mean of the residuals instead, without the bound SPREAD_REACH.
    """
    logs = np.log(rows.target + SMALLEST_RESIDUAL)
    if of_mean:
        settings, output = MEAN_SPREAD_FIT, "identity"
        mean, scale = float(np.log(rows.target.mean() + SMALLEST_RESIDUAL)), 1.0
    else:
        settings, output = SPREAD_FIT, "tanh"
        mean, scale = float(logs.mean()), SPREAD_REACH * (float(logs.std()) or 1.0)
    target = ((logs - mean) / scale).astype(np.float32)
    sizes = (encoder.n_inputs, *SPREAD_HIDDEN, 1)
    parameters = initial(
        Architecture(sizes, output=output), rng, fan_in=encoder.fan_in, input_gain=SPREAD_GAIN
    )
    learned = Rows(rows.inputs.with_dense(encoder.n_inputs), target)
    with watch.stage("spread", settings.epochs) as on_check:
        fitted = fit(parameters, learned, None, settings, rng, on_check)
    shape = (1, 1, 1)
    return Head(fitted.network, ("exp",), np.full(shape, mean), np.full(shape, scale))


def _distance(link: str, truth: FloatArray, value: FloatArray) -> FloatArray:
    """The absolute error on the scale of a link."""
    to_link = LINKS[link].to_link
    return np.abs(to_link(truth) - to_link(value))


def require(holds: bool, dataset: Dataset, rows: IntArray, what: str) -> None:  # noqa: FBT001  # an assertion
    """Raise TrainingError, saying that `what` is needed, unless it `holds` of `rows`, (n_rows,)."""
    if not holds:
        few = f"{len(rows)} of its {len(dataset)} rows are too few to train on"
        raise TrainingError(f"{dataset.source}: {few}; {what} are needed")

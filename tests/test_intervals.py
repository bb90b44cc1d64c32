"""Intervals of a quantity: they hold what they promise on rows that nothing was learned from."""

from dataclasses import replace

import numpy as np
import pytest

from models.arrays import FloatArray, IntArray
from models.bundle import pack, unpack
from models.errors import TrainingError
from models.features import fit_encoder
from training import calibrate, catalogue, data, intervals
from training.crew import Crew
from training.data import Dataset
from training.evaluate import interval_scores
from training.fit import Rows
from training.intervals import SPREAD_REACH, fit_spread, of_quantity, widening
from training.progress import Lines, Nobody
from training.recipes import Recipe
from training.tables import _group_range
from training.trainer import Trained, train

BUSY = 17
"""The hour whose noise is large in the made-up truth."""


def quick(*, fills_gaps: bool) -> Recipe:
    """A recipe that is fitted in a moment: intervals have to hold for a poor forecast too."""
    recipe = catalogue.RECIPES["bikes"]
    fit = replace(recipe.fit, epochs=12, average_epochs=0)
    one = replace(recipe, links=("sqrt",), hidden=(8,), student=None)
    return replace(one, fit=fit, fills_gaps=fills_gaps)


def noisy(n_rows: int, rng: np.random.Generator) -> Dataset:
    """The first hours of the data with a made-up truth, noisier at BUSY than at other hours."""
    whole = data.read("bikes")
    columns = whole.take(np.arange(n_rows))
    hour = columns["timestamp"].astype(np.int64) % 24
    root = 8.0 + np.sin(hour / 4.0) + rng.normal(0.0, np.where(hour == BUSY, 3.0, 0.6))
    half = np.square(np.maximum(root, 0.0)) / 2.0
    targets = {"casual": half, "registered": half, "rentals": 2.0 * half}
    return replace(whole, columns=columns, targets=targets)


@pytest.fixture(scope="module")
def made() -> Dataset:
    """4,000 hours."""
    return noisy(4000, np.random.default_rng(4))


@pytest.fixture(scope="module")
def parts() -> list[IntArray]:
    """Random rows to learn from, and the others."""
    order = np.random.default_rng(5).permutation(4000)
    return [np.sort(part) for part in np.split(order, [2500])]


@pytest.fixture(scope="module")
def trained(made: Dataset, parts: list[IntArray]) -> Trained:
    """A model of the first part."""
    recipe = quick(fills_gaps=True)
    return train(recipe, made, parts[0], None, np.random.default_rng(0), Nobody())


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.99])
def test_coverage_is_the_level(
    trained: Trained, made: Dataset, parts: list[IntArray], level: float
) -> None:
    """Of new rows like those of the training, the share inside is the level, whatever the forecast."""
    said = trained.model.predict(made.take(parts[1]), level)
    truth = made.targets["rentals"][parts[1]]
    inside = (said.low <= truth) & (truth <= said.high)
    assert inside.mean() == pytest.approx(level, abs=0.04)
    assert said.low.min() >= 0.0


def test_noisy_hours_get_wide_intervals(
    trained: Trained, made: Dataset, parts: list[IntArray]
) -> None:
    """The spread follows the noise, here larger at one hour of the day, as far as 80 steps take it."""
    columns = made.take(parts[1])
    said = trained.model.predict(columns)
    width = np.sqrt(said.high) - np.sqrt(said.low)
    busy = columns["timestamp"].astype(np.int64) % 24 == BUSY
    assert width[busy].mean() > 1.2 * width[~busy].mean()


def test_groups_add_up(trained: Trained, made: Dataset, parts: list[IntArray]) -> None:
    """Every row is in one hour, one season and one size, and inside there if it is inside at all."""
    said = trained.model.predict(made.take(parts[1]))
    truth = made.targets["rentals"][parts[1]]
    found = interval_scores(made, parts[1], truth, said)
    for counts in found["groups"].values():
        n_rows, inside = np.sum(list(counts.values()), axis=0).tolist()
        assert n_rows == len(parts[1])
        assert inside == pytest.approx(found["coverage"] * n_rows)
    assert list(found["groups"]["hour"]) == [str(hour) for hour in range(24)]


def test_widening_is_the_ratio_of_the_errors() -> None:
    """Forecasts that miss three times as far as held-out ones widen the intervals threefold."""
    truth = np.full(100, 100.0)
    spread = np.ones(100)
    scores = np.full(100, 1.0)
    window = np.arange(50)
    later = [(window, np.full(50, 49.0)), (window + 50, np.full(50, 169.0))]
    assert widening("sqrt", scores, later, truth, spread) == pytest.approx(3.0)
    assert widening("sqrt", 10.0 * scores, later, truth, spread) == 1.0
    assert widening("sqrt", scores, [], truth, spread) == 1.0


def test_intervals_are_as_wide_as_later_days_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """The factor that was measured on them multiplies those of every level."""
    made, recipe = noisy(1000, np.random.default_rng(1)), quick(fills_gaps=False)
    recipe = replace(recipe, fit=replace(recipe.fit, epochs=1))
    found = []
    for factor in (1.0, 3.0):
        monkeypatch.setattr(intervals, "widening", lambda *_, factor=factor: factor)
        with Crew(Nobody()) as crew:
            _, interval = of_quantity(recipe, made, np.arange(1000), np.random.default_rng(0), crew)
        found.append(interval.above)
    np.testing.assert_allclose(found[1], 3.0 * found[0])


@pytest.mark.parametrize("n_rows", [24, 99, 100, 399])
def test_factors_are_the_scores_of_exactly_the_rank_that_the_level_asks_for(n_rows: int) -> None:
    """At 55 % of 99 rows the 55th smallest score, although 100 times 0.55 is a little more than 55."""
    scores = np.arange(1.0, n_rows + 1.0)
    found = calibrate.conformal("identity", np.zeros(n_rows), scores, np.ones(n_rows))
    per_cent = np.arange(50, 100)
    ranks = -(-(n_rows + 1) * per_cent // 100)
    assert found.above.tolist() == np.minimum(ranks, n_rows).tolist()


def test_widened_factors() -> None:
    """A widening multiplies the factors of every level."""
    rng = np.random.default_rng(0)
    arrays = (rng.uniform(50, 60, 200), rng.uniform(50, 60, 200), np.ones(200))
    plain, wide = (calibrate.conformal("sqrt", *arrays, factor) for factor in (1.0, 1.5))
    np.testing.assert_allclose(wide.below, 1.5 * plain.below)
    np.testing.assert_allclose(wide.above, 1.5 * plain.above)


def test_interval_of_an_ensemble_is_so_many_deviations_on_both_sides() -> None:
    """Nine tenths of a normal distribution lie within 1.645 standard deviations, here inflated by half."""
    found = calibrate.ensemble_spread("logit", 1.5)
    at = np.flatnonzero(found.levels == 0.9)
    assert found.below[at].tolist() == found.above[at].tolist() == [pytest.approx(1.5 * 1.644854)]


@pytest.mark.parametrize(("n_rows", "windows"), [(2500, 0), (5500, 2)], ids=["short", "long"])
def test_a_forecast_is_measured_on_later_days(n_rows: int, windows: int) -> None:
    """Windows whose networks would have too few days to learn from are left out."""
    made = noisy(n_rows, np.random.default_rng(1))
    said: list[str] = []
    recipe, rows, rng = quick(fills_gaps=False), np.arange(n_rows), np.random.default_rng(0)
    recipe = replace(recipe, fit=replace(recipe.fit, epochs=2))
    with Crew(Lines(said.append)) as crew:
        _, interval = of_quantity(recipe, made, rows, rng, crew)
    assert sum("later days" in line for line in said) == windows
    assert (interval.below > 0).all()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[IntArray, IntArray]]:
    """The rows that each forecast learned from and was asked for; its answers are the rows' numbers."""
    seen: list[tuple[IntArray, IntArray]] = []

    def forecast(
        _: Recipe, __: Dataset, learned: IntArray, judged: IntArray, *___: object
    ) -> FloatArray:
        seen.append((learned, judged))
        return judged.astype(float)

    monkeypatch.setattr(intervals, "_forecast", forecast)
    return seen


def test_each_row_is_forecast_once_by_networks_of_the_other_folds(
    made: Dataset, asked: list[tuple[IntArray, IntArray]]
) -> None:
    """No fold is learned from and judged at once, whatever the folds are called, and none is lost."""
    rows, fold = np.arange(100, 400), np.arange(300) % 3 + 5
    with Crew(Nobody()) as crew:
        value = intervals.cross_fit(
            quick(fills_gaps=True), made, rows, fold, np.random.default_rng(0), crew
        )
    np.testing.assert_array_equal(value, rows)
    assert len(asked) == 3
    for learned, judged in asked:
        assert len(judged) == 100
        np.testing.assert_array_equal(np.sort(np.concatenate([learned, judged])), rows)


def test_windows_are_later_than_what_their_networks_learned(
    bikes: Dataset, asked: list[tuple[IntArray, IntArray]]
) -> None:
    """As P1: 21 days, by networks of the days up to 60 before; the windows end 0, 40 and 80 days early."""
    days = bikes.hours.astype("datetime64[D]").astype(np.int64)
    rows = np.arange(len(bikes))
    with Crew(Nobody()) as crew:
        recipe, rng = quick(fills_gaps=False), np.random.default_rng(0)
        windows = intervals._later(recipe, bikes, rows, days, rng, crew)
        found = [job.result() for _, job in windows]
    last = days.max()
    for (judged, _), forecast, (learned, said), early in zip(
        windows, found, sorted(asked, key=lambda rows: -len(rows[0])), (0, 40, 80), strict=True
    ):
        np.testing.assert_array_equal(forecast, judged)
        np.testing.assert_array_equal(said, judged)
        assert (days[judged].min(), days[judged].max()) == (last - early - 20, last - early)
        assert (days[learned].min(), days[learned].max()) == (days[0], last - early - 20 - 61)
        assert len(judged) == np.isin(days, np.unique(days[judged])).sum()


def test_what_no_interval_can_be_made_of_is_refused(made: Dataset) -> None:
    """A forecast needs a week for each fold, and an answer below 0 a scale that takes it."""
    recipe, rng = quick(fills_gaps=False), np.random.default_rng(0)
    with Crew(Nobody()) as crew, pytest.raises(TrainingError, match="rows of at least 4 weeks are"):
        of_quantity(recipe, made, np.arange(24 * 14), rng, crew)
    recipe = replace(recipe, interval_link="logit")
    free = replace(made, task=replace(made.task, bounds=(-np.inf, np.inf)))
    with pytest.raises(TrainingError, match=r"^interval_link: logit takes no number below 0"):
        of_quantity(recipe, free, np.arange(9), rng, crew)


def test_lowest_and_highest_group_of_all_splits_together() -> None:
    """The groups of several splits are pooled before the lowest and the highest are picked."""
    splits = [
        {"groups": {"hour": {"0": [10, 9], "1": [10, 5]}}},
        {"groups": {"hour": {"0": [10, 8], "1": [30, 30], "2": [5, 5]}}},
    ]
    assert _group_range(splits, "hour") == "hour 0.850 (0), 1.000 (2)"
    one = [{"groups": {"season": {"autumn": [20, 18]}}}]
    assert _group_range(one, "season") == "season 0.900 (autumn)"


@pytest.mark.parametrize("of_mean", [False, True])
def test_a_kind_of_day_that_was_never_seen_has_an_interval_with_an_end(
    of_mean: bool,  # noqa: FBT001
) -> None:
    """P3 hides Christmas: the spread there stays within the reach of the residuals that were seen."""
    rows = noisy(2500, np.random.default_rng(2))
    variables = rows.task.derive(rows.columns)
    encoder = fit_encoder(rows.task.variables, quick(fills_gaps=True).columns, variables)
    rng = np.random.default_rng(0)
    residual = np.exp(rng.normal(0.0, 1.0, (2500, 1)))
    head = fit_spread(
        encoder, Rows(encoder.encode(variables), residual), rng, Nobody(), of_mean=of_mean
    )
    strange = variables.copy()
    strange[:, rows.task.variables.index("away")] = 1.0
    spread = head.value_of(head.member_values(encoder.encode(strange)))
    assert spread.max() < 2.0 * np.exp(SPREAD_REACH)


def test_a_recipe_with_kriging_has_narrower_intervals_that_hold() -> None:
    """What hours share with their neighbours is used, from a bundle too, and nine in ten stay inside."""
    made = noisy(4000, np.random.default_rng(4))
    shared = np.repeat(np.random.default_rng(6).normal(0.0, 1.5, 1000), 4)
    total = np.square(np.sqrt(made.targets["rentals"]) + shared)
    made = replace(made, targets={"casual": total / 2, "registered": total / 2, "rentals": total})
    order = np.random.default_rng(5).permutation(4000)
    learned, judged = np.sort(order[:3200]), np.sort(order[3200:])
    found = {}
    for kriging in (catalogue.RECIPES["bikes-days"].kriging, None):
        recipe = replace(quick(fills_gaps=True), kriging=kriging)
        rng = np.random.default_rng(0)
        model = unpack(pack(train(recipe, made, learned, None, rng, Nobody()).model, {})).model
        said = model.predict(made.take(judged))
        found[kriging] = interval_scores(made, judged, made.targets["rentals"][judged], said)
        assert found[kriging]["coverage"] == pytest.approx(0.9, abs=0.04)
    kriged, plain = found.values()
    assert kriged["width"] < 0.95 * plain["width"]

"""What the networks leave over is carried to the hours around."""

from dataclasses import replace

import numpy as np
import pytest

from models.errors import TrainingError
from models.features import Category, Number, fit_encoder
from models.network import forward
from tests.parts import part_of
from training import catalogue, data
from training.kriging import NEAR, Kriging, widened, with_deviation, with_left_over
from training.parameters import Architecture, initial
from training.pipeline import fit_rows

KRIGING = Kriging(Category(("day", "hour"), (10, 24)), shared=0.7, fades=2.5)
VARIABLES = ("temperature", "day", "hour")


def likeness(hours: float) -> float:
    """The correlation of two hours, written out."""
    return 0.7 * float(np.exp(-hours / 2.5))


def test_weights_of_two_neighbours_are_those_of_the_formula() -> None:
    """Between two known hours: w = c / (1 + their correlation), where c is that of each with the middle."""
    known = np.zeros(240, dtype=bool)
    known[[99, 101]] = True
    found = KRIGING.weights(known)[100]
    expected = likeness(1) / (1.0 + likeness(2))
    np.testing.assert_allclose(found[[NEAR - 1, NEAR + 1]], expected, rtol=1e-12)
    assert np.count_nonzero(found) == 2  # an hour that nobody saw counts nothing


def test_levels_fall_to_nothing_away_from_what_was_seen() -> None:
    """One residual is shrunk at its own hour, fades around it, and counts nothing beyond NEAR hours."""
    (level,) = KRIGING.levels(np.array([100]), np.full((1, 1, 1), 2.0))[..., 0]
    np.testing.assert_allclose(level[100:104], [2.0 * likeness(k) for k in range(4)], rtol=1e-12)
    assert not level[: 100 - NEAR].any()
    assert not level[101 + NEAR :].any()


def test_deviation_is_what_the_hours_around_leave() -> None:
    """Between two known hours 1 - w c of the variance is left, and far from all that is known all of it."""
    left = KRIGING.deviation(np.array([99, 101]))
    explained = 2.0 * likeness(1) ** 2 / (1.0 + likeness(2))
    np.testing.assert_allclose(left[[100, 200]], [np.sqrt(1.0 - explained), 1.0], rtol=1e-12)


def test_a_held_out_hour_knows_only_the_hours_of_other_folds() -> None:
    """The middle hour's neighbours count where they are of another fold than it is."""
    codes = np.array([99, 100, 101])
    apart = KRIGING.held_out_deviation(codes, np.array([0, 1, 0]))
    assert apart[1] == KRIGING.deviation(np.array([99, 101]))[100]
    np.testing.assert_array_equal(KRIGING.held_out_deviation(codes, np.zeros(3, int)), 1.0)


def test_kriging_forecasts_what_has_such_correlations() -> None:
    """Hidden values of a process with these correlations are met with the error that theory says."""
    rng = np.random.default_rng(0)
    off = np.arange(KRIGING.over.size)
    between = np.array(
        [[likeness(abs(a - b)) for b in range(240)] for a in range(240)]
    ) + 0.3 * np.eye(len(off))
    drawn = rng.multivariate_normal(np.zeros(len(off)), between, size=200)
    hidden = off % 3 == 1
    expected = KRIGING.levels(np.flatnonzero(~hidden), drawn[:, ~hidden, np.newaxis])[..., 0]
    weights = KRIGING.weights(~hidden)[hidden]
    theory = 1.0 - weights @ KRIGING.correlation(np.arange(-NEAR, NEAR + 1))
    found = np.square(expected - drawn)[:, hidden].mean()
    np.testing.assert_allclose(found, theory.mean(), rtol=0.05)
    assert found < 0.9


def test_network_with_levels_answers_the_old_answer_and_the_level() -> None:
    """The hours are one more category, which only the skip reads."""
    rng = np.random.default_rng(1)
    hours = np.arange(50)
    variables = np.column_stack([rng.normal(size=50), hours // 24, hours % 24]).astype(np.float64)
    encoder = fit_encoder(VARIABLES, (Number("temperature"), Category(("hour",), (24,))), variables)
    shape = Architecture((encoder.n_inputs, 4, 2), members=3, skip=True)
    network = initial(shape, rng).network
    before = forward(network, encoder.encode(variables))
    residual = rng.normal(size=(3, 50, 2))
    whole, wide = with_left_over(KRIGING, encoder, network, variables, residual)
    assert whole.n_inputs == wide.n_inputs == encoder.n_inputs + 240
    after = forward(wide, whole.encode(variables))
    level = KRIGING.levels(hours, residual)[:, :50]
    np.testing.assert_allclose(after, before + level, rtol=1e-4, atol=1e-5)


def test_widened_network_is_the_same_function() -> None:
    """Inputs that are new count nothing, with a skip and without one."""
    rng = np.random.default_rng(2)
    for skip in (False, True):
        network = initial(Architecture((5, 3, 1), skip=skip), rng).network
        wide = widened(network, 9)
        np.testing.assert_array_equal(wide.layers[0].weights[:, :5], network.layers[0].weights)
        assert not wide.layers[0].weights[:, 5:].any()
        assert (wide.skip is None) == (not skip)


def test_network_with_deviation_multiplies_the_spread() -> None:
    """The logarithm of the spread has that of what is left to the hour added to it."""
    rng = np.random.default_rng(3)
    hours = np.arange(50)
    variables = np.column_stack([rng.normal(size=50), hours // 24, hours % 24]).astype(np.float64)
    encoder = fit_encoder(VARIABLES, (Number("temperature"), Category(("hour",), (24,))), variables)
    network = initial(Architecture((encoder.n_inputs, 4, 1)), rng).network
    before = forward(network, encoder.encode(variables))[0, :, 0]
    whole, known = KRIGING.extended(encoder), np.array([3, 5, 30])
    after = forward(with_deviation(KRIGING, whole, network, known), whole.encode(variables))
    expected = np.exp(before) * KRIGING.deviation(known)[:50]
    np.testing.assert_allclose(np.exp(after[0, :, 0]), expected, rtol=1e-4)


def test_rows_of_days_that_the_recipe_does_not_know_are_refused() -> None:
    """They would all count as the hours of the last day, and only the last row of each would be kept."""
    rows = np.arange(48)
    part = part_of(data.read("bikes"), rows)
    moved = {"timestamp": part.hours + np.timedelta64(8 * 365, "D")}
    later = replace(part, columns={**part.columns, **moved}, source="later.csv")
    recipe = catalogue.RECIPES["bikes-days"]
    with pytest.raises(TrainingError, match=r"bikes-days: .* later\.csv has rows of other days; "):
        fit_rows(recipe, later, rows, None, np.random.default_rng(0))

"""The losses: each is its formula, and its derivative is its derivative."""

import numpy as np
import pytest
from sklearn import metrics

from models.activations import sigmoid
from tests.nets import some_target
from training.losses import LOSSES, mean_loss

STEP = 1e-6


@pytest.mark.parametrize("name", LOSSES)
def test_derivative_is_the_derivative(name: str) -> None:
    """The derivative agrees with a central difference, row by row and output by output."""
    rng = np.random.default_rng(0)
    loss, output = LOSSES[name], rng.normal(size=(3, 20, 2))
    target = some_target(name, 20, rng)
    rise = loss.value(output + STEP, target) - loss.value(output - STEP, target)
    derivative = loss.derivative(output, target, None)
    np.testing.assert_allclose(derivative, rise / (2 * STEP), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_both_are_pure(name: str) -> None:
    """Arguments stay as they are, and `out` gets the derivative."""
    rng = np.random.default_rng(0)
    loss, output, target = LOSSES[name], rng.normal(size=(1, 5, 2)), some_target(name, 5, rng)
    kept_output, kept_target = output.copy(), target.copy()
    loss.value(output, target)
    derivative = loss.derivative(output, target, None)
    into = np.empty_like(output)
    assert loss.derivative(output, target, into) is into
    np.testing.assert_array_equal(into, derivative)
    np.testing.assert_array_equal(output, kept_output)
    np.testing.assert_array_equal(target, kept_target)


def test_half_mse_by_hand() -> None:
    """Half the square of the error, and the error itself as its derivative."""
    output, target = np.array([[[3.0]]]), np.array([[1.0]])
    assert LOSSES["half_mse"].value(output, target).item() == 2.0
    assert LOSSES["half_mse"].derivative(output, target, None).item() == 2.0


def test_cross_entropy_is_the_log_loss() -> None:
    """Cross-entropy on logits is the log loss of their sigmoids, as scikit-learn computes it."""
    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=(1, 50, 1)), some_target("cross_entropy", 50, rng, outputs=1)
    expected = metrics.log_loss(target[:, 0], sigmoid(logits)[0, :, 0])
    assert mean_loss(LOSSES["cross_entropy"], logits, target) == pytest.approx(expected)


def test_cross_entropy_does_not_overflow() -> None:
    """A logit of 1e4 that is wrong costs 1e4, and one that is right nothing."""
    logits, target = np.array([[[1e4], [-1e4], [1e4]]]), np.array([[0.0], [0.0], [1.0]])
    with np.errstate(over="raise", invalid="raise"):
        value = LOSSES["cross_entropy"].value(logits, target)
    assert value[0, :, 0].tolist() == [1e4, 0.0, 0.0]


def test_poisson_is_least_at_the_mean() -> None:
    """The Poisson loss of a count y is least at the rate y: log y has derivative 0."""
    target = np.array([[1.0], [4.0]])
    output = np.log(target)[np.newaxis]
    np.testing.assert_allclose(LOSSES["poisson"].derivative(output, target, None), 0.0, atol=1e-12)


def test_linex_of_logarithms_is_least_at_the_mean() -> None:
    """Over numbers r the one o that costs log r least is the log of their mean, not the mean of logs."""
    r = np.array([[1.0], [2.0], [9.0]])
    output = np.full((1, 3, 1), np.log(r.mean()))
    assert LOSSES["linex"].derivative(output, np.log(r), None).sum() == pytest.approx(0.0)
    assert LOSSES["linex"].value(np.log(r)[np.newaxis], np.log(r)).tolist() == [[[0.0]] * 3]


def test_mean_loss_sums_outputs_and_averages_the_rest() -> None:
    """The mean over members and rows of the sum over outputs."""
    output = np.arange(12.0).reshape(2, 3, 2)
    expected = 0.5 * np.square(output).sum() / (2 * 3)
    assert mean_loss(LOSSES["half_mse"], output, np.zeros((3, 2))) == pytest.approx(expected)

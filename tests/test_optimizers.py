"""The optimisers: each step is the formula, to the last bit."""

import numpy as np
import pytest

from models.arrays import FloatArray
from training.optimizers import Adam, Sgd

RATES = (0.1, 0.05, 0.2)


@pytest.fixture
def gradients() -> list[FloatArray]:
    """A gradient for each of three steps."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=20) for _ in RATES]


def test_sgd_is_gradient_descent(gradients: list[FloatArray]) -> None:
    """Without momentum: w = w - rate g, exactly."""
    w = np.linspace(-1.0, 1.0, 20)
    expected, optimizer = w.copy(), Sgd()
    for rate, g in zip(RATES, gradients, strict=True):
        expected = expected - rate * g
        optimizer.update(w, g.copy(), rate)
        np.testing.assert_array_equal(w, expected)


def test_sgd_with_momentum(gradients: list[FloatArray]) -> None:
    """v = momentum v - rate g; w = w + v, exactly."""
    w = np.linspace(-1.0, 1.0, 20)
    expected, v, optimizer = w.copy(), np.zeros(20), Sgd(momentum=0.9)
    for rate, g in zip(RATES, gradients, strict=True):
        v = 0.9 * v - rate * g
        expected = expected + v
        optimizer.update(w, g.copy(), rate)
        np.testing.assert_array_equal(w, expected)


def test_adam_equals_its_folded_formula(gradients: list[FloatArray]) -> None:
    """Adam with (1 - b1) and (1 - b2) drawn out of m and s, as the code computes it, exactly."""
    b1, b2, epsilon = 0.9, 0.999, 1e-8
    w = np.linspace(-1.0, 1.0, 20)
    expected, m, s, optimizer = w.copy(), np.zeros(20), np.zeros(20), Adam()
    for t, (rate, g) in enumerate(zip(RATES, gradients, strict=True), start=1):
        m, s = b1 * m + g, b2 * s + g * g
        correction, root = np.sqrt(1.0 - b2**t), np.sqrt(1.0 - b2)
        step = rate * correction / (1.0 - b1**t) * (1.0 - b1) / root
        expected = expected - m / (np.sqrt(s) + epsilon * correction / root) * step
        optimizer.update(w, g.copy(), rate)
        np.testing.assert_array_equal(w, expected)


def test_adam_is_adam(gradients: list[FloatArray]) -> None:
    """The folded formula is the paper's, up to rounding."""
    b1, b2, epsilon = 0.9, 0.999, 1e-8
    w = np.linspace(-1.0, 1.0, 20)
    expected, m, s, optimizer = w.copy(), np.zeros(20), np.zeros(20), Adam()
    for t, (rate, g) in enumerate(zip(RATES, gradients, strict=True), start=1):
        m, s = b1 * m + (1.0 - b1) * g, b2 * s + (1.0 - b2) * g**2
        m_hat, s_hat = m / (1.0 - b1**t), s / (1.0 - b2**t)
        expected = expected - rate * m_hat / (np.sqrt(s_hat) + epsilon)
        optimizer.update(w, g.copy(), rate)
        np.testing.assert_allclose(w, expected, rtol=1e-13, atol=1e-15)


def test_first_step_of_adam_has_the_length_of_the_rate() -> None:
    """Whatever the size of a gradient, Adam's first step is `rate` long in each weight."""
    w = np.zeros(3)
    Adam().update(w, np.array([1e-3, -5.0, 1e4]), rate=0.01)
    np.testing.assert_allclose(w, [-0.01, 0.01, -0.01], rtol=1e-4)


@pytest.mark.parametrize("optimizer", [Sgd(0.5), Adam()], ids=["sgd", "adam"])
def test_float32_stays_float32(optimizer: Sgd | Adam) -> None:
    """No step widens the weights."""
    w = np.ones(4, dtype=np.float32)
    optimizer.update(w, np.ones(4, dtype=np.float32), 0.1)
    assert w.dtype == np.float32
    assert (w < 1.0).all()

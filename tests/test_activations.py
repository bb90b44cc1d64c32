"""The activations: each is its formula, and its derivative is its derivative."""

from collections.abc import Callable

import numpy as np
import pytest

from models.activations import ACTIVATIONS, Activation
from models.arrays import FloatArray

FORMULAS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "identity": lambda z: z,
    "sigmoid": lambda z: 1.0 / (1.0 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": lambda z: np.where(z > 0.0, z, 0.0),
    "silu": lambda z: z / (1.0 + np.exp(-z)),
}
EVERY = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS.keys())
STEP = 1e-6


def some_z() -> FloatArray:
    """Pre-activations, (40, 5), none of them within 10 steps of the kink at 0."""
    z = np.random.default_rng(0).normal(0.0, 3.0, (40, 5))
    assert np.abs(z).min() > 10 * STEP
    return z


def test_every_activation_has_its_formula_here() -> None:
    """A new activation needs a formula in this test."""
    assert set(FORMULAS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_function_is_its_formula(name: str) -> None:
    """The function computes the textbook formula."""
    z = some_z()
    np.testing.assert_allclose(ACTIVATIONS[name].function(z, None), FORMULAS[name](z), rtol=1e-12)


@EVERY
def test_derivative_is_the_derivative(activation: Activation) -> None:
    """The derivative agrees with a central difference."""
    z = some_z()
    rise = activation.function(z + STEP, None) - activation.function(z - STEP, None)
    derivative = activation.derivative(z, activation.function(z, None), None)
    np.testing.assert_allclose(derivative, rise / (2 * STEP), rtol=1e-6, atol=1e-9)


@EVERY
def test_increasing_is_what_it_says(activation: Activation) -> None:
    """What is declared to be increasing falls nowhere, and what is not falls somewhere."""
    z = np.linspace(-30.0, 30.0, 6001)
    assert activation.increasing is bool((np.diff(activation.function(z, None)) >= 0.0).all())


@EVERY
def test_both_are_pure_and_write_only_to_out(activation: Activation) -> None:
    """Arguments stay as they are, `out` gets the result, and `out` may be `z` itself."""
    z = some_z()
    kept = z.copy()
    a = activation.function(z, None).copy()
    derivative = activation.derivative(z, a, None)
    np.testing.assert_array_equal(z, kept)
    into = np.empty_like(z)
    assert activation.function(z, into) is into
    np.testing.assert_array_equal(into, a)
    assert activation.derivative(z, a, into) is into
    np.testing.assert_array_equal(into, derivative)
    np.testing.assert_array_equal(z, kept)
    np.testing.assert_array_equal(activation.derivative(kept.copy(), a, kept), derivative)
    np.testing.assert_array_equal(activation.function(z, z), a)


@EVERY
def test_no_overflow(activation: Activation) -> None:
    """Huge pre-activations give finite answers and raise no floating-point warning, in float32."""
    z = np.array([[-1e30, -1e4, -100.0, 0.0, 100.0, 1e4, 1e30]], dtype=np.float32)
    with np.errstate(all="raise", under="ignore"):
        a = activation.function(z, np.empty_like(z))
        derivative = activation.derivative(z, a, None)
    assert a.dtype == derivative.dtype == np.float32
    assert np.isfinite(a).all()
    assert np.isfinite(derivative).all()


@pytest.mark.parametrize(
    ("name", "z", "a", "derivative"),
    [
        ("sigmoid", 0.0, 0.5, 0.25),
        ("tanh", 0.0, 0.0, 1.0),
        ("relu", 0.0, 0.0, 0.0),
        ("relu", 2.0, 2.0, 1.0),
        ("silu", 0.0, 0.0, 0.5),
        ("identity", -3.0, -3.0, 1.0),
    ],
)
def test_known_values(name: str, z: float, a: float, derivative: float) -> None:
    """Values that can be worked in the head, the kink of ReLU among them."""
    at = np.array([z])
    activation = ACTIVATIONS[name]
    assert activation.function(at, None).tolist() == [a]
    assert activation.derivative(at, np.array([a]), None).tolist() == [derivative]

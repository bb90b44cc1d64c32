"""Activation functions, each beside its derivative.

Both are pure. `function(z, out)` maps pre-activations to activations; `derivative(z, a, out)` takes
the pre-activations and the activations that belong to them, because for several functions the
derivative is cheapest in terms of the activation. `out` is an array to write into, which may be `z`
itself (training and serving do both so); without it a new array is made.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.arrays import FloatArray

_HALF, _ONE = np.array(0.5, np.float32), np.array(1.0, np.float32)
"""As arrays: NumPy takes longer to make one of a Python number than to multiply a hundred by it."""
_TINY = np.array(1e-30, np.float32)
"""Small against every activation that matters, and a normal number in float32."""
_TWICE_TINY = np.array(2e-30, np.float32)


@dataclass(frozen=True)
class Activation:
    """One activation function.

    function : (z, out) -> a, arrays of any one shape.
    derivative : (z, a, out) -> da/dz, of the same shape.
    gain : factor of the standard deviation 1/sqrt(n_in) of the initial weights that keeps the
        signal's variance from layer to layer: 1 for sigmoid-like functions (LeCun 1998), sqrt(2)
        for rectifiers (He et al. 2015).
    increasing : whether a never falls while z rises, as `training.monotone` needs it.
    """

    function: Callable[[FloatArray, FloatArray | None], FloatArray]
    derivative: Callable[[FloatArray, FloatArray, FloatArray | None], FloatArray]
    gain: float
    increasing: bool = True


def identity(z: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """a = z."""
    if out is None or out is z:
        return z
    np.copyto(out, z)
    return out


def identity_derivative(z: FloatArray, a: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """da/dz = 1."""
    if out is None:
        return np.ones_like(z)
    out.fill(1.0)
    return out


def sigmoid(z: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """a = 1 / (1 + exp(-z)), written as (1 + tanh(z/2)) / 2, which cannot overflow."""
    out = np.multiply(z, _HALF, out)
    np.tanh(out, out)
    out *= _HALF
    out += _HALF
    return out


def sigmoid_derivative(z: FloatArray, a: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """The derivative of the sigmoid: da/dz = a (1 - a)."""
    out = np.subtract(_ONE, a, out)
    out *= a
    return out


def tanh(z: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """The hyperbolic tangent of z."""
    return np.tanh(z, out)


def tanh_derivative(z: FloatArray, a: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """da/dz = 1 - a^2."""
    out = np.multiply(a, a, out)
    return np.subtract(_ONE, out, out)


def relu(z: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """a = max(z, 0)."""
    return np.maximum(z, 0.0, out=out)


def relu_derivative(z: FloatArray, a: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """da/dz = 1 where z > 0, else 0 (at the kink itself: 0)."""
    return np.greater(z, 0.0, out=np.empty_like(z) if out is None else out, casting="unsafe")


def silu(z: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """a = z sigmoid(z) (Elfwing et al. 2018), written as h + h tanh(h) with h = z/2."""
    half = np.multiply(z, _HALF)
    out = np.tanh(half, out)
    out *= half
    out += half
    return out


def silu_derivative(z: FloatArray, a: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """da/dz = s + a (1 - s) with s = sigmoid(z), which is a / z.

    The quotient costs a fraction of another sigmoid; the tiny terms make it 1/2 where z is 0.
    """
    s: FloatArray = np.add(z, _TWICE_TINY, out)
    rest = np.add(a, _TINY)
    np.divide(rest, s, s)
    np.subtract(_ONE, s, rest)
    rest *= a
    s += rest
    return s


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(identity, identity_derivative, gain=1.0),
    "sigmoid": Activation(sigmoid, sigmoid_derivative, gain=1.0),
    "tanh": Activation(tanh, tanh_derivative, gain=1.0),
    "relu": Activation(relu, relu_derivative, gain=math.sqrt(2.0)),
    "silu": Activation(silu, silu_derivative, gain=math.sqrt(2.0), increasing=False),
}

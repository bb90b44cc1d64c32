"""Link functions: between the unit of the answer and the scale on which a network is trained.

Each beside its inverse, both pure: `to_link` maps a target (rentals, a probability) to the scale of the
network's output, `from_link` maps it back. (The term is that of generalised linear models.)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.activations import sigmoid
from models.arrays import FloatArray

_ALMOST = 1e-9
"""Probabilities are kept this far from 0 and 1, where the logit is infinite."""
_LARGE = 1e6
"""Stands for infinity, which is on no scale."""


@dataclass(frozen=True)
class Link:
    """An increasing function and its inverse, for arrays of any shape and for single numbers.

    For a single number Python's arithmetic is several times faster than NumPy's.
    """

    to_link: Callable[[FloatArray], FloatArray]
    from_link: Callable[[FloatArray], FloatArray]
    number_to_link: Callable[[float], float]
    number_from_link: Callable[[float], float]

    def holds(self, low: float, high: float) -> bool:
        """Whether both ends of a range, which may be infinite, have a place on the scale and come back."""
        ends = np.clip([low, high], -_LARGE, _LARGE)
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = self.to_link(ends)
        return bool(np.isfinite(scaled).all() and np.allclose(self.from_link(scaled), ends))


def _same(x: FloatArray) -> FloatArray:
    return x


def _square(x: FloatArray) -> FloatArray:
    """The inverse of the square root: what lies below 0 there is 0."""
    root = np.maximum(x, 0.0)
    root *= root
    return root


def _power(y: FloatArray) -> FloatArray:
    """y^(3/4)."""
    root = np.sqrt(y)
    power: FloatArray = root * np.sqrt(root)
    return power


def _power_inverse(x: FloatArray) -> FloatArray:
    """The inverse of y^(3/4): what lies below 0 there is 0."""
    return np.maximum(x, 0.0) * np.cbrt(np.maximum(x, 0.0))


def _log_inverse(x: FloatArray) -> FloatArray:
    """The inverse of log(1 + y), never below 0."""
    return np.maximum(np.exp(x) - 1.0, 0.0)  # ten times as fast as expm1, and as good for counts


def _logit(p: FloatArray) -> FloatArray:
    p = np.minimum(np.maximum(p, _ALMOST), 1.0 - _ALMOST)
    return np.log(p / (1.0 - p))


def _logit_of(p: float) -> float:
    p = min(max(p, _ALMOST), 1.0 - _ALMOST)
    return math.log(p / (1.0 - p))


LINKS: dict[str, Link] = {
    "identity": Link(_same, _same, float, float),
    "sqrt": Link(np.sqrt, _square, math.sqrt, lambda x: x * x if x > 0.0 else 0.0),
    "power": Link(
        _power,
        _power_inverse,
        lambda y: math.sqrt(y) * math.sqrt(math.sqrt(y)),
        lambda x: x * math.cbrt(x) if x > 0.0 else 0.0,
    ),
    "log": Link(np.log1p, _log_inverse, math.log1p, lambda x: math.expm1(x) if x > 0.0 else 0.0),
    "exp": Link(np.log, np.exp, math.log, math.exp),
    "logit": Link(_logit, sigmoid, _logit_of, lambda x: 0.5 + 0.5 * math.tanh(0.5 * x)),
}

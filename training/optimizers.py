"""Optimisers: how a gradient changes the weights. Each has one method, `update`."""

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from models.arrays import FloatArray


class Optimizer(Protocol):
    """Changes `flat`, (n_parameters,), in place by one step against `gradient` of the same shape."""

    def update(self, flat: FloatArray, gradient: FloatArray, rate: float) -> None:
        """One step at learning rate `rate`. May overwrite `gradient`."""


@dataclass
class Sgd:
    """Gradient descent with momentum: v = momentum v - rate g; w = w + v (Polyak 1964)."""

    momentum: float = 0.0
    _velocity: FloatArray | None = field(default=None, repr=False)

    def update(self, flat: FloatArray, gradient: FloatArray, rate: float) -> None:
        """See `Optimizer`."""
        if self._velocity is None:
            self._velocity = np.zeros_like(flat)
        self._velocity *= self.momentum
        gradient *= rate
        self._velocity -= gradient
        flat += self._velocity


@dataclass
class Adam:
    """Adam (Kingma and Ba 2015), with the bias corrections folded into the rate and epsilon.

    m = b1 m + (1 - b1) g;  s = b2 s + (1 - b2) g^2;
    w = w - rate (m / (1 - b1^t)) / (sqrt(s / (1 - b2^t)) + epsilon)
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    _step: int = 0
    _state: tuple[FloatArray, ...] | None = field(default=None, repr=False)

    def update(self, flat: FloatArray, gradient: FloatArray, rate: float) -> None:
        """See `Optimizer`."""
        if self._state is None:
            # scalars as arrays: converting a Python float costs NumPy more than a short product
            numbers = (np.array(x, flat.dtype) for x in (self.beta1, self.beta2, 0.0, 0.0))
            self._state = np.zeros_like(flat), np.zeros_like(flat), *numbers
        m, s, beta1, beta2, epsilon, step = self._state
        self._step += 1
        correction = math.sqrt(1.0 - self.beta2**self._step)
        root = math.sqrt(1.0 - self.beta2)
        epsilon[()] = self.epsilon * correction / root
        step[()] = rate * correction / (1.0 - self.beta1**self._step) * (1.0 - self.beta1) / root
        # m and s are stored without their factor (1 - b), which saves a multiplication for each
        m *= beta1
        m += gradient
        gradient *= gradient
        s *= beta2
        s += gradient
        np.sqrt(s, gradient)
        gradient += epsilon
        np.divide(m, gradient, gradient)
        gradient *= step
        flat -= gradient

"""Priors of the weights, and the penalties that express them.

Weight decay pulls every weight to 0. An anchored ensemble (Pearce, Leibfried and Brintrup 2020) pulls
each weight of each member to its own draw from a normal prior, where it also starts. With few rows the
members stay apart wherever the rows say little, so their spread is an honest measure of uncertainty.
"""

from dataclasses import dataclass

import numpy as np

from models.arrays import FloatArray
from training.parameters import Architecture, Parameters, zeros


@dataclass(frozen=True)
class Penalty:
    """sum of strength / 2 * (w - anchor)^2, added to the mean loss; both of shape (n_parameters,)."""

    strength: FloatArray
    anchor: FloatArray

    def gradient(self, flat: FloatArray) -> FloatArray:
        """Its derivative at `flat`."""
        return self.strength * (flat - self.anchor)


@dataclass(frozen=True)
class Prior:
    """Standard deviations of the normal priors of a network with one hidden layer and a linear skip.

    The output bias is free. The output weights start at 0 and are pulled to 0, so that a network
    starts as the linear model of its skip.
    """

    skip: float
    hidden: float
    hidden_bias: float
    output: float


def weight_decay(architecture: Architecture, decay: float) -> Penalty:
    """The penalty decay / 2 * |w|^2 of all weights, the skip included, but not of biases."""
    strength = zeros(architecture)
    for layer in strength.network.layers:
        layer.weights[...] = decay
    if strength.network.skip is not None:
        strength.network.skip[...] = decay
    return Penalty(strength.flat, np.zeros_like(strength.flat))


def anchored(
    architecture: Architecture,
    prior: Prior,
    n_rows: int,
    rng: np.random.Generator,
    signs: tuple[int, ...] = (),
) -> tuple[Parameters, Penalty]:
    """Parameters drawn from `prior`, and the penalty that pulls each of them back to its start.

    n_rows : the number of training rows. The penalty is added to the *mean* loss of the rows, so its
        strength is 1 / (n_rows * sd^2); its minimum is then the posterior mode of each member.
    signs : see `FitSettings.signs`; the hidden weights of an input that has a sign are drawn with it.
    """
    start, strength = zeros(architecture), zeros(architecture)
    hidden, output = start.network.layers
    hidden.weights[...] = rng.normal(0.0, prior.hidden, hidden.weights.shape)
    hidden.biases[...] = rng.normal(0.0, prior.hidden_bias, hidden.biases.shape)
    if signs:
        sign = np.array(signs, dtype=hidden.weights.dtype)[:, np.newaxis]
        np.copyto(hidden.weights, np.abs(hidden.weights) * sign, where=sign != 0.0)
    if start.network.skip is not None:
        start.network.skip[...] = rng.normal(0.0, prior.skip, start.network.skip.shape)
    hidden, output = strength.network.layers
    hidden.weights[...] = _strength(prior.hidden, n_rows)
    hidden.biases[...] = _strength(prior.hidden_bias, n_rows)
    output.weights[...] = _strength(prior.output, n_rows)
    if strength.network.skip is not None:
        strength.network.skip[...] = _strength(prior.skip, n_rows)
    return start, Penalty(strength.flat, start.flat.copy())


def _strength(deviation: float, n_rows: int) -> float:
    return 1.0 / (n_rows * deviation**2)

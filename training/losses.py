"""Loss functions, each beside its derivative.

`value(output, target)` is the loss of every single output, in the shape of `output`, and
`derivative(output, target)` its derivative d(value)/d(output). The loss of a batch is the mean over the
rows of the sum over the outputs (`mean_loss`). Both functions are pure. They take the output of the last
layer's activation, which must be the identity for `cross_entropy` (whose output is the logit), `poisson`
(the log of the rate) and `linex` (the log of the mean).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.activations import sigmoid
from models.arrays import FloatArray


@dataclass(frozen=True)
class Loss:
    """A loss and its derivative with respect to the output.

    value : (output, target) -> array of the shape of `output`.
    derivative : (output, target, out) -> the same shape; `out` is an array to write to, or None.
    link : the scale of the output, a name in `models.links.LINKS`. With another than "identity" the target
        is as it is, neither linked nor standardised.
    """

    value: Callable[[FloatArray, FloatArray], FloatArray]
    derivative: Callable[[FloatArray, FloatArray, FloatArray | None], FloatArray]
    link: str = "identity"


def half_mse(output: FloatArray, target: FloatArray) -> FloatArray:
    """Half the squared error, (o - y)^2 / 2."""
    error = output - target
    error *= error
    error *= 0.5
    return error


def half_mse_derivative(
    output: FloatArray, target: FloatArray, out: FloatArray | None = None
) -> FloatArray:
    """dL/do = o - y."""
    return np.subtract(output, target, out=out)


def cross_entropy(output: FloatArray, target: FloatArray) -> FloatArray:
    """Cross-entropy of a logit o with y in [0, 1]: log(1 + exp(o)) - y o, without overflow.

    The logarithm is max(o, 0) + log(1 + exp(-|o|)), at a fraction of the cost of np.logaddexp.
    """
    value = np.abs(output)
    np.exp(np.negative(value, out=value), out=value)
    np.log1p(value, out=value)
    value += np.maximum(output, 0.0)
    value -= target * output
    return value


def cross_entropy_derivative(
    output: FloatArray, target: FloatArray, out: FloatArray | None = None
) -> FloatArray:
    """dL/do = sigmoid(o) - y."""
    return np.subtract(sigmoid(output, out), target, out=out)


def poisson(output: FloatArray, target: FloatArray) -> FloatArray:
    """Negative log-likelihood of a count y at the rate exp(o), less log(y!): exp(o) - y o."""
    return np.exp(output) - target * output


def poisson_derivative(
    output: FloatArray, target: FloatArray, out: FloatArray | None = None
) -> FloatArray:
    """dL/do = exp(o) - y."""
    return np.subtract(np.exp(output, out=out), target, out=out)


def linex(output: FloatArray, target: FloatArray) -> FloatArray:
    """LINEX (Varian 1975): exp(y - o) - (y - o) - 1; exponential where o is too low, linear where too high.

    With y = log r it is, up to a constant, the negative log-likelihood of an exponentially distributed r
    with mean exp(o). So the fitted o is the log of the mean of r; with `half_mse` it is the mean of log r.
    """
    error = target - output
    value = np.exp(error)
    value -= error
    value -= 1.0
    return value


def linex_derivative(
    output: FloatArray, target: FloatArray, out: FloatArray | None = None
) -> FloatArray:
    """dL/do = 1 - exp(y - o)."""
    error = np.subtract(target, output, out=out)
    return np.subtract(1.0, np.exp(error, out=error), out=error)


LOSSES: dict[str, Loss] = {
    "half_mse": Loss(half_mse, half_mse_derivative),
    "cross_entropy": Loss(cross_entropy, cross_entropy_derivative, "logit"),
    "poisson": Loss(poisson, poisson_derivative, "exp"),
    "linex": Loss(linex, linex_derivative),
}


def mean_loss(loss: Loss, output: FloatArray, target: FloatArray) -> float:
    """The mean over members and rows of the sum over outputs.

    output : (n_members, n_rows, n_outputs); target : broadcastable to it.
    """
    n_members, n_rows, _ = output.shape
    return float(loss.value(output, target).sum()) / int(n_members * n_rows)

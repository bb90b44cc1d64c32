"""The lecture's exercise, step by step, computed by the code that trains the networks.

Two inputs, one hidden unit, one output, both sigmoid, no biases:

    x = (0.1, 0.3)   y = 1   W(1) = (0.4, -0.2)   W(2) = 0.1   rate = 0.5

Each quantity comes twice: in full precision, read from the arrays of `forward`, `backward` and the
optimiser; and as in the lecture, which rounds every intermediate result and continues with that.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.arrays import FloatArray
from models.features import Inputs
from models.network import Tape, forward
from training.backprop import gradient_step
from training.losses import LOSSES, mean_loss
from training.optimizers import Sgd
from training.parameters import Architecture, Parameters, architecture_of, zeros

X, Y = (0.1, 0.3), 1.0
W1, W2 = (0.4, -0.2), 0.1
RATE = 0.5

Values = dict[str, float]


@dataclass(frozen=True)
class Step:
    """One line of the exercise.

    symbol : what is computed, as in the lecture.
    meaning : the formula in words and symbols.
    numbers : the formula with its numbers; `{h}` stands for the lecture's value of h.
    decimals : how many the lecture keeps.
    rounded : the value from the lecture's (rounded) values before it.
    exact : the value in full precision.
    """

    symbol: str
    meaning: str
    numbers: str
    decimals: int
    rounded: float
    exact: float


_Line = tuple[str, str, str, int, Callable[[Values], float]]


def _sigmoid(z: float) -> float:
    return float(1.0 / (1.0 + np.exp(-z)))


_LINES: tuple[_Line, ...] = (
    (
        "h",
        "h = W1 x, what the hidden unit gets",
        "0.4*0.1 + (-0.2)*0.3",
        2,
        lambda _: W1[0] * X[0] + W1[1] * X[1],
    ),
    (
        "a",
        "a = f(h) = 1 / (1 + exp(-h)), what it gives",
        "f({h:g})",
        3,
        lambda v: _sigmoid(v["h"]),
    ),
    (
        "ŷ",
        "ŷ = f(W2 a), the network's answer",
        "f(0.1*{a:g})",
        3,
        lambda v: _sigmoid(W2 * v["a"]),
    ),
    (
        "δo",
        "δo = (y - ŷ) f'(W2 a) = (y - ŷ) ŷ (1 - ŷ)",
        "(1 - {ŷ:g})*{ŷ:g}*(1 - {ŷ:g})",
        3,
        lambda v: (Y - v["ŷ"]) * v["ŷ"] * (1.0 - v["ŷ"]),
    ),
    (
        "δh",
        "δh = δo W2 f'(h) = δo W2 a (1 - a)",
        "{δo:g}*0.1*{a:g}*(1 - {a:g})",
        3,
        lambda v: v["δo"] * W2 * v["a"] * (1.0 - v["a"]),
    ),
    ("ΔW", "ΔW = rate δo a", "0.5*{δo:g}*{a:g}", 4, lambda v: RATE * v["δo"] * v["a"]),
    ("ΔWi1", "ΔWi = rate δh x, first input", "0.5*{δh:g}*0.1", 5, lambda v: RATE * v["δh"] * X[0]),
    ("ΔWi2", "ΔWi = rate δh x, second input", "0.5*{δh:g}*0.3", 5, lambda v: RATE * v["δh"] * X[1]),
)


def exercise() -> tuple[Parameters, Inputs]:
    """The exercise's network (float64) and its one row."""
    parameters = zeros(Architecture((2, 1, 1), "sigmoid", "sigmoid"), np.float64)
    hidden, output = parameters.network.layers
    hidden.weights[0, :, 0] = W1
    output.weights[0, 0, 0] = W2
    return parameters, Inputs(np.array([X]), np.empty((1, 0), dtype=np.intp)).with_dense(2)


@dataclass(frozen=True)
class Exercise:
    """All steps, and the half squared error before and after the update."""

    steps: tuple[Step, ...]
    loss_before: float
    loss_after: float


def work() -> Exercise:
    """One step of gradient descent on the exercise: forward, backward, update."""
    parameters, inputs = exercise()
    loss, target = LOSSES["half_mse"], np.array([[Y]])
    network, gradient = parameters.network, exercise()[0]
    tape = Tape.for_rows(network, 1)
    output = forward(network, inputs, tape)
    before = mean_loss(loss, output, target)
    exact = {"h": tape.z[0].item(), "a": tape.a[0].item(), "ŷ": output.item()}
    gradient_step(network, inputs, target, loss, tape, gradient.network)
    # the lecture's delta is a step to be added, the code's is dL/dz: they differ in sign
    exact["δh"], exact["δo"] = (-layer.biases.item() for layer in gradient.network.layers)
    for layer in gradient.network.layers:
        layer.biases[...] = 0.0  # the exercise has no biases
    start = parameters.flat.copy()
    Sgd().update(parameters.flat, gradient.flat, RATE)
    moved = exercise()[0]
    moved.flat[...] = parameters.flat - start
    hidden, last = moved.network.layers
    exact["ΔW"] = last.weights.item()
    exact["ΔWi1"], exact["ΔWi2"] = hidden.weights[0, :, 0].tolist()
    after = mean_loss(loss, forward(network, inputs), target)
    return Exercise(_steps(exact), before, after)


def _steps(exact: Values) -> tuple[Step, ...]:
    rounded: Values = {}
    steps = []
    for symbol, meaning, numbers, decimals, value in _LINES:
        substituted = numbers.format(**rounded)
        rounded[symbol] = round(value(rounded), decimals)
        steps.append(Step(symbol, meaning, substituted, decimals, rounded[symbol], exact[symbol]))
    return tuple(steps)


@dataclass(frozen=True)
class Descent:
    """A path of gradient descent, made by the code that trains the networks.

    weights, gradients : (n_steps + 1, n_weights); losses : (n_steps + 1,), before each step and at
        the end.
    loss_at : weights of shape (n, n_weights) -> losses (n,), to draw the landscape.
    """

    weights: FloatArray
    gradients: FloatArray
    losses: FloatArray
    loss_at: Callable[[FloatArray], FloatArray]


def descend_parabola(rate: float) -> Descent:
    """One weight, no bias, one row: L = (y - w x)^2 / 2 with x = 1, y = 2, from w = 4.5."""
    parameters = zeros(Architecture((1, 1)), np.float64)
    x, y, start = np.array([[1.0]]), np.array([[2.0]]), np.array([4.5])
    return _descend(parameters, x, y, 1, start, rate, steps=8)


def descend_bowl(rate: float = 12.0) -> Descent:
    """Weight and bias of one sigmoid unit, on five rows."""
    parameters = zeros(Architecture((1, 1), output="sigmoid"), np.float64)
    x = np.array([[-1.0], [0.2], [0.8], [1.5], [2.5]])
    y = np.array([[0.0], [0.0], [1.0], [0.0], [1.0]])
    return _descend(parameters, x, y, 2, np.array([-1.0, 1.5]), rate, steps=40)


def _descend(  # noqa: PLR0913  # the network, its rows, and where and how to go
    parameters: Parameters,
    x: FloatArray,
    y: FloatArray,
    n_weights: int,
    start: FloatArray,
    rate: float,
    steps: int,
) -> Descent:
    """Descend in the first `n_weights` parameters from `start`; the others stay at 0."""
    inputs = Inputs(x, np.empty((len(x), 0), dtype=np.intp)).with_dense(x.shape[1])
    flat, loss, network = parameters.flat, LOSSES["half_mse"], parameters.network
    gradient = zeros(architecture_of(network), np.float64)
    tape, optimizer = Tape.for_rows(network, len(x)), Sgd()
    flat[:n_weights] = start
    weights, gradients, losses = [], [], []
    for _ in range(steps + 1):
        output = gradient_step(network, inputs, y, loss, tape, gradient.network)
        weights.append(flat[:n_weights].copy())
        gradients.append(gradient.flat[:n_weights].copy())
        losses.append(mean_loss(loss, output, y))
        gradient.flat[n_weights:] = 0.0
        optimizer.update(flat, gradient.flat, rate)

    def loss_at(points: FloatArray) -> FloatArray:
        found = []
        for point in points:
            flat[:n_weights] = point
            found.append(mean_loss(loss, forward(network, inputs), y))
        return np.array(found)

    return Descent(np.array(weights), np.array(gradients), np.array(losses), loss_at)

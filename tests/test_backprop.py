"""Backpropagation: the gradient is the gradient, by three independent ways to compute it."""

from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

from models.activations import ACTIVATIONS
from models.arrays import FloatArray
from models.features import Inputs
from models.network import Layer, Network, Tape, forward
from tests.nets import some_inputs, some_parameters, some_target
from training.backprop import gradient_step
from training.losses import LOSSES, mean_loss
from training.optimizers import Sgd
from training.parameters import Architecture, Parameters, architecture_of, plain, zeros

N_ROWS = 7
STEP = 1e-5
TOLERANCE = 1e-6
EVERY_PAIR = pytest.mark.parametrize(("activation", "loss"), list(product(ACTIVATIONS, LOSSES)))


def gradient_of(
    parameters: Parameters,
    inputs: Inputs,
    target: FloatArray,
    loss: str,
    row_weights: FloatArray | None = None,
) -> Parameters:
    """The gradient by backpropagation, in the layout of the parameters."""
    network = parameters.network
    gradient = zeros(architecture_of(network), parameters.flat.dtype.type)
    tape = Tape.for_rows(network, len(inputs))
    gradient_step(network, inputs, target, LOSSES[loss], tape, gradient.network, row_weights)
    return gradient


def by_central_difference(flat: FloatArray, loss: Callable[[], float]) -> FloatArray:
    """The gradient of `loss` with respect to `flat`, each parameter moved both ways in turn."""
    gradient = np.empty_like(flat)
    for i in range(len(flat)):
        kept = flat[i]
        flat[i] = kept + STEP
        above = loss()
        flat[i] = kept - STEP
        gradient[i] = (above - loss()) / (2 * STEP)
        flat[i] = kept
    return gradient


def relative_error(one: FloatArray, other: FloatArray) -> float:
    """The largest difference, as a share of the largest entry."""
    return float(np.abs(one - other).max() / max(np.abs(one).max(), np.abs(other).max()))


def off_the_kink(network: Network, inputs: Inputs) -> bool:
    """Whether no step of a central difference can carry a hidden unit over the kink of ReLU."""
    tape = Tape.for_rows(network, len(inputs))
    forward(network, inputs, tape)
    return all(float(np.abs(z).min()) > 100 * STEP for z in tape.z[:-1])


@EVERY_PAIR
@pytest.mark.parametrize("hidden", [(), (6,), (5, 4, 3)], ids=["none", "one", "three"])
def test_gradient_check(activation: str, loss: str, hidden: tuple[int, ...]) -> None:
    """Every activation with every loss agrees with a central difference, for any depth."""
    rng = np.random.default_rng(4)
    parameters = some_parameters(rng, hidden, activation)
    inputs, target = some_inputs(N_ROWS, rng), some_target(loss, N_ROWS, rng)
    assert activation != "relu" or off_the_kink(parameters.network, inputs)
    got = gradient_of(parameters, inputs, target, loss)
    expected = by_central_difference(
        parameters.flat,
        lambda: mean_loss(LOSSES[loss], forward(parameters.network, inputs), target),
    )
    assert relative_error(got.flat, expected) < TOLERANCE


@pytest.mark.parametrize("output", ACTIVATIONS)
def test_gradient_check_of_an_output_activation(output: str) -> None:
    """The last layer may have any activation: the lecture's GRE network ends in a sigmoid."""
    rng = np.random.default_rng(5)
    parameters = some_parameters(rng, (4,), "sigmoid")
    hidden, last = parameters.network.layers
    network = Network((hidden, Layer(last.weights, last.biases, output)))
    last.biases[...] = 0.5  # some units of an output of rectifiers must be awake
    parameters = Parameters(parameters.flat, network)
    inputs, target = some_inputs(N_ROWS, rng), rng.uniform(size=(N_ROWS, 2))
    assert np.abs(forward(Network((hidden, last)), inputs)).min() > 100 * STEP
    got = gradient_of(parameters, inputs, target, "half_mse")
    expected = by_central_difference(
        parameters.flat, lambda: mean_loss(LOSSES["half_mse"], forward(network, inputs), target)
    )
    assert relative_error(got.flat, expected) < TOLERANCE


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_check_of_members_skip_and_row_weights(loss: str) -> None:
    """Several members, a linear skip, and rows that each member counts in its own way."""
    rng = np.random.default_rng(6)
    parameters = some_parameters(rng, (5,), "silu", members=3, skip=True)
    inputs, target = some_inputs(N_ROWS, rng), some_target(loss, N_ROWS, rng)
    weights = rng.integers(3, size=(3, N_ROWS, 1)).astype(np.float64)
    got = gradient_of(parameters, inputs, target, loss, weights)

    def weighted_loss() -> float:
        """The sum over the members of each one's weighted mean over the rows."""
        value = LOSSES[loss].value(forward(parameters.network, inputs), target)
        return float((weights * value).sum() / N_ROWS)

    expected = by_central_difference(parameters.flat, weighted_loss)
    assert relative_error(got.flat, expected) < TOLERANCE


@pytest.mark.parametrize("outputs", [1, 2])
def test_gradient_check_where_codes_pick_rows(
    outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first layer gathers rows instead of multiplying zeros, the gradient is the same."""
    monkeypatch.setattr("models.network.COLUMNS_A_CODE", 0)
    rng = np.random.default_rng(11)
    parameters = some_parameters(rng, (5,), "silu", outputs, members=2, skip=True)
    inputs, target = some_inputs(N_ROWS, rng), some_target("half_mse", N_ROWS, rng, outputs)
    got = gradient_of(parameters, inputs, target, "half_mse")
    monkeypatch.setattr("models.network.COLUMNS_A_CODE", 1000)
    multiplied = gradient_of(parameters, inputs, target, "half_mse")
    np.testing.assert_allclose(got.flat, multiplied.flat, rtol=1e-9, atol=1e-12)
    expected = by_central_difference(
        parameters.flat,
        lambda: 2 * mean_loss(LOSSES["half_mse"], forward(parameters.network, inputs), target),
    )
    assert relative_error(got.flat, expected) < TOLERANCE


AUTOGRAD_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda z: z,
    "sigmoid": lambda z: 1.0 / (1.0 + anp.exp(-z)),
    "tanh": anp.tanh,
    "relu": lambda z: anp.where(z > 0.0, z, 0.0),
    "silu": lambda z: z / (1.0 + anp.exp(-z)),
}
AUTOGRAD_LOSSES: dict[str, Callable[[Any, FloatArray], Any]] = {
    "half_mse": lambda o, y: (o - y) ** 2 / 2.0,
    "cross_entropy": lambda o, y: (
        -(y * anp.log(1.0 / (1.0 + anp.exp(-o))) + (1.0 - y) * anp.log(1.0 / (1.0 + anp.exp(o))))
    ),
    "poisson": lambda o, y: anp.exp(o) - y * o,
    "linex": lambda o, y: anp.exp(y - o) - (y - o) - 1.0,
}


@EVERY_PAIR
@pytest.mark.parametrize("skip", [False, True], ids=["plain", "skip"])
def test_gradient_agrees_with_autograd(activation: str, loss: str, skip: bool) -> None:  # noqa: FBT001
    """The gradient is that of HIPS autograd through a network written anew, one-hot and all."""
    rng = np.random.default_rng(7)
    parameters = some_parameters(rng, (5, 4), activation, skip=skip)
    inputs, target = some_inputs(N_ROWS, rng), some_target(loss, N_ROWS, rng)
    network = parameters.network
    sizes = architecture_of(network).sizes

    def loss_of(flat: Any) -> Any:  # autograd's own boxes
        a, start = inputs.dense, 0
        for i, (n_in, n_out) in enumerate(pairwise(sizes)):
            weights = flat[start : start + n_in * n_out].reshape(n_in, n_out)
            start += n_in * n_out
            z = anp.dot(a, weights) + flat[start : start + n_out]
            start += n_out
            a = z if i == len(sizes) - 2 else AUTOGRAD_ACTIVATIONS[activation](z)
        if skip:
            a = a + anp.dot(inputs.dense, flat[start:].reshape(sizes[0], sizes[-1]))
        return AUTOGRAD_LOSSES[loss](a, target).sum() / N_ROWS

    expected = grad(loss_of)(parameters.flat.copy())
    got = gradient_of(parameters, inputs, target, loss)
    np.testing.assert_allclose(got.flat, expected, rtol=1e-10, atol=1e-13)


def test_gradient_of_an_ensemble_is_that_of_each_member() -> None:
    """A member's gradient does not depend on its neighbours."""
    rng = np.random.default_rng(8)
    together = some_parameters(rng, (5, 4), "silu", members=3, skip=True)
    inputs, target = some_inputs(N_ROWS, rng), some_target("half_mse", N_ROWS, rng)
    gradient = gradient_of(together, inputs, target, "half_mse").network
    for k in range(3):
        alone = some_parameters(rng, (5, 4), "silu", skip=True)
        copy_member(together.network, k, alone.network)
        expected = gradient_of(alone, inputs, target, "half_mse").network
        assert gradient.skip is not None
        assert expected.skip is not None
        np.testing.assert_allclose(gradient.skip[k], expected.skip[0], rtol=1e-12)
        for got, of in zip(gradient.layers, expected.layers, strict=True):
            np.testing.assert_allclose(got.weights[k], of.weights[0], rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(got.biases[k], of.biases[0], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("columns_a_code", [0, 12], ids=["gathered", "dense"])
def test_gradient_of_a_network_without_the_axis_of_members(
    outputs: int, columns_a_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single network as plain matrices, as `fit` trains it, gives what an ensemble of one gives."""
    monkeypatch.setattr("models.network.COLUMNS_A_CODE", columns_a_code)
    rng = np.random.default_rng(12)
    parameters = some_parameters(rng, (5, 4), "silu", outputs, skip=True)
    inputs, target = some_inputs(N_ROWS, rng), some_target("half_mse", N_ROWS, rng, outputs)
    weights = rng.exponential(size=(1, N_ROWS, 1))
    expected = gradient_of(parameters, inputs, target, "half_mse", weights)
    network = plain(parameters.network)
    gradient = zeros(architecture_of(parameters.network), np.float64)
    tape = Tape.for_rows(network, N_ROWS)
    into = plain(gradient.network)
    output = gradient_step(network, inputs, target, LOSSES["half_mse"], tape, into, weights[0])
    np.testing.assert_allclose(output, forward(parameters.network, inputs)[0], rtol=1e-12)
    np.testing.assert_allclose(gradient.flat, expected.flat, rtol=1e-12, atol=1e-15)


def copy_member(source: Network, k: int, into: Network) -> None:
    """Write the parameters of member `k` of `source` into the only member of `into`."""
    for layer, copy in zip(source.layers, into.layers, strict=True):
        copy.weights[0], copy.biases[0] = layer.weights[k], layer.biases[k]
    if source.skip is not None and into.skip is not None:
        into.skip[0] = source.skip[k]


def test_one_step_worked_by_hand() -> None:
    """The lecture's exercise: inputs (0.1, 0.3), one hidden unit, y = 1, rate 0.5.

    h = 0.4*0.1 - 0.2*0.3 = -0.02; a = 0.495; o = sigmoid(0.1 a) = 0.512; the error
    (y - o) o (1 - o) is 0.122; back through the output weight and the hidden sigmoid 0.003; each
    weight moves by rate * what went wrong * what came in.
    """
    parameters = zeros(Architecture((2, 1, 1), "sigmoid", "sigmoid"), np.float64)
    hidden, output = parameters.network.layers
    hidden.weights[0], output.weights[0] = [[0.4], [-0.2]], [[0.1]]
    x = np.array([[0.1, 0.3]])
    inputs = Inputs(x, np.empty((1, 0), dtype=np.intp)).with_dense(2)
    before = parameters.flat.copy()
    gradient = gradient_of(parameters, inputs, np.array([[1.0]]), "half_mse")
    np.testing.assert_allclose(-gradient.network.layers[1].biases.item(), 0.122, atol=5e-4)
    np.testing.assert_allclose(-gradient.network.layers[0].biases.item(), 0.003, atol=5e-4)
    Sgd().update(parameters.flat, gradient.flat, rate=0.5)
    moved = zeros(Architecture((2, 1, 1)), np.float64)
    moved.flat[...] = parameters.flat - before
    assert moved.network.layers[1].weights.item() == pytest.approx(0.0302, abs=5e-5)
    np.testing.assert_allclose(
        moved.network.layers[0].weights[0, :, 0], [0.000152, 0.000457], atol=5e-7
    )


def test_backward_leaves_the_network_and_the_rows_alone() -> None:
    """A gradient step reads weights, inputs and targets, and changes none of them."""
    rng = np.random.default_rng(9)
    parameters = some_parameters(rng, skip=True)
    inputs, target = some_inputs(N_ROWS, rng), some_target("half_mse", N_ROWS, rng)
    assert inputs.dense is not None
    kept = [array.copy() for array in (parameters.flat, inputs.dense, inputs.codes, target)]
    gradient_of(parameters, inputs, target, "half_mse")
    for array, copy in zip(
        (parameters.flat, inputs.dense, inputs.codes, target), kept, strict=True
    ):
        np.testing.assert_array_equal(array, copy)


def test_every_array_of_the_gradient_is_written() -> None:
    """No entry of a gradient keeps what an earlier batch left there."""
    rng = np.random.default_rng(10)
    parameters = some_parameters(rng, skip=True, members=2)
    inputs, target = some_inputs(N_ROWS, rng), some_target("half_mse", N_ROWS, rng)
    gradient = zeros(architecture_of(parameters.network), np.float64)
    gradient.flat[...] = np.nan
    tape = Tape.for_rows(parameters.network, N_ROWS)
    gradient_step(parameters.network, inputs, target, LOSSES["half_mse"], tape, gradient.network)
    assert np.isfinite(gradient.flat).all()

"""The forward pass: it is what it says, keeps no state, and may be shared by threads."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from models.activations import ACTIVATIONS
from models.arrays import FloatArray
from models.features import Inputs
from models.network import Layer, Network, Tape, affine_inputs, forward
from tests.nets import N_INPUTS, some_inputs, some_parameters
from training.parameters import frozen


def plainly(network: Network, inputs: Inputs, member: int) -> FloatArray:
    """A forward pass of one member, one row and one layer at a time, one-hot columns and all."""
    assert inputs.dense is not None
    rows = []
    for x in inputs.dense:
        a = x
        for layer in network.layers:
            z = a @ layer.weights[member] + layer.biases[member, 0]
            if layer is network.layers[-1] and network.skip is not None:
                z = z + x @ network.skip[member]
            a = ACTIVATIONS[layer.activation].function(z, None)
        rows.append(a)
    return np.array(rows)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (7,), (6, 5, 4)], ids=["none", "one", "three"])
def test_forward_is_the_plain_computation(activation: str, hidden: tuple[int, ...]) -> None:
    """A batched pass over members and rows equals the textbook's loop."""
    rng = np.random.default_rng(0)
    network = some_parameters(rng, hidden, activation, members=3, skip=True).network
    inputs = some_inputs(9, rng)
    output = forward(network, inputs)
    assert output.shape == (3, 9, 2)
    for k in range(3):
        np.testing.assert_allclose(output[k], plainly(network, inputs, k), rtol=1e-12)


def test_a_gather_is_the_one_hot_product() -> None:
    """Codes pick rows of the weights, which is what the one-hot product gives."""
    rng = np.random.default_rng(1)
    inputs, weights = some_inputs(20, rng), rng.normal(size=(2, N_INPUTS, 5))
    assert inputs.dense is not None
    gathered = affine_inputs(weights, Inputs(inputs.numbers, inputs.codes))
    np.testing.assert_allclose(gathered, inputs.dense @ weights, rtol=1e-12)


@pytest.mark.parametrize("columns", [0, 1000], ids=["gather", "product"])
def test_both_ways_of_the_first_layer(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs with `dense` give the same whether codes pick rows or are multiplied."""
    monkeypatch.setattr("models.network.COLUMNS_A_CODE", columns)
    rng = np.random.default_rng(1)
    inputs, weights = some_inputs(20, rng), rng.normal(size=(2, N_INPUTS, 5))
    into = np.empty((2, 20, 5))
    assert affine_inputs(weights, inputs, into) is into
    gathered = affine_inputs(weights, Inputs(inputs.numbers, inputs.codes))
    np.testing.assert_allclose(into, gathered, rtol=1e-12)


def test_shapes_are_told() -> None:
    """A network knows its members, inputs and outputs."""
    network = some_parameters(np.random.default_rng(0), members=3).network
    assert (network.n_members, network.n_inputs, network.n_outputs) == (3, N_INPUTS, 2)


def test_a_tape_changes_nothing() -> None:
    """A pass with a tape gives the bits of a pass without, and the tape holds every layer."""
    rng = np.random.default_rng(2)
    network, inputs = some_parameters(rng, skip=True).network, some_inputs(9, rng)
    tape = Tape.for_rows(network, 9)
    output = forward(network, inputs, tape)
    np.testing.assert_array_equal(output, forward(network, inputs))
    assert output is tape.a[-1]
    for layer, z, a in zip(network.layers, tape.z, tape.a, strict=True):
        np.testing.assert_array_equal(a, ACTIVATIONS[layer.activation].function(z, None))


def test_forward_keeps_no_state() -> None:
    """Passes of other rows in between do not change an answer, nor the inputs."""
    rng = np.random.default_rng(3)
    network, one, other = some_parameters(rng).network, some_inputs(9, rng), some_inputs(5, rng)
    kept = one.numbers.copy()
    first = forward(network, one)
    forward(network, other)
    np.testing.assert_array_equal(forward(network, one), first)
    np.testing.assert_array_equal(one.numbers, kept)


def test_eight_threads_give_the_bits_of_one() -> None:
    """Threads that share a network answer exactly what one thread answers."""
    rng = np.random.default_rng(4)
    parameters = some_parameters(rng, (32, 16), "silu", members=4, skip=True, dtype=np.float32)
    network = frozen(parameters.network)
    batches = [some_inputs(int(n), rng, np.float32) for n in rng.integers(1, 60, size=200)]
    alone = [forward(network, batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda batch: forward(network, batch), batches * 3))
    for got, expected in zip(together, alone * 3, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_row_alone_gets_the_answer_of_the_batch() -> None:
    """In float32 a row's answer alone is that in a batch within 1e-5."""
    rng = np.random.default_rng(5)
    network = some_parameters(rng, (32, 16), "silu", members=2, dtype=np.float32).network
    inputs = some_inputs(50, rng, np.float32)
    batch = forward(network, inputs)
    for i in range(50):
        alone = forward(network, inputs.take(np.array([i])))
        np.testing.assert_allclose(alone[:, 0], batch[:, i], rtol=1e-5, atol=1e-6)


def test_an_empty_batch() -> None:
    """No rows give no answers."""
    rng = np.random.default_rng(6)
    network, inputs = some_parameters(rng).network, some_inputs(3, rng)
    assert forward(network, inputs.take(np.arange(0))).shape == (1, 0, 2)


def test_a_frozen_network_cannot_be_changed() -> None:
    """Neither its arrays nor its fields can be set, and its arrays are its own."""
    parameters = some_parameters(np.random.default_rng(7), skip=True)
    network = frozen(parameters.network)
    before = network.layers[0].weights.copy()
    parameters.flat[...] = 0.0
    np.testing.assert_array_equal(network.layers[0].weights, before)
    with pytest.raises(ValueError, match="read-only"):
        network.layers[0].weights[...] = 0.0
    with pytest.raises(FrozenInstanceError):
        network.layers = ()  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        network.layers[0].activation = "relu"  # type: ignore[misc]
    assert isinstance(network.layers[0], Layer)

"""Dense networks and their forward pass.

`forward` is what training uses and what every other way is measured by: `models.bulk` (thousands of rows)
and `models.few` (single ones) compute the same faster, and tests hold them equal to it up to rounding.

A `Network` is frozen and keeps no state of a pass, so threads may share it. Every array of weights has
a leading axis of *members*: an ensemble of networks of one shape is computed as one batched matrix
product, and a single network is an ensemble of one. The passes only use the last two axes, so that
training can drop the members' axis of a single network (`training.parameters.plain`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from models.activations import ACTIVATIONS
from models.arrays import FloatArray
from models.features import Inputs

COLUMNS_A_CODE = 12
"""With fewer one-hot columns per code than this, a dense product is faster than picking rows."""


@dataclass(frozen=True)
class Layer:
    """A dense layer: a = activation(x @ weights + biases).

    weights : (n_members, n_in, n_out)
    biases : (n_members, 1, n_out)
    activation : a name in `models.activations.ACTIVATIONS`
    """

    weights: FloatArray
    biases: FloatArray
    activation: str


@dataclass(frozen=True)
class Network:
    """Dense layers, optionally with a linear skip connection from the input to the last pre-activation.

    layers : the hidden layers, then the output layer.
    skip : (n_members, n_inputs, n_outputs) or None. The skip alone would be a (generalised) linear
        model; the hidden units add what that cannot express.
    """

    layers: tuple[Layer, ...]
    skip: FloatArray | None = None

    @property
    def n_members(self) -> int:
        """How many networks are computed side by side."""
        return int(self.layers[0].weights.shape[0])

    @property
    def n_inputs(self) -> int:
        """Rows of the first layer's weights."""
        return int(self.layers[0].weights.shape[1])

    @property
    def n_outputs(self) -> int:
        """Columns of the last layer's weights."""
        return int(self.layers[-1].weights.shape[2])

    @property
    def direct(self) -> FloatArray:
        """The weights that connect input and output directly: (n_members, n_inputs, n_outputs).

        The skip, or zeros, plus the weights of the layer if there is only one.
        """
        first = self.layers[0].weights
        shape = (*first.shape[:2], self.n_outputs)
        skip = np.zeros(shape, first.dtype) if self.skip is None else self.skip
        return skip if len(self.layers) > 1 else skip + first


def side_by_side(weights: FloatArray) -> FloatArray:
    """Members' weights as one matrix: (n_members, n_in, n_out) -> (n_in, n_members * n_out)."""
    return weights.transpose(1, 0, 2).reshape(weights.shape[1], -1)


def spans(sizes: Iterable[int]) -> list[slice]:
    """Where blocks of these sizes lie that stand side by side."""
    return [slice(*ends) for ends in pairwise(accumulate(sizes, initial=0))]


def product(weights: FloatArray) -> Callable[..., FloatArray]:
    """The matrix product to use for `weights`, as f(a, b, out): `np.matmul`, or for 2-D `ndarray.dot`.

    Both call the same BLAS routine; `dot` has half the overhead.
    """
    return np.ndarray.dot if weights.ndim == 2 else np.matmul  # noqa: PLR2004  # a matrix


@dataclass(frozen=True)
class Tape:
    """What a forward pass records for the backward pass, in buffers that every step uses again.

    z, a : each layer's pre-activations and activations, (n_members, n_rows, n_out); the same array
        where the activation is the identity.
    delta : buffers for dL/dz of each layer, of the same shapes.
    ones : (1, n_rows): a product with it sums over the rows.
    share : 1 / n_rows, as an array of shape ().
    """

    z: tuple[FloatArray, ...]
    a: tuple[FloatArray, ...]
    delta: tuple[FloatArray, ...]
    ones: FloatArray
    share: FloatArray

    @classmethod
    def for_rows(cls, network: Network, n_rows: int) -> "Tape":
        """Buffers for passes of `n_rows` rows."""
        dtype = network.layers[0].weights.dtype

        def buffers() -> list[FloatArray]:
            weights = (layer.weights for layer in network.layers)
            return [np.empty((*w.shape[:-2], n_rows, w.shape[-1]), dtype) for w in weights]

        z = buffers()
        a = [
            z if layer.activation == "identity" else buffer
            for layer, z, buffer in zip(network.layers, z, buffers(), strict=True)
        ]
        ones, share = np.ones((1, n_rows), dtype), np.array(1.0 / n_rows, dtype)
        return cls(tuple(z), tuple(a), tuple(buffers()), ones, share)


def affine_inputs(weights: FloatArray, inputs: Inputs, out: FloatArray | None = None) -> FloatArray:
    """The product of inputs and weights, without building the one-hot columns: (n_members, n_rows, n_out).

    The numbers are multiplied by the first rows of `weights` (n_members, n_inputs, n_out), and each code
    picks one of the other rows. Picking costs as much as a product with COLUMNS_A_CODE columns, so where
    a code stands for fewer, and there is `dense`, a single product does it all.
    """
    n_numbers, n_codes = inputs.numbers.shape[-1], inputs.codes.shape[-1]
    times = product(weights)
    if inputs.dense is not None and weights.shape[-2] - n_numbers < COLUMNS_A_CODE * n_codes:
        return times(inputs.dense, weights, out)
    z = times(inputs.numbers, weights[..., :n_numbers, :], out)
    for column in inputs.codes.T:
        z += weights.take(column, axis=-2)
    return z


def forward(network: Network, inputs: Inputs, tape: Tape | None = None) -> FloatArray:
    """The output of the network, (n_members, n_rows, n_outputs).

    tape : if given, the pre-activations and activations of every layer are written to it, and the result
        is its last activation.
    """
    last = len(network.layers) - 1
    times = product(network.layers[0].weights)
    a: FloatArray | None = None
    for i, layer in enumerate(network.layers):
        into = tape.z[i] if tape else None
        z = times(a, layer.weights, into) if i else affine_inputs(layer.weights, inputs, into)
        z += layer.biases
        if i == last and network.skip is not None:
            z += affine_inputs(network.skip, inputs)
        a = ACTIVATIONS[layer.activation].function(z, tape.a[i] if tape else z)
    assert a is not None, "a network has at least one layer"  # noqa: S101
    return a
